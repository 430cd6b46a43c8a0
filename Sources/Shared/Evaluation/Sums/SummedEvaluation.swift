import LinearAlgebra
import Schema
import Tensors

/// A network judged on sums over samples: its loss and, with a solution, the certificate. Sums do not tell how many
/// samples are classified correctly.
package struct SummedEvaluation: Sendable {
  package let report: Report
  package let violations: [String]
  package let warnings: [String]

  /// `beta` asks for the training objective, `solution` for the certificate. Throws if these do not belong together.
  package init(
    _ network: TrainedNetwork, on data: JudgedSums, beta: Double?,
    certifying solution: (any Solution)?
  ) throws {
    let sums = data.sums
    var objections = try network.checkPreparation(of: data)
    let space = try FeatureSpace(
      sums.design, order: sums.order, regions: sums.regions, dimension: sums.dimension,
      name: sums.name)
    guard network.function.outputs == sums.outputs, network.loss == .squared,
      network.judgedLoss.weights == nil, let own = space.weights(of: network.function)
    else {
      throw Failure.data(
        "\(network.name) is no network of the features of \(sums.name): another activation, loss, gates or outputs"
      )
    }
    if sums.counts != nil {
      let values = try sums.common.targetValues(outputs: sums.outputs, loss: .squared)
      guard network.targets == values else {
        throw Failure.data("the targets of \(network.name) are not those of \(sums.name)")
      }
    }
    let products = SummedProducts(sums)
    let judged = try solution.map {
      try Judged($0, network, data, products, space, own: own, beta: beta)
    }
    let loss = try judged?.loss ?? SummedEvaluation.loss(own, products)
    var report = Report()
    report.add("samples", sums.samples)
    report.add("neurons", network.function.neurons)
    network.function.describe(in: &report)
    report.add("loss", loss)
    if let weight = solution?.program.beta ?? beta {
      report.add("objective", loss + weight * network.function.penalty)
    }
    var violations: [String] = []
    if let judged, let solution {
      judged.add(to: &report)
      violations = judged.violations(of: solution, network) + objections
      objections = []
      warnings = [judged.shortfall(of: solution)].compactMap { $0 }
    } else {
      warnings = objections
    }
    if let name = report.firstNonFinite {
      throw Failure.data(
        "\(name) of \(network.name) on \(sums.name) is no finite number: something overflowed")
    }
    self.report = report
    self.violations = violations
  }

  private static func loss(_ weights: Matrix, _ products: SummedProducts) throws -> Double {
    let (high, low) = products.gramTimes(weights)
    return SummedCertificate.loss(SummedPoint(x: weights, high: high, low: low), products)
      .reduce(0, +)
  }

  /// A solution and the network that was recovered from it.
  private struct Judged {
    let proof: SummedCertificate
    let loss: Double
    let recoveryError: Double
    let disagreements: [String]

    init(
      _ solution: any Solution, _ network: TrainedNetwork, _ data: JudgedSums,
      _ products: SummedProducts, _ space: FeatureSpace, own: Matrix, beta: Double?
    ) throws {
      let program = solution.program
      try data.check(solution)
      try program.check(network)
      var found = program.disagreements(with: data, network)
      if let beta, program.beta != beta {
        found.append("--beta is \(beta), but \(program.name) was solved for \(program.beta)")
      }
      found += network.function.summedObjections(to: solution)
      disagreements = found
      let (weights, points) = try products.points(of: solution, in: space, own)
      let difference = points(2)
      recoveryError = difference.curvatures.reduce(0, +).squareRoot()
      loss = SummedCertificate.loss(points(1), products).reduce(0, +)
      proof = try SummedCertificate(
        solution, products, space, weights: weights, dual: points(0))
    }

    func add(to report: inout Report) {
      report.add(proof.certificate)
      report.add("recovery_error", recoveryError)
      report.add("gap_for_samples", proof.gapForSamples)
    }

    func shortfall(of solution: any Solution) -> String? {
      solution.program.claim.shortfall(
        of: solution.program.name, gap: proof.certificate.relativeGap)
    }

    func violations(of solution: any Solution, _ network: TrainedNetwork) -> [String] {
      Claim.violations(
        of: solution, proof.certificate, recoveryError: recoveryError,
        outputSize: proof.outputSize,
        objective: loss + solution.program.beta * network.function.penalty) + disagreements
    }
  }
}

extension SummedProducts {
  /// The solution's weights and, by number, its dual coefficients and what `others`, a matrix Q × C, and its difference
  /// from the weights make of the sums. Throws if the solution is of another program.
  func points(
    of solution: any Solution, in space: FeatureSpace, _ others: Matrix? = nil
  ) throws -> (weights: SummedPoint, points: (Int) -> SummedPoint) {
    guard let weights = space.weights(of: solution), let dual = solution.program.sums else {
      throw Failure.data(
        "\(solution.program.name) is no solution of the program of \(statistics.name)")
    }
    let c = weights.columns
    var parts = [weights, dual.coefficients]
    if let others {
      let difference = Matrix(copying: others)
      axpy(difference.count, -1, weights.base, difference.base)
      parts += [others, difference]
    }
    let all = Matrix(weights.rows, c * parts.count)
    for (k, part) in parts.enumerated() { all.setColumns(k * c..<(k + 1) * c, to: part) }
    let (high, low) = gramTimes(all)
    let whole = SummedPoint(x: all, high: high, low: low)
    return (whole.columns(0..<c), { whole.columns(($0 + 1) * c..<($0 + 2) * c) })
  }
}

extension Report {
  /// The rows of a certificate, from its word on.
  mutating func add(_ certificate: Certificate) {
    add("certificate", certificate.scope.rawValue)
    add("primal_objective", certificate.primalObjective)
    add("dual_objective", certificate.dualObjective)
    add("relative_gap", certificate.relativeGap)
    add("dual_infeasibility", certificate.dualInfeasibility)
    add("primal_infeasibility", certificate.primalInfeasibility)
    if let bound = certificate.globalDualObjective {
      add("global_dual_objective", bound)
      add("global_gap", Certificate.gap(primal: certificate.primalObjective, dual: bound))
    }
  }
}

extension NetworkFunction {
  /// The ways in which the network is not that of a solution of sums, apart from its outputs.
  func summedObjections(to solution: any Solution) -> [String] {
    if let deep = self as? DeepLinearNetwork {
      return deep.folded.objections(to: solution) + deep.imbalanceObjections
    }
    return (self as? ReLUNetwork)?.objections(to: solution) ?? []
  }
}
