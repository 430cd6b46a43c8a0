import LinearAlgebra
import Schema
import Tensors

/// A network judged by a tally: the report over all samples that it counts, and with the solution of sums whose ν it holds
/// the certificate over these samples.
package struct TallyEvaluation: Sendable {
  package let report: Report
  package let violations: [String]
  package let warnings: [String]
  /// Nil for targets.
  package let confusion: ConfusionMatrix?

  /// `objections` are what the tally found otherwise; `isWritten` says that it is written, to be added to others. Throws
  /// if these do not belong together.
  package init(
    _ network: TrainedNetwork, digest: String, on tally: TallyTensors, beta: Double?,
    certifying solution: (any Solution)?, solutionDigest: String?, isWritten: Bool = false,
    objections: [String] = []
  ) throws {
    guard tally.networkDigest == digest else {
      throw Failure.data("\(tally.name) is the tally of another network than \(network.name)")
    }
    try network.expectClasses(of: tally)
    confusion = tally.confusion.map { ConfusionMatrix(names: tally.classes, counts: $0) }
    var report = Report(of: network, tally, confusion)
    let weight = solution?.program.beta ?? beta
    let objective = weight.map { tally.loss + $0 * network.function.penalty }
    if let objective { report.add("objective", objective) }
    var (violations, warnings) = ([String](), objections)
    // A part of the samples proves nothing by itself: its tally is there to be added.
    let isPart = isWritten && tally.samples < solution?.program.samples ?? 0
    if let solution, let objective, !isPart {
      try solution.program.check(network)
      (violations, warnings) = (objections, [])
      violations += network.function.summedObjections(to: solution).filter {
        !objections.contains($0)
      }
      if let beta, beta != solution.program.beta {
        violations.append(
          "--beta is \(beta), but \(solution.program.name) was solved for \(solution.program.beta)")
      }
      guard let certified = tally.certified, tally.solutionDigest == solutionDigest else {
        throw Failure.data(
          "\(tally.name) does not hold the certificate of \(solution.program.name): evaluate --certify with --tally makes it"
        )
      }
      let proof = try solution.certificate(from: certified, of: tally)
      report.add(proof)
      report.add("recovery_error", certified.outputError.squareRoot())
      violations +=
        Claim.violations(
          of: solution, proof, recoveryError: certified.outputError.squareRoot(),
          outputSize: certified.outputSquares.squareRoot(), objective: objective)
      if solution.program.samples != tally.samples {
        violations.append(
          "\(tally.name) counts \(tally.samples) samples, but \(solution.program.name) was found from "
            + "\(solution.program.samples)")
      }
      warnings +=
        [
          solution.program.claim.shortfall(of: solution.program.name, gap: proof.relativeGap)
        ].compactMap { $0 }
    }
    if let confusion { report.addClasses(confusion) }
    if let name = report.firstNonFinite {
      throw Failure.data("\(name) of \(network.name) on \(tally.name) is no finite number")
    }
    (self.report, self.violations, self.warnings) = (report, violations, warnings)
  }
}

extension Solution {
  /// The proof over the samples that `tally` counts. Throws if it is not of this solution.
  fileprivate func certificate(
    from sums: TallyTensors.Certified, of tally: TallyTensors
  ) throws -> Certificate {
    guard let dual = program.sums,
      sums.directions.shape == [dual.coefficients.rows, program.outputs]
    else {
      throw Failure.data(
        "tensor \"directions\" of \(tally.name) is \(sums.directions.summary), which is not of \(program.name)"
      )
    }
    let features = dual.features
    let space = try FeatureSpace(
      features.design, order: features.order, regions: features.regions,
      dimension: features.dimension, name: program.name)
    let stored = SummedDual.stored(
      dual, lengths: sums.featureSquares.doubles.map { max(0, $0).squareRoot() },
      squares: sums.squares)
    guard let largest = space.largestConstraint(Matrix(sums.directions), of: self, .samples),
      let rounding = space.largestConstraint(stored, of: self, .bounds)
    else { throw Failure.data("the dual constraints of \(program.name) overflow") }
    let (product, square) = (sums.products.reduce(0, +), sums.squares.reduce(0, +))
    return Certificate(
      scope: program.kind == .gatedReLU ? .gates : .global, beta: program.beta,
      primalObjective: sums.solutionLoss + program.beta * penalty,
      primalInfeasibility: primalInfeasibility, predictionError: 0, largestConstraint: largest,
      rounding: rounding
    ) { $0 * product - 0.5 * $0 * $0 * square }
  }
}

extension TrainedNetwork {
  /// Throws `Failure.data` if `tally` counts other classes than this network decides for, or its sums of targets are not
  /// those of its classes.
  fileprivate func expectClasses(of tally: TallyTensors) throws {
    guard let confusion = tally.confusion else { return }
    let (count, outputs) = (tally.classes.count, function.outputs)
    guard classes == nil || classes == tally.classes,
      outputs == count || (outputs == 1 && count == 2)
    else {
      throw Failure.data(
        "the classes of \(tally.name) are \(tally.classes.joined(separator: ",")), which are not those of \(name)"
      )
    }
    guard let certified = tally.certified else { return }
    let counts = (0..<count).map { k in confusion[k * count..<(k + 1) * count].reduce(0, +) }
    guard certified.targetSquares.count == outputs else { return }
    for c in 0..<outputs {
      let square = targets.sums(counts, output: c, of: outputs).square
      guard abs(certified.targetSquares[c] - square) <= 1e-9 * square else {
        throw Failure.data(
          "tensor \"target_squares\" of \(tally.name) is not what the classes that \"confusion\" counts have"
        )
      }
    }
  }
}

extension Report {
  /// What a tally tells of a network without its solution.
  fileprivate init(of network: TrainedNetwork, _ tally: TallyTensors, _ confusion: ConfusionMatrix?)
  {
    self.init()
    add("samples", tally.samples)
    if confusion != nil { add("classes", tally.classes.count) }
    add("neurons", network.function.neurons)
    network.function.describe(in: &self)
    add("loss", tally.loss)
    if let confusion {
      let right = confusion.names.indices.reduce(0) { $0 + confusion[$1, $1] }
      add("accuracy", Double(right) / Double(tally.samples))
    } else if network.loss.isOfDistances {
      let count = Double(tally.samples * network.function.outputs)
      add("rmse", (2 * tally.loss / count).squareRoot())
    }
  }

  /// Recall and precision of each class; those of classes without samples, or without decisions, are left out.
  mutating func addClasses(_ counts: ConfusionMatrix) {
    for (c, name) in counts.names.map(printable).enumerated() {
      if let recall = counts.recall(c) { add("recall_\(name)", recall) }
      if let precision = counts.precision(c) { add("precision_\(name)", precision) }
    }
  }
}
