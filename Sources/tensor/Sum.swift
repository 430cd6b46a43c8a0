import Command
import Schema
import Tensors

/// Adds the tensors of several bundles, element by element: of statistics and tallies those that are sums, while all
/// else must be equal.
func sum(_ run: Run) throws {
  let output = try run.bundleOutput()
  let progress = run.progress()
  var sum = Bundle()
  var recipes: [Bundle] = []
  for path in run.settings.arguments {
    progress.update("reading \(path)")
    let bundle = try Bundle(reading: run.input(path: path))
    try bundle.expectSums()
    recipes.append(Bundle(metadata: bundle.metadata))
    if recipes.count == 1 {
      sum = bundle
      continue
    }
    try expectAgreement(of: bundle, with: sum)
    for name in bundle.tensors.keys.sorted(by: precedes) {
      let (term, total) = (bundle.tensors[name]!, sum.tensors[name]!)
      guard term.shape == total.shape else {
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is \(term.summary), "
            + "of \(sum.name) \(total.summary)")
      }
      if sum.kind?.summed?.contains(name) ?? true {
        try total.add(term, name: name)
      } else if !hasEqualBytes(term, total) {
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is not that of \(sum.name): sums of the same features can be added "
            + "(gram --like)")
      }
    }
  }
  guard sum.kind?.summed != nil else {
    guard run.settings.samples == nil else {
      throw Failure.usage("--samples is for bundles of kind statistics and tally")
    }
    sum.metadata.merge(joinedRecipe(of: recipes, run)) { $1 }
    try run.write(sum, to: output)
    return
  }
  if let wanted = run.settings.samples, case let found = try sum.count(.samples), found != wanted {
    throw Failure.data(
      "\(recipes.count) bundles have \(found) samples together, expected \(wanted): one is missing, or there twice"
    )
  }
  let lines = [mergedRecipe(recipes.compactMap { $0.metadata["command"] })].compactMap { $0 }
  sum.metadata.merge(run.metadata()) { $1 }
  sum.metadata["command"] = (lines + ["tensor sum (\(recipes.count) files)"]).joined(
    separator: "\n")
  try run.write(sum, to: output)
}

extension Kind {
  /// The names of the tensors that are sums over samples; nil if it has none.
  fileprivate var summed: Set<String>? {
    switch self {
    case .statistics: Set(StatisticsTensors.summed.map(\.name))
    case .tally: Set(TallyTensors.summed.map(\.name))
    default: nil
    }
  }
}

extension Bundle {
  /// Throws unless the sums of statistics, or of a tally, fit each other.
  fileprivate func expectSums() throws {
    switch kind {
    case .statistics: _ = try StatisticsTensors(self)
    case .tally: _ = try TallyTensors(self)
    default: break
    }
  }
}
