import Command
import Schema
import Tensors

/// Divides samples at random into two bundles.
func split(_ run: Run) throws {
  try divide(run) { count, labels in
    // Fractions such as 0.7 are not quite their decimal.
    let size = Int((Double(count) * (run.settings.fraction ?? 0)).rounded())
    guard 0 < size, size < count else {
      throw Failure.data(
        "--fraction \(run.settings.fraction ?? 0) of \(count) samples leaves \(size == 0 ? "none" : "all of them"): "
          + "both parts need one")
    }
    return Partition.split(count, size: size, labels: labels, seed: run.settings.seed ?? 0)
  }
}

/// Takes one of several equal parts of the samples away from the rest.
func fold(_ run: Run) throws {
  try divide(run) { count, labels in
    guard let folds = run.settings.folds, let number = run.settings.fold else { return ([], []) }
    guard folds <= count else {
      throw Failure.data("there are \(count) samples, too few for \(folds) folds")
    }
    let parts = Partition.folds(count, folds: folds, labels: labels, seed: run.settings.seed ?? 0)
    let own = number % folds
    return (
      (0..<count).filter { parts[$0] != own }, (0..<count).filter { parts[$0] == own }
    )
  }
}

/// Writes the two parts of the samples that `choose` makes of their number and, with --stratify, their labels: the first
/// to the output and the second to --rest.
private func divide(
  _ run: Run, _ choose: (Int, [Int]?) throws -> (part: [Int], rest: [Int])
) throws {
  let output = try run.bundleOutput()
  let rest = try Output(path: run.settings.rest)
  let bundle = try Bundle(reading: run.input(path: run.settings.arguments.first ?? "-"))
  let kind = try sampleKind(
    bundle.metadata, Array(bundle.tensors.keys), in: bundle.name)
  guard [.dataset, .images, .moments].contains(kind) else {
    throw Failure.data(
      "\(bundle.name) is a bundle of kind \(quoted(kind.rawValue)), expected dataset, images or moments"
    )
  }
  let count = try sampleCount(
    kind, bundle.tensors.map { ($0.key, $0.value.shape) }, in: bundle.name)
  try bundle.expectSoundAnswers(samples: count)
  try bundle.expectFiniteNumbers()
  var labels: [Int]?
  if run.settings.stratify {
    guard let tensor = try bundle.optional(.labels) else {
      throw Failure.data("--stratify needs labels, and \(bundle.name) has none")
    }
    labels = tensor.withElements(of: Int32.self) { $0.map(Int.init) }
  }
  let chosen = try choose(count, labels)
  let recipe = run.metadata(after: bundle.metadata)
  for (rows, file, note) in [(chosen.part, output, ""), (chosen.rest, rest, " --rest FILE")] {
    var part = bundle
    for name in kind.perSample { part.tensors[name] = bundle.tensors[name]?.rows(rows) }
    part.metadata.merge(recipe) { $1 }
    part.metadata["command"]! += note
    try part.write(to: file)
  }
  try Output.finish([output, rest])
}
