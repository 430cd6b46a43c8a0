import Command
import Evaluation
import Schema
import Tensors

/// What one run judged: the report, and what its other outputs need.
struct Judgement {
  let report: Report
  let violations: [String]
  let warnings: [String]
  let confusionMatrix: () throws -> ConfusionMatrix
  let table: () throws -> String
}

/// One run: the network, the solution, and the data by their kind.
final class Judging {
  let network: TrainedNetwork
  private let invocation: Invocation<Settings>
  private let settings: Settings
  private let digest: String
  private let solution: (any Solution)?
  private let solutionDigest: String?
  private var tally: Tally?
  private var recipe: [String: String] = [:]

  /// `bundle` is the network's.
  init(_ invocation: Invocation<Settings>, _ bundle: Bundle) throws {
    self.invocation = invocation
    settings = invocation.settings
    network = try TrainedNetwork(bundle)
    let certified = try settings.certify.map { path in
      try invocation.read("--certify", path) { input in
        let bundle = try Bundle(reading: input)
        return (try readSolution(bundle), bundle)
      }
    }
    solution = certified?.0
    // Large weights are read once more only if a tally is to tell them.
    digest = bundle.digest
    solutionDigest = certified?.1.digest
  }

  /// Judges on the data, whatever they are.
  func evaluation() throws -> Judgement {
    try invocation.read("--data", settings.dataPath) { input in
      let reader = try BundleReader(input)
      try reader.expect(.dataset, .moments, .arrangements, .statistics, .tally)
      switch Kind(rawValue: reader.metadata["kind"] ?? "") {
      case .statistics:
        let bundle = try Bundle(reader)
        try reader.finish()
        return try summed(bundle)
      case .tally:
        let bundle = try Bundle(reader)
        try reader.finish()
        return try tallied(TallyTensors(bundle))
      default: return try samples(reader)
      }
    }
  }

  /// The samples of --with, for the further parts of the network.
  private func others() throws -> [Examples] {
    try settings.others.enumerated().map { k, path in
      try invocation.read("--with", path) {
        try Examples(
          reading: $0, patterns: solution?.needsPatterns ?? false,
          like: k < network.others.count ? network.others[k].model : network.model,
          forClaim: solution != nil || settings.provesDistance)
      }
    }
  }

  private func expectSamples(_ kind: String) throws {
    for (option, isGiven) in [
      ("predictions", settings.predictions != nil), ("tally", settings.tally != nil),
      ("global", settings.provesDistance), ("with", !settings.others.isEmpty),
    ] where isGiven {
      throw Failure.usage("--\(option) needs samples, but the data are a bundle of kind \(kind)")
    }
  }

  private func summed(_ bundle: Bundle) throws -> Judgement {
    try expectSamples("statistics")
    let found = try SummedEvaluation(
      network, on: JudgedSums(bundle), beta: settings.beta, certifying: solution)
    let message = "statistics do not tell how samples are classified"
    return Judgement(
      report: found.report, violations: found.violations, warnings: found.warnings,
      confusionMatrix: { throw Failure.data(message) }, table: { throw Failure.data(message) })
  }

  private func tallied(_ sums: TallyTensors, objections: [String] = []) throws -> Judgement {
    if tally == nil { try expectSamples("tally") }
    let found = try TallyEvaluation(
      network, digest: digest, on: sums, beta: settings.beta, certifying: solution,
      solutionDigest: solutionDigest, isWritten: settings.tally != nil, objections: objections)
    return Judgement(
      report: found.report, violations: found.violations, warnings: found.warnings,
      confusionMatrix: {
        guard let confusion = found.confusion else {
          throw Failure.data("a confusion matrix needs \"labels\", the data have \"targets\"")
        }
        return confusion
      },
      table: { throw Failure.usage("--predictions needs a single bundle of samples") })
  }

  /// Judges on samples: of a single bundle at once; of several, or if a tally is asked for, bundle by bundle.
  private func samples(_ reader: BundleReader) throws -> Judgement {
    let input = reader.input
    let isSummed = settings.tally != nil || solution?.program.sums != nil
    var examples = try Examples(
      reader, patterns: !isSummed && solution?.needsPatterns ?? false,
      gates: solution?.program.sums != nil, list: isSummed ? nil : solution?.ownList,
      like: network.model,
      forClaim: !isSummed && (solution != nil || settings.provesDistance))
    if !isSummed, try input.isAtEnd() {
      examples = try examples.joined(with: others())
      let found = try NetworkEvaluation(
        network, on: examples, beta: settings.beta, certifying: solution,
        distanceWithin: settings.provesDistance ? settings.gap ?? 1e-3 : nil)
      return Judgement(
        report: found.report, violations: found.violations, warnings: found.warnings,
        confusionMatrix: found.confusionMatrix, table: { found.table })
    }
    guard settings.others.isEmpty else {
      throw Failure.usage("--with needs a single bundle of samples and no tally")
    }
    guard settings.predictions == nil, !settings.provesDistance else {
      throw Failure.usage(
        "--\(settings.predictions == nil ? "global" : "predictions") needs a single bundle of samples and no tally"
      )
    }
    var tally = try Tally(
      network, digest: digest, certifying: solution, solutionDigest: solutionDigest)
    let progress = invocation.progress()
    recipe = examples.metadata
    try tally.add(examples)
    while try !input.isAtEnd() {
      examples = try Examples(
        BundleReader(input), gates: solution?.program.sums != nil, like: network.model)
      try tally.add(examples)
      progress.update("\(tally.sums?.samples ?? 0) samples")
    }
    progress.finish()
    self.tally = tally
    return try tallied(tally.sums!, objections: tally.objections)
  }

  /// Writes the tally that was made.
  func writeTally(to output: Output) throws {
    guard let sums = tally?.sums else { return }
    try sums.bundle(metadata: invocation.metadata(after: recipe)).write(to: output)
  }
}

private func readSolution(_ bundle: Bundle) throws -> any Solution { try solution(of: bundle) }
