import LinearAlgebra
import Schema
import Tensors

/// A network judged on samples: its outputs, its report, and if asked whether the solution it came from keeps its
/// promise.
package struct NetworkEvaluation: Sendable {
  package let outputs: Matrix
  /// Nil if the samples have neither labels nor targets.
  package let expected: ExpectedOutputs?
  /// The class decided for each sample; `nil` for regression.
  package let decisions: [Int]?
  package let report: Report
  /// The ways in which the solution's claim fails; empty if it holds or nothing was to be certified.
  package let violations: [String]
  package let warnings: [String]
  private let predictions: PredictionTable

  /// `beta` asks for the training objective, `solution` for the certificate and the objective at its β; then `examples`
  /// must be the training data. `tolerance` asks for the distance from the global optimum, with the largest price of a
  /// neuron up to this share. Throws if these do not belong together.
  package init(
    _ network: TrainedNetwork, on examples: Examples, beta: Double? = nil,
    certifying solution: (any Solution)? = nil, distanceWithin tolerance: Double? = nil
  ) throws {
    var warnings = try network.check(against: examples)
    var objections: [String] = []
    if let solution {
      objections = try Self.objections(
        to: solution, of: network, on: examples, beta: beta, disagreements: warnings)
      warnings.removeAll()
    } else {
      warnings += network.warnings(of: examples)
    }
    if !examples.leftOut.isEmpty {
      warnings.append(
        "\(examples.name) has features that \(network.name) does not have, which are left out: "
          + examples.leftOut.map { quoted($0) }.joined(separator: ", "))
    }
    let isPrediction = examples.answers == nil && beta == nil && solution == nil
    expected =
      isPrediction
      ? nil
      : try ExpectedOutputs(
        examples, targets: network.targets, outputs: network.function.outputs,
        classes: network.classes, loss: network.loss)
    if let expected {
      try network.judgedLoss.expectClasses(expected, of: network.name, on: examples.name)
    }
    let judged = try expected.flatMap {
      try solution?.certificate(on: examples, expected: $0.values, with: network.function)
    }
    outputs = try judged?.outputs ?? network.function.values(on: examples)
    try network.expectFinite(outputs)
    predictions = PredictionTable(outputs, of: network, on: examples, expected: expected)
    decisions = predictions.decisions

    var report = Report()
    report.add("samples", examples.count)
    if decisions != nil { report.add("classes", predictions.classNames.count) }
    report.add("neurons", network.function.neurons)
    network.function.describe(in: &report)
    var violations: [String] = []
    if let expected {
      violations = try Self.judge(
        network, examples, outputs, expected, decisions, solution.map { ($0, judged?.proof) },
        objections: objections, beta: beta, tolerance: tolerance, &report, &warnings)
    }
    if let name = report.firstNonFinite {
      throw Failure.data(
        "\(name) of \(network.name) on \(examples.name) is no finite number: something overflowed")
    }
    self.report = report
    self.violations = violations
    self.warnings = warnings
  }

  /// Adds to `report` what labels or targets tell of the network, and its objective and certificate if they are asked
  /// for. Returns the violations of the solution's claim.
  private static func judge(
    _ network: TrainedNetwork, _ examples: Examples, _ outputs: Matrix,
    _ expected: ExpectedOutputs, _ decisions: [Int]?,
    _ claimed: (solution: any Solution, proof: Certificate?)?, objections: [String],
    beta: Double?, tolerance: Double?, _ report: inout Report, _ warnings: inout [String]
  ) throws -> [String] {
    let loss = try network.loss(of: outputs, expected.values)
    report.add("loss", loss)
    report.add(
      network.inUnitsOfTargets(outputs), decisions,
      against: expected.with(network.inUnitsOfTargets(expected.values)), network.loss)
    let weight = claimed?.solution.program.beta ?? beta
    let objective = try weight.map { try network.objective(loss: loss, beta: $0) }
    if let objective { report.add("objective", objective) }
    if let tolerance, let objective, let weight {
      report.add(
        try GlobalDistance(
          network, on: examples, outputs: outputs, expected: expected.values,
          objective: objective, beta: weight, tolerance: tolerance,
          or: claimed?.solution.program.dual))
    }
    var violations: [String] = []
    if let solution = claimed?.solution, let objective, let certificate = claimed?.proof {
      let recoveryError = largestDifference(outputs, solution.program.predictions)
      try report.add(certificate, of: solution, network, examples, recoveryError: recoveryError)
      for (name, value) in try solution.bounds(on: examples, expected: expected.values) {
        report.add(name, value)
      }
      let program = solution.program
      if let shortfall = program.claim.shortfall(
        of: program.name, gap: certificate.relativeGap)
      {
        warnings.append(shortfall)
      }
      violations =
        Claim.violations(
          of: solution, certificate, recoveryError: recoveryError, objective: objective)
        + objections
    }
    report.addClasses(decisions, against: expected)
    return violations
  }

  /// The ways in which `network` and `examples` are not those of `solution`. `disagreements` are those between the two:
  /// on other data a network may do as it likes, but these have to be the training data. Throws if they do not fit.
  private static func objections(
    to solution: any Solution, of network: TrainedNetwork, on examples: Examples, beta: Double?,
    disagreements: [String]
  ) throws -> [String] {
    let program = solution.program
    try program.check(against: examples, network)
    try solution.check(against: examples)
    var objections = disagreements + program.disagreements(with: examples, network)
    if let joint = solution as? JointSolution {
      for (k, part) in joint.parts.dropFirst().enumerated() where k < network.others.count {
        objections += part.program.disagreements(with: examples.others[k], network.others[k])
      }
    }
    if let beta, program.beta != beta {
      objections.append("--beta is \(beta), but \(program.name) was solved for \(program.beta)")
    }
    return objections + (try network.function.objections(to: solution, on: examples))
  }

  /// A table of tab-separated values: what the network says of each sample.
  package var table: String { predictions.text }

  /// How often class i (row) was taken for class j (column). Throws for regression.
  package func confusionMatrix() throws -> ConfusionMatrix {
    guard let labels = expected?.labels, let decisions else {
      throw Failure.data(
        expected == nil
          ? "a confusion matrix needs \"labels\", and the data have none"
          : "a confusion matrix needs \"labels\", the data have \"targets\"")
    }
    return ConfusionMatrix(
      names: predictions.classNames, labels: labels, decisions: decisions)
  }
}

extension PredictionTable {
  fileprivate init(
    _ outputs: Matrix, of network: TrainedNetwork, on examples: Examples,
    expected: ExpectedOutputs?
  ) {
    let classes = expected.map { $0.labels == nil ? nil : $0.classNames } ?? network.decidedClasses
    let targets = network.targets
    self.init(
      outputs: network.inUnitsOfTargets(outputs), names: examples.sampleNames,
      expected: expected.map { $0.with(network.inUnitsOfTargets($0.values)) },
      decisions: classes.map { _ in
        (0..<outputs.rows).map {
          targets.decide(UnsafeBufferPointer(start: outputs.row($0), count: outputs.columns))
        }
      }, classNames: classes ?? [], targets: targets, loss: network.loss)
  }
}

extension TrainedNetwork {
  /// ℓ(`outputs`). Throws if it is not finite.
  fileprivate func loss(of outputs: Matrix, _ expected: Matrix) throws -> Double {
    let value = judgedLoss.value(outputs, expected)
    guard value.isFinite else { throw overflow }
    return value
  }

  /// Throws if an output is not a finite number.
  fileprivate func expectFinite(_ outputs: Matrix) throws {
    guard areFinite(outputs.base, outputs.count) else { throw overflow }
  }

  private var overflow: Failure {
    .data("the outputs of \(name) are not finite: its weights overflow")
  }

  /// ℓ + β · penalty. Throws if that is not finite.
  fileprivate func objective(loss: Double, beta: Double) throws -> Double {
    let value = beta == 0 ? loss : loss + beta * function.penalty
    guard value.isFinite else {
      throw Failure.data("the objective of \(name) is not finite: its weights overflow")
    }
    return value
  }
}

extension Report {
  /// Adds the accuracy of the decisions, or for targets the root of the mean square error.
  fileprivate mutating func add(
    _ outputs: Matrix, _ decisions: [Int]?, against expected: ExpectedOutputs, _ loss: LossName
  ) {
    if let labels = expected.labels, let decisions {
      let right = zip(labels, decisions).reduce(0) { $0 + ($1.0 == $1.1 ? 1 : 0) }
      add("accuracy", Double(right) / Double(labels.count))
    } else if loss.isOfDistances {
      let squares = LossName.squared.value(outputs, expected.values)
      add("rmse", (2 * squares / Double(outputs.count)).squareRoot())
    } else if let accuracy = expected.accuracyOfTargets(outputs) {
      add("accuracy", accuracy)
    }
  }

  /// Adds recall and precision of each class.
  fileprivate mutating func addClasses(_ decisions: [Int]?, against expected: ExpectedOutputs) {
    guard let labels = expected.labels, let decisions else { return }
    addClasses(
      ConfusionMatrix(names: expected.classNames, labels: labels, decisions: decisions))
  }

  fileprivate mutating func add(_ distance: GlobalDistance) {
    add("global_bound", distance.bound)
    add("distance_bound", distance.distance)
    add("distance_relative", distance.relativeGap)
  }

  fileprivate mutating func add(
    _ certificate: Certificate, of solution: any Solution, _ network: TrainedNetwork,
    _ examples: Examples, recoveryError: Double
  ) throws {
    if solution.program.isChosen { add("beta", solution.program.beta) }
    add(certificate)
    add("recovery_error", recoveryError)
    guard solution.ownList != nil, certificate.scope == .patterns,
      case .patches(let patches) = examples.features, patches.pooling.sizes.count == 1,
      let function = network.function as? ReLUNetwork
    else { return }
    // Patterns that training found: how far neurons of other patterns are from being worth their price.
    let search = PriceSearch(
      features: try examples.matrix(of: patches), dual: solution.program.dual,
      from: function.filters)
    add("violation", search.largest / solution.program.beta)
    add("searches", search.count)
  }
}
