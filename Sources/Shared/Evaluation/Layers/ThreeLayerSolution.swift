import LinearAlgebra
import Schema
import Tensors

/// A solution of the convex program of ReLU networks of three layers,
///
///     min ½ ‖Σ_k o_k D'_k Σ_j s_j D_j X v_j − y‖² + β Σ ‖v_j‖,  v_j ∈ K_j,  (2D'_k − I) Σ_j s_j D_j X v_j ≥ 0.
///
/// ν is feasible if no neuron of the second layer has a price above β: for every set D' of samples, sign o and choice of M signed
/// patterns the largest o νᵀD' Σ_j s_j D_j X v_j with Σ ‖v_j‖ ≤ 1 under these constraints. For every λ ≥ 0 it is at most the
/// largest ‖P_K (s_j XᵀD_j u)‖, u = o D'ν + (2D' − I)λ. The solution has multipliers λ; whatever they are, the bound holds.
package struct ThreeLayerSolution: ListedSolution {
  package let program: SolvedProgram
  /// M.
  let width: Int
  private let units: UnitTensors
  private let weights: Matrix
  /// λ of each set of samples, and of some choices of signed patterns.
  private let multipliers: Matrix
  private let exceptions: [[Int]: [Double]]
  private let saysExact: Bool

  package var variables: String { "\"layers.weight\"" }
  package var needsPatterns: Bool { true }
  package var penalty: Double {
    var sum = CompensatedSum()
    for j in 0..<weights.rows { sum.add(norm(weights.columns, weights.row(j))) }
    return sum.value
  }

  /// The most choices of signed patterns, over all sets of samples, that are looked at.
  private static let mostChoices = 50_000_000.0

  /// Takes over a bundle of kind `solution` with metadata `layers` and activation `relu`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    try bundle.expectOnly(TensorKey.ofLayers, metadata: ["norm", "group", "layers", "unit_width"])
    let (n, layers) = (program.samples, try bundle.read(.layers))
    guard layers == 3, program.outputs == 1, program.loss == .squared, program.sums == nil,
      program.judgedLoss.weights == nil,
      try bundle.read(.norm, default: .group) == .group,
      try bundle.read(.group, default: .perClass) == .perClass
    else {
      throw Failure.data(
        "\(bundle.name) has \(layers) layers of relu neurons, expected 3, one output, the squared loss and norm group"
      )
    }
    units = try UnitTensors(bundle, samples: n)
    (width, weights) = (units.width, Matrix(units.weights))
    multipliers = Matrix(
      try bundle.require(.layersMultipliers, shape: [SampleSet.count(samples: n), n]))
    let keys = try bundle.require(.layersExceptions)
    let values = try bundle.require(.layersExceptionMultipliers, shape: [keys.shape[0], n]).doubles
    let numbers = keys.withElements(of: Int32.self) { $0.map(Int.init) }
    var exceptions: [[Int]: [Double]] = [:]
    for e in 0..<keys.shape[0] {
      let key = Array(numbers[e * keys.shape[1]..<(e + 1) * keys.shape[1]])
      exceptions[key] = Array(values[e * n..<(e + 1) * n])
    }
    self.exceptions = exceptions
    for (name, all) in [
      ("layers.multipliers", multipliers.values), ("layers.exception_multipliers", values),
    ] {
      if let bad = all.first(where: { $0 < 0 }) {
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) holds \(bad), expected 0 or more")
      }
    }
    saysExact = bundle.metadata[.exact] == true
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1 else {
      throw Failure.data("\(examples.summary), expected samples of one patch for \(program.name)")
    }
    guard examples.dimension == weights.columns else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but \(program.name) is for \(weights.columns)"
      )
    }
    try examples.expectHalfSpaces(program.name, "of relu neurons")
    guard let arrangements = examples.arrangements, arrangements.isListed else {
      throw Failure.data(
        "\(examples.name) has no tensor \"patterns\": the certificate of \(program.name) needs a list"
      )
    }
    if let bad = units.index.first(where: { !(0..<arrangements.count).contains($0) }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(arrangements.name) has \(arrangements.count) patterns"
      )
    }
    var choices = Double(SampleSet.count(samples: examples.count))
    if !isMerged(arrangements.count) {
      for k in 0..<width { choices *= Double(2 * arrangements.count - k) / Double(k + 1) }
    }
    guard choices <= ThreeLayerSolution.mostChoices else {
      throw Failure.data(
        "\(program.name) has three layers and too many samples or patterns for its bound to be told"
      )
    }
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    guard case .patches(let patches) = examples.features, let arrangements = examples.arrangements
    else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let lengths = (0..<x.rows).map { norm(x.columns, x.row($0)) }
    let (outputs, violation) = primal(x, lengths, arrangements)
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let scope = try scope(on: examples)
    var objections = arrangements.gateObjections(
      x, lengths, of: program.name, units.index, units.gates)
    if scope != .global, saysExact || program.claim.scope == .global {
      objections.append(
        "\(program.name) says that its patterns are all there are, which those of \(arrangements.name) are not"
      )
    }
    for k in units.units.indices where units.members(of: k).count > width && width < x.rows {
      objections.append(
        "unit \(k) of \(program.name) has more weights than its metadata \"unit_width\", \(width)")
    }
    var square = CompensatedSum()
    for j in 0..<x.rows {
      let size = abs(dual.values[j, 0]) * lengths[j]
      square.add(size, times: size)
    }
    let proof = Certificate(
      dual, scope: scope, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty,
      primalInfeasibility: violation,
      predictionError: largestDifference(outputs, program.predictions),
      largestConstraint: largestPrice(x, lengths, arrangements, dual.values.values),
      rounding: Double.ulpOfOne * square.value.squareRoot(), objections: objections)
    return (proof, nil)
  }

  /// ŷ, and how far weights are from their cones, and their sums from the sides of D', relative to ‖x_i‖ and the length of all
  /// weights together.
  private func primal(_ x: Matrix, _ lengths: [Double], _ arrangements: Arrangements) -> (
    Matrix, Double
  ) {
    let result = Matrix(x.rows, 1)
    let products = product(x, .plain, weights, .transposed)
    let size = penalty
    var violation = 0.0
    for (k, unit) in units.units.enumerated() {
      let members = units.members(of: k)
      for i in 0..<x.rows {
        var (sum, excess) = (CompensatedSum(), 0.0)
        for j in members {
          let isActive = arrangements.isActive(units.index[j], row: i)
          excess = max(excess, isActive ? -products[i, j] : products[i, j])
          if isActive { sum.add(products[i, j], times: units.sign[j]) }
        }
        excess = max(excess, unit.contains(i) ? -sum.value : sum.value)
        if excess > violation * lengths[i] * size { violation = excess / (lengths[i] * size) }
        if unit.contains(i) { result[i, 0] += unit.sign * sum.value }
      }
    }
    return (result, violation)
  }

  /// Whether a unit may have all patterns at once: with as many neurons as samples it needs no more.
  private func isMerged(_ patterns: Int) -> Bool {
    width >= program.samples || width >= 2 * patterns
  }

  // MARK: Prices

  /// An upper bound of the prices of all neurons of the second layer for ν.
  private func largestPrice(
    _ x: Matrix, _ lengths: [Double], _ arrangements: Arrangements, _ nu: [Double]
  ) -> Double {
    let sets = SampleSet.count(samples: x.rows)
    let rows = ConeRows(x, lengths: lengths, arrangements)
    var found = [Double](repeating: 0, count: sets)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      Threads.split(sets) { own in
        let judge = LayerPrices(rows, nu: nu, beta: program.beta)
        for number in own { found[number] = price(SampleSet(number), judge) }
      }
    }
    return found.max() ?? 0
  }

  /// An upper bound of the prices of the neurons that are on for one set of samples, with one sign.
  private func price(_ set: SampleSet, _ judge: LayerPrices) -> Double {
    let patterns = judge.patterns
    let general = judge.prices(
      set, Array(0..<2 * patterns), multipliers: Array(multipliers.values(ofRow: set.number)))
    let top = general.max() ?? 0
    if isMerged(patterns) || !(top > program.beta) { return top }
    // Some M signed patterns, one of which is too high for the common multipliers.
    let high = general.indices.filter { !(general[$0] <= program.beta) }
    var largest = program.beta
    forEachChoice(of: 2 * patterns) { members in
      guard members.contains(where: high.contains) else { return }
      var own = members.reduce(0) { max($0, general[$1]) }
      if let multipliers = exceptions[[set.number] + members] {
        let prices = judge.prices(set, members, multipliers: multipliers)
        own = min(own, prices.max() ?? 0)
      }
      largest = max(largest, own)
    }
    return largest
  }

  /// Calls `body` with every set of M of 0 … n − 1, ascending.
  private func forEachChoice(of n: Int, _ body: ([Int]) -> Void) {
    var members = Array(0..<width)
    while true {
      body(members)
      guard let place = (0..<width).last(where: { members[$0] < n - width + $0 }) else { return }
      members[place] += 1
      for next in place + 1..<max(place + 1, width) { members[next] = members[next - 1] + 1 }
    }
  }
}

extension Matrix {
  fileprivate func values(ofRow row: Int) -> UnsafeBufferPointer<Double> {
    UnsafeBufferPointer(start: self.row(row), count: columns)
  }
}

/// The prices of neurons of the first layer for u = o D'ν + (2D' − I)λ, rounded up. Each thread needs an object of its own.
private final class LayerPrices {
  private let rows: ConeRows
  private let nu: [Double]
  private let beta: Double
  private let projection: ConeProjection
  private let signs: Matrix
  private let target: Matrix

  var patterns: Int { rows.arrangements.count }

  init(_ rows: ConeRows, nu: [Double], beta: Double) {
    (self.rows, self.nu, self.beta) = (rows, nu, beta)
    projection = rows.projection()
    signs = Matrix(1, rows.features.rows)
    target = Matrix(1, rows.features.columns)
  }

  /// Upper bounds of ‖P_K (s XᵀD u)‖ of signed patterns (2j with the sign +, 2j + 1 with −), tight if they are above β.
  func prices(_ set: SampleSet, _ members: [Int], multipliers: [Double]) -> [Double] {
    let (x, d) = (rows.features, rows.features.columns)
    let u = nu.indices.map {
      set.contains($0) ? set.sign * nu[$0] + multipliers[$0] : -multipliers[$0]
    }
    // What the sums lose.
    let loss =
      Double(x.rows + 2) * Double.ulpOfOne
      * u.indices.reduce(0) { $0 + abs(u[$1]) * rows.lengths[$1] }
    return members.map { member in
      target.fill(0)
      for i in u.indices where rows.arrangements.isActive(member / 2, row: i) {
        axpy(d, member % 2 == 0 ? u[i] : -u[i], x.row(i), target.base)
      }
      rows.arrangements.expand(member / 2, 0..<x.rows, on: 1, off: -1, into: signs.base)
      return projection.bound(target.base, signs: signs.base, limit: beta) + loss
    }
  }
}
