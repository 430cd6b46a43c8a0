import LinearAlgebra
import Schema
import Tensors

/// Samples that a generator made, with its weights and its claim: the bundle that `generate` writes.
///
/// Of data X (n × d) it judges ‖XᵀX − GᵀG‖₂ ≤ β, each Gram matrix over its number of rows if these differ, and a lower
/// bound of R, whose terms no generator can go below: with λ_k the eigenvalues of XᵀX, GᵀG ⪰ XᵀX − β I has eigenvalues of at
/// least h_k = (λ_k − β)₊. So ‖G‖_F² ≥ Σ h_k, and ‖W‖_F² = tr WᵀW ≥ Σ h_k/μ_k for G = Z W and μ_k the eigenvalues of ZᵀZ,
/// both descending (von Neumann's trace inequality).
package struct GeneratedSamples {
  private let name: String
  private let kind: GeneratorKind
  private let beta: Double
  /// G, N × d.
  private let samples: Matrix
  /// Z, W, and of a ReLU generator Uᵀ and A.
  private let weights: [Matrix]
  private let pictures: GeneratedPictures?
  /// Metadata `features`.
  private let columns: String?
  /// Nil before there is one.
  private let claim: (primal: Double, dual: Double, gap: Double, constraint: Double)?

  /// Numbers may be apart by this share.
  private static let tolerance = 1e-9
  /// What forming Gram matrices may lose, as a share of the largest eigenvalue.
  private static let rounding = 1e-12
  /// The share of β up to which that may be.
  private static let roundingLimit = 1e-4

  /// Whether `bundle` is one of generated samples.
  package static func isGenerated(_ bundle: Bundle) -> Bool {
    bundle.metadata["generator"] != nil && [.images, .dataset].contains(bundle.kind)
  }

  /// Throws `Failure.data` if tensors are missing, do not fit each other, or belong to another generator. Without `claims`
  /// the bundle says nothing yet of what `judge` finds.
  package init(_ bundle: Bundle, claims: Bool = true) throws {
    name = bundle.name
    try bundle.expect(.images, .dataset)
    columns = bundle.metadata[TableKey.features]
    kind = try bundle.read(.generator)
    beta = try bundle.read(.beta)
    guard beta > 0 else {
      throw Failure.data("metadata \"beta\" of \(name) is \(beta), expected a number above 0")
    }
    claim =
      try claims
      ? (
        bundle.read(.primalObjective), bundle.read(.dualObjective), bundle.read(.relativeGap),
        bundle.read(.constraint)
      ) : nil
    if bundle.metadata["certificate"] != nil {
      guard try bundle.read(.certificate) == .global else {
        throw Failure.data("metadata \"certificate\" of \(name), expected \"global\"")
      }
    }
    let own = kind.weights.map(\.name)
    for key in TensorKey.generatorWeights where bundle[key] != nil && !own.contains(key.name) {
      throw Failure.data(
        "\(name) has a tensor \(quoted(key.name)), which a generator \(quoted(kind.rawValue)) has not"
      )
    }
    if bundle.kind == .images {
      pictures = try GeneratedPictures(bundle)
      samples = try GeneratedSamples.matrix(bundle, .generated)
    } else {
      pictures = nil
      samples = try features(of: bundle)
    }
    weights = try kind.weights.map { try GeneratedSamples.matrix(bundle, $0) }
    try expectFitting(bundle)
  }

  private static func matrix(_ bundle: Bundle, _ key: TensorKey) throws -> Matrix {
    let tensor = try bundle.require(key)
    try tensor.expectFinite(key.name, of: bundle.name)
    return Matrix(tensor)
  }

  private func expectFitting(_ bundle: Bundle) throws {
    func expect(_ holds: Bool, _ key: TensorKey) throws {
      guard !holds else { return }
      throw Failure.data(
        "tensor \(quoted(key.name)) of \(name) is \(bundle[key]?.summary ?? ""), which does not fit the others of a generator "
          + "\(quoted(kind.rawValue)) of \(samples.rows) samples of \(samples.columns) features")
    }
    if let pictures { try expect(pictures.fits(samples), .generated) }
    guard kind != .free else { return }
    try expect(weights[0].rows == samples.rows, .latent)
    switch kind {
    case .free: break
    case .linear:
      try expect(
        weights[1].rows == weights[0].columns && weights[1].columns == samples.columns,
        .generatorWeight)
    case .relu:
      try expect(weights[1].columns == weights[0].columns, .generatorHidden)
      try expect(
        weights[2].rows == weights[1].rows && weights[2].columns == samples.columns,
        .generatorOutput)
    }
  }

  /// What the generator makes of its latent data; G itself if it is free.
  private var outputs: Matrix {
    switch kind {
    case .free: return samples
    case .linear: return product(weights[0], .plain, weights[1], .plain)
    case .relu:
      let hidden = product(weights[0], .plain, weights[1], .transposed)
      for i in 0..<hidden.count { hidden.base[i] = max(0, hidden.base[i]) }
      return product(hidden, .plain, weights[2], .plain)
    }
  }

  /// The report on `data`, of kind `dataset` or `images`, and the ways in which the claim fails. Throws `Failure.data` if
  /// they are of other features.
  package func judge(_ data: Bundle) throws -> GeneratorJudgement {
    let x: Matrix
    var violations: [String] = []
    if let pictures {
      let own = try pictures.centered(data)
      x = own.pixels
      violations += pictures.objections(to: samples, center: own.center, name: name)
    } else {
      x = try features(of: data)
      if let ours = columns, let theirs = data.metadata[TableKey.features], ours != theirs {
        violations.append(
          "the features of \(name) are \(ours), but those of \(data.name) are \(theirs)")
      }
    }
    guard x.columns == samples.columns else {
      throw Failure.data(
        "\(data.name) has \(x.columns) features, but \(name) has \(samples.columns)")
    }
    let error = largestDifference(outputs, samples)
    let largest = largestDifference(samples, Matrix(samples.rows, samples.columns))
    if !(error <= GeneratedSamples.tolerance * largest) {
      violations.append(
        "the samples are \(error) from what the generator makes of its latent data")
    }
    let proof = try GeneratorProof(
      x, samples, weights, kind, beta: beta, slack: GeneratedSamples.rounding)
    violations += objections(to: proof)
    var report = Report()
    report.add("samples", samples.rows)
    report.add("generator", kind.rawValue)
    report.add("components", proof.components)
    report.add("beta", beta)
    report.add("constraint", proof.constraint)
    report.add("certificate", Scope.global.rawValue)
    report.add("primal_objective", proof.primal)
    report.add("dual_objective", proof.dual)
    report.add("relative_gap", proof.gap)
    report.add("recovery_error", error)
    if let bad = report.firstNonFinite {
      throw Failure.data("\(bad) of \(name) is no finite number: something overflowed")
    }
    var metadata: [String: String] = [:]
    metadata[.constraint] = proof.constraint
    metadata[.primalObjective] = proof.primal
    metadata[.dualObjective] = proof.dual
    metadata[.relativeGap] = max(0, proof.gap)
    metadata[.certificate] = .global
    return GeneratorJudgement(report: report, violations: violations, claim: metadata)
  }

  private func objections(to proof: GeneratorProof) -> [String] {
    var found: [String] = []
    let tolerance = GeneratedSamples.tolerance
    if !(proof.slack <= GeneratedSamples.roundingLimit * beta) {
      found.append(
        "beta is too small beside these data: rounding alone may move the constraint by \(proof.slack)"
      )
    }
    if !(proof.constraint <= beta * (1 + tolerance) + proof.slack) {
      found.append("constraint is \(proof.constraint), above beta, which is \(beta)")
    }
    if !(proof.gap >= -tolerance) {
      found.append("relative_gap is \(proof.gap): the samples do not satisfy the constraint")
    }
    guard let claim else { return found }
    if !(abs(claim.constraint - proof.constraint) <= beta * tolerance + proof.slack) {
      found.append("constraint is \(proof.constraint), not \(claim.constraint)")
    }
    if !(abs(claim.primal - proof.primal) <= tolerance * proof.primal) {
      found.append("primal_objective is \(proof.primal), not \(claim.primal)")
    }
    if !(abs(claim.dual - proof.dual) <= tolerance * max(proof.primal, abs(proof.dual))) {
      found.append("dual_objective is \(proof.dual), not \(claim.dual)")
    }
    if !(abs(claim.gap - max(0, proof.gap)) <= tolerance && claim.gap >= 0) {
      found.append("relative_gap is \(proof.gap), not \(claim.gap)")
    }
    return found
  }
}

/// What `GeneratedSamples.judge` finds.
package struct GeneratorJudgement {
  package let report: Report
  /// The ways in which the samples, or their claim, fail; empty if they hold.
  package let violations: [String]
  /// The metadata of a true claim.
  package let claim: [String: String]
}

/// Features n × d of a dataset of one patch a sample, in double precision. Throws `Failure.data` if it is none.
package func features(of bundle: Bundle) throws -> Matrix {
  try bundle.expect(.dataset)
  let patches = try PatchTensor(bundle)
  guard patches.patches == 1 else {
    throw Failure.data(
      "tensor \"x\" of \(bundle.name) is \(patches.x.summary), expected one patch a sample")
  }
  try patches.x.expectFinite("x", of: bundle.name)
  let result = Matrix(patches.samples, patches.dimension)
  patches.x.copyDoubles(0..<result.count, into: result.base)
  return result
}

/// The constraint's value and the bounds of a generator's objective.
private struct GeneratorProof {
  /// ‖XᵀX − GᵀG‖₂.
  let constraint: Double
  /// How many eigenvalues of XᵀX are above β.
  let components: Int
  /// R, and a lower bound of it.
  let primal, dual: Double
  /// What rounding may add to the constraint.
  let slack: Double

  var gap: Double { primal == 0 && dual == 0 ? 0 : (primal - dual) / primal }

  init(
    _ x: Matrix, _ samples: Matrix, _ weights: [Matrix], _ kind: GeneratorKind, beta: Double,
    slack: Double
  ) throws {
    let d = x.columns
    try expectMemory(32 * Double(d) * Double(d), for: "Gram matrices of \(d) features")
    let (ours, theirs) =
      x.rows == samples.rows ? (1.0, 1.0) : (Double(samples.rows), Double(x.rows))
    let solver = SymmetricEigensolver(order: d)
    func spectrum(_ matrix: Matrix) throws -> [Double] {
      let copy = Matrix(copying: matrix)
      guard solver.decompose(copy.base, vectors: false) else {
        throw Failure.data("LAPACK found no eigenvalues of a Gram matrix of \(d) features")
      }
      return withExtendedLifetime(copy) { (0..<d).reversed().map { solver.values[$0] } }
    }
    let gram = Matrix(d, d)
    syrkUpper(d, x.rows, alpha: 1 / theirs, x.base, gram.base)
    let own = try spectrum(gram)
    syrkUpper(d, samples.rows, alpha: -1 / ours, samples.base, beta: 1, gram.base)
    let rest = try spectrum(gram)
    constraint = max(abs(rest.first ?? 0), abs(rest.last ?? 0))
    self.slack = slack * (own.first ?? 0)
    let excess = own.map { ours * ($0 - beta) }.filter { $0 > 0 }
    components = excess.count
    var (upper, lower) = (CompensatedSum(), CompensatedSum())
    let measured = kind == .linear ? weights[1] : samples
    for i in 0..<measured.count { upper.add(measured.base[i], times: measured.base[i]) }
    if kind == .linear {
      guard let latent = SingularValues(weights[0]) else {
        throw Failure.data("LAPACK found no singular values of tensor \"latent\"")
      }
      for (k, h) in excess.enumerated() {
        let size = k < latent.values.count ? latent.values[k] : 0
        lower.add(h, times: 1 / (size * size))
      }
    } else {
      for h in excess { lower.add(h, times: 1) }
    }
    (primal, dual) = (upper.value, lower.value)
  }
}
