import LinearAlgebra
import Schema
import Tensors

/// A network judged on samples: its outputs, its report, and if asked whether the solution it came from keeps its
/// promise.
package struct NetworkEvaluation: Sendable {
  package let outputs: Matrix
  package let expected: ExpectedOutputs
  /// The class decided for each sample; `nil` for regression.
  package let decisions: [Int]?
  package let report: Report
  /// The ways in which the solution's claim fails; empty if it holds or nothing was to be certified.
  package let violations: [String]
  package let warnings: [String]

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
    }
    expected = try ExpectedOutputs(
      examples, targets: network.targets, outputs: network.function.outputs,
      classes: network.classes, loss: network.loss)
    let judged = try solution?.certificate(
      on: examples, expected: expected.values, with: network.function)
    outputs = try judged?.outputs ?? network.function.values(on: examples)
    let loss = try network.loss(of: outputs, expected.values)
    decisions = expected.decisions(outputs)

    var report = Report()
    report.add("samples", examples.count)
    if expected.labels != nil { report.add("classes", expected.classCount) }
    report.add("neurons", network.function.neurons)
    report.add("loss", loss)
    report.add(outputs, decisions, against: expected, network.loss)
    let weight = solution?.program.beta ?? beta
    let objective = try weight.map { try network.objective(loss: loss, beta: $0) }
    if let objective { report.add("objective", objective) }
    if let tolerance, let objective, let weight {
      report.add(
        try GlobalDistance(
          network, on: examples, outputs: outputs, expected: expected.values,
          objective: objective, beta: weight, tolerance: tolerance, or: solution?.program.dual))
    }
    if let solution, let objective, let certificate = judged?.proof {
      let recoveryError = largestDifference(outputs, solution.program.predictions)
      try report.add(certificate, of: solution, network, examples, recoveryError: recoveryError)
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
    } else {
      violations = []
    }
    if let name = report.firstNonFinite {
      throw Failure.data(
        "\(name) of \(network.name) on \(examples.name) is no finite number: something overflowed")
    }
    self.report = report
    self.warnings = warnings
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
    if let beta, program.beta != beta {
      objections.append("--beta is \(beta), but \(program.name) was solved for \(program.beta)")
    }
    return objections + (try network.function.objections(to: solution, on: examples))
  }

  /// A table of tab-separated values: for each sample its number, the label and the class decided (or
  /// the targets), and the outputs.
  package var table: String {
    let columns = outputs.columns
    func names(_ name: String) -> [String] {
      columns == 1 ? [name] : (0..<columns).map { "\(name)_\($0)" }
    }
    let answers = expected.labels == nil ? names("target") : ["label", "prediction"]
    var text = (["index"] + answers + names("output")).joined(separator: "\t") + "\n"
    for i in 0..<outputs.rows {
      text += "\(i)"
      if let labels = expected.labels, let decisions {
        text += "\t\(labels[i])\t\(decisions[i])"
      } else {
        for c in 0..<columns { text += "\t\(expected.values[i, c])" }
      }
      for c in 0..<columns { text += "\t\(outputs[i, c])" }
      text += "\n"
    }
    return text
  }

  /// How often class i (row) was taken for class j (column). Throws for regression.
  package func confusionMatrix() throws -> ConfusionMatrix {
    guard let labels = expected.labels, let decisions else {
      throw Failure.data("a confusion matrix needs \"labels\", the data have \"targets\"")
    }
    var counts = [Int](repeating: 0, count: expected.classCount * expected.classCount)
    for (label, decision) in zip(labels, decisions) {
      counts[label * expected.classCount + decision] += 1
    }
    return ConfusionMatrix(names: expected.classNames, counts: counts)
  }
}

extension TrainedNetwork {
  /// ℓ(`outputs`). Throws if one of these, or it, is not finite.
  fileprivate func loss(of outputs: Matrix, _ expected: Matrix) throws -> Double {
    let value = loss.value(outputs, expected)
    guard areFinite(outputs.base, outputs.count), value.isFinite else {
      throw Failure.data("the outputs of \(name) are not finite: its weights overflow")
    }
    return value
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

  fileprivate mutating func add(_ distance: GlobalDistance) {
    add("global_bound", distance.bound)
    add("distance_bound", distance.distance)
    add("distance_relative", distance.relativeGap)
  }

  fileprivate mutating func add(
    _ certificate: Certificate, of solution: any Solution, _ network: TrainedNetwork,
    _ examples: Examples, recoveryError: Double
  ) throws {
    add("certificate", certificate.scope.rawValue)
    add("primal_objective", certificate.primalObjective)
    add("dual_objective", certificate.dualObjective)
    add("relative_gap", certificate.relativeGap)
    add("dual_infeasibility", certificate.dualInfeasibility)
    add("primal_infeasibility", certificate.primalInfeasibility)
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
