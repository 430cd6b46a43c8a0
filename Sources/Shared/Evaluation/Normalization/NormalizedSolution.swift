import LinearAlgebra
import Schema
import Tensors

/// A solution of a program with batch normalisation before the ReLU: weights (w, a) of C x and 1/√n in cones of
/// patterns, of the length ‖(C X w, a)‖.
///
/// In an orthonormal basis Q of the columns of C X, which is found here from the data, the weights are (Qᵀ C X w, a), their
/// length is Euclidean, and the program is one over patterns of the samples (Q_j, 1/√n): it is judged as such.
package struct NormalizedSolution: Solution {
  package let program: SolvedProgram
  let place: BatchNorm
  private let bundle: Bundle
  private let variablesOfPatterns: PatternVariables
  /// d.
  private let dimension: Int
  private let listsOwn: Bool
  let gates: GateTensors

  package var variables: String { program.kind == .relu ? "\"v\" and \"w\"" : "\"w\"" }
  package var needsPatterns: Bool { !listsOwn }
  /// The length of the weights as the solution's own factor gives it, for a report; the certificate does not use it.
  package let penalty: Double

  /// Takes over a bundle of kind `solution` with metadata `batch_norm`.
  package init(_ bundle: Bundle) throws {
    self.bundle = bundle
    program = try SolvedProgram(bundle)
    place = try bundle.read(.batchNorm)
    guard [.relu, .gatedReLU].contains(program.kind) else {
      throw Failure.data(
        "metadata \"batch_norm\" of \(bundle.name) is for relu and gated-relu, not for \(program.kind.text)"
      )
    }
    try bundle.expectOnly(
      (program.kind == .relu ? [.v, .w] : [.w])
        + (place == .before ? [.normCenter, .normFactor] : [.normMean, .normDeviation]),
      metadata: ["norm", "group", "batch_norm", "list"])
    let variables = try PatternVariables(bundle, program.kind, outputs: program.outputs)
    dimension = variables.dimension - 1
    guard dimension > 0, variables.regions == 1,
      try bundle.read(.norm, default: .group) == .group,
      try bundle.read(.group, default: .perClass) == .perClass
    else {
      throw Failure.data(
        "\(bundle.name) has batch normalisation and regions or groups, which do not go together")
    }
    try bundle.expectGates(features: dimension)
    variablesOfPatterns = variables
    gates = variables.gates
    listsOwn = try bundle.hasOwnList
    penalty =
      place == .before
      ? try NormalizedSolution.penalty(bundle, variables, dimension: dimension)
      : try NormalizedSolution.penaltyAfter(bundle, variables, samples: program.samples)
    var seen: Set<Int> = []
    for value in variables.index where !seen.insert(value).inserted {
      throw Failure.data("tensor \"index\" of \(bundle.name) holds \(value) twice")
    }
  }

  /// Σ √(n s² + a²) by the solution's deviations s.
  private static func penaltyAfter(
    _ bundle: Bundle, _ variables: PatternVariables, samples: Int
  ) throws -> Double {
    let rows = rows(variables)
    let deviations = try bundle.require(.normDeviation, shape: [rows.count]).doubles
    return zip(rows, deviations).reduce(0) { sum, pair in
      let (a, gamma) = (pair.0[variables.dimension - 1], pair.1 * Double(samples).squareRoot())
      return sum + (gamma * gamma + a * a).squareRoot()
    }
  }

  /// Σ ‖(F w, a)‖ by the solution's factor F.
  private static func penalty(_ bundle: Bundle, _ variables: PatternVariables, dimension: Int)
    throws
    -> Double
  {
    let factor = Matrix(try bundle.require(.normFactor))
    guard factor.columns == dimension else {
      throw Failure.data(
        "tensor \"norm.factor\" of \(bundle.name) has \(factor.columns) columns, expected \(dimension)"
      )
    }
    var sum = CompensatedSum()
    for row in rows(variables) {
      var square = row[dimension] * row[dimension]
      for r in 0..<factor.rows {
        let part = dot(dimension, factor.row(r), row)
        square += part * part
      }
      sum.add(square.squareRoot())
    }
    return sum.value
  }

  /// The weights (w, a) of the positive neurons, output by output and pattern by pattern, then those of the negative ones.
  private static func rows(_ variables: PatternVariables) -> [[Double]] {
    [variables.positive, variables.negative].compactMap(\.self).flatMap { tensor in
      let (all, width) = (tensor.doubles, variables.dimension)
      return stride(from: 0, to: all.count, by: width).map { Array(all[$0..<$0 + width]) }
    }
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1 else {
      throw Failure.data(
        "\(examples.summary), expected samples of one patch: \(program.name) has batch normalisation"
      )
    }
    guard examples.dimension == dimension else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but \(program.name) is for \(dimension)"
      )
    }
    try CenteredFeatures.expectComparable(examples.matrix(of: patches), name: examples.name)
    guard needsPatterns else { return }
    try examples.expectHalfSpaces(program.name, "one with batch normalisation")
    guard let arrangements = examples.arrangements, arrangements.isListed else {
      throw Failure.data(
        "\(examples.name) has no tensor \"patterns\": the certificate of \(program.name) needs a list"
      )
    }
    if let bad = variablesOfPatterns.index.first(where: { $0 < 0 || $0 >= arrangements.count }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(arrangements.name) has \(arrangements.count) patterns"
      )
    }
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    if place == .after { return (try certificateAfter(on: examples, expected: expected), nil) }
    let (inner, reduced) = try reduce(examples)
    let proof = try inner.certificate(on: reduced, expected: expected, with: nil).proof
    return (
      proof.adding(try statisticsObjections(on: examples) + decisionObjections(on: examples)), nil
    )
  }

  /// How far what the solution tells of the features may be from what the data say, relative to its size.
  private static let tolerance = 1e-9

  /// Says so if `norm.center` is not the mean of the features, or `norm.factor` F has not ‖F w‖ = ‖C X w‖.
  private func statisticsObjections(on examples: Examples) throws -> [String] {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let centered = CenteredFeatures(x)
    let center = try bundle.require(.normCenter, shape: [dimension]).doubles
    let size = (0..<x.count).reduce(0) { max($0, abs(x.base[$1])) }
    var objections: [String] = []
    if let k = center.indices.first(where: {
      !(abs(center[$0] - centered.center[$0]) <= NormalizedSolution.tolerance * size)
    }) {
      objections.append(
        "tensor \"norm.center\" of \(program.name) holds \(center[k]) for feature \(k), but the mean of \(examples.name) is "
          + "\(centered.center[k])")
    }
    let factor = Matrix(try bundle.require(.normFactor))
    let claimed = product(factor, .transposed, factor, .plain)
    let found = product(centered.features, .transposed, centered.features, .plain)
    let limit = NormalizedSolution.tolerance * norm(found.count, found.base)
    if !(largestDifference(claimed, found) <= limit) {
      objections.append(
        "tensor \"norm.factor\" of \(program.name) is not a factor of the features of \(examples.name) less their means"
      )
    }
    return objections
  }

  /// Says so if a bit of a pattern contradicts the gate of a gated network: the gates decide by the features as they are, next
  /// to their boundary otherwise than in the coordinates of the program.
  private func decisionObjections(on examples: Examples) throws -> [String] {
    guard program.kind == .gatedReLU, case .patches(let patches) = examples.features,
      let arrangements = examples.arrangements
    else { return [] }
    let x = try examples.matrix(of: patches)
    let lengths = (0..<x.rows).map { norm(x.columns, x.row($0)) }
    return arrangements.gateObjections(
      x, lengths, of: program.name, variablesOfPatterns.index, gates, decide: true)
  }

  package func scope(on examples: Examples) throws -> Scope {
    if place == .after { return try scopeAfter(on: examples) }
    let (inner, reduced) = try reduce(examples)
    return try inner.scope(on: reduced)
  }

  /// The rows of [Q, 1/√n] have n entries of squares that sum to r + 1.
  package func featureScale(on examples: Examples) -> Double {
    (Double(dimension + 1) / Double(max(1, examples.count))).squareRoot()
  }

  /// The program over patterns of (Q_j, 1/√n), and its samples.
  private func reduce(_ examples: Examples) throws -> (PatternSolution, Examples) {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let centered = CenteredFeatures(try examples.matrix(of: patches))
    let (r, n) = (centered.basis.rows, patches.count)
    let (d, root) = (dimension, Double(n).squareRoot())
    func coordinates(_ row: [Double]) -> [Double] {
      (0..<r).map { dot(d, centered.factor.row($0), row) }
    }
    func lowered(_ gates: Tensor) -> Tensor {
      gates.mappingRows(width: r + 1) { gate in
        coordinates(gate) + [gate.count > d ? gate[d] : root * dot(d, centered.center, gate)]
      }
    }
    var solution = bundle
    for key in [TensorKey.v, .w] {
      solution[key] = bundle[key]?.mappingRows(width: r + 1) { coordinates($0) + [$0[d]] }
    }
    solution[.gates] = bundle[.gates].map(lowered)
    solution.metadata[.batchNorm] = nil
    for key in [TensorKey.normCenter, .normFactor] { solution[key] = nil }
    let x = Matrix(n, r + 1)
    for j in 0..<n {
      for k in 0..<r { x[j, k] = centered.basis[k, j] }
      x[j, r] = 1 / root
    }
    var data = Bundle(kind: .arrangements, tensors: [:])
    data.name = examples.name
    data[.x] = x.tensor
    if let arrangements = examples.arrangements, !listsOwn {
      data[.gates] = lowered(arrangements.gates.vectors)
      data[.thresholds] = arrangements.gates.thresholds
      data[.patterns] = arrangements.patterns
      data.metadata[.exact] = arrangements.isExact
    }
    var inner = try PatternSolution(solution)
    inner.gatesDecide = false
    let reduced = try Examples(data, patterns: true, list: listsOwn ? solution : nil)
    try inner.check(against: reduced)
    return (inner, reduced)
  }
}

// MARK: - After the ReLU

extension NormalizedSolution {
  private func certificateAfter(on examples: Examples, expected: Matrix) throws -> Certificate {
    guard case .patches(let patches) = examples.features, let arrangements = examples.arrangements
    else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let isGated = program.kind == .gatedReLU
    let judge = try NormalizedConstraints(x, arrangements, isGated: isGated)
    let outputs = Matrix(x.rows, program.outputs)
    var (penalty, coneViolation) = (CompensatedSum(), 0.0)
    let index = variablesOfPatterns.index
    var statistics = (means: [Double](), deviations: [Double](), sizes: [Double]())
    for (k, row) in NormalizedSolution.rows(variablesOfPatterns).enumerated() {
      let (part, sign) = (k / max(1, index.count), k < index.count * program.outputs ? 1.0 : -1)
      let image = judge.image(of: row, pattern: index[k % index.count])
      penalty.add(image.length)
      statistics.means.append(image.mean)
      statistics.deviations.append(image.deviation)
      statistics.sizes.append(image.size)
      coneViolation = max(coneViolation, image.violation)
      for j in 0..<x.rows { outputs[j, part % program.outputs] += sign * image.values[j] }
    }
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    var largest = 0.0
    for c in 0..<program.outputs {
      largest = max(largest, try judge.largestConstraint(dual.values.column(c)))
    }
    var objections = arrangements.gateObjections(
      x, judge.lengths, of: program.name, index, gates, decide: isGated)
    for (key, found) in [
      (TensorKey.normMean, statistics.means), (.normDeviation, statistics.deviations),
    ] {
      let claimed = try bundle.require(key, shape: [found.count]).doubles
      if let k = found.indices.first(where: {
        !(abs(claimed[$0] - found[$0]) <= NormalizedSolution.tolerance * statistics.sizes[$0])
      }) {
        objections.append(
          "tensor \(quoted(key.name)) of \(program.name) holds \(claimed[k]) at place \(k), but that of \(examples.name) is "
            + "\(found[k])")
      }
    }
    let scope = try scopeAfter(on: examples)
    if !isGated, program.claim.scope == .global || bundle.metadata[.exact] == true, scope != .global
    {
      objections.append(
        "\(program.name) says that its patterns are all there are, which those of \(arrangements.name) are not"
      )
    }
    // The features are orthonormal: rounding moves the constraint by as much as ν.
    let rounding = Double.ulpOfOne * norm(dual.values.count, dual.values.base)
    return Certificate(
      dual, scope: scope, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty.value,
      primalInfeasibility: coneViolation,
      predictionError: largestDifference(outputs, program.predictions),
      largestConstraint: largest, rounding: rounding, objections: objections)
  }

  private func scopeAfter(on examples: Examples) throws -> Scope {
    if program.kind == .gatedReLU { return .gates }
    guard case .patches(let patches) = examples.features, let arrangements = examples.arrangements,
      arrangements.isExact || program.claim.scope == .global
    else { return .patterns }
    return try arrangements.isComplete(
      examples, patches, dual: program.dual, beta: program.beta) ? .global : .patterns
  }
}
