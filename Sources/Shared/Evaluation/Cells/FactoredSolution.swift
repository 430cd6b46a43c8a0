import LinearAlgebra
import Schema
import Tensors

/// A solution of the program of ReLU networks of several outputs with weight decay on both layers, over listed patterns: neurons u_k of
/// the pattern i_k with rows a_k of output weights, ŷ = Σ D_{i_k} X u_k a_kᵀ, and the norm Σ ‖u_k‖ ‖a_k‖. With several pooling regions a_k has
/// a weight for each region and output, and what a neuron puts out is averaged over the patches of a region.
package struct FactoredSolution: ListedSolution {
  package let program: SolvedProgram
  /// m × d and m × RC, region 0 first.
  private let hidden, output: Matrix
  /// R.
  let regions: Int
  /// The pattern of each neuron, which several may share.
  private let index: [Int]
  private let gates: GateTensors
  private let saysExact: Bool

  package let variables = "\"neurons.hidden\" and \"neurons.output\""
  package let needsPatterns = true

  package var penalty: Double {
    var sum = CompensatedSum()
    for k in 0..<hidden.rows {
      sum.add(norm(hidden.columns, hidden.row(k)), times: norm(output.columns, output.row(k)))
    }
    return sum.value
  }

  /// Takes over a bundle of kind `solution` with the tensor `neurons.hidden`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    guard program.kind == .relu, try bundle.read(.norm) == .nuclear,
      try bundle.read(.group) == .perPattern
    else {
      throw Failure.data(
        "\(bundle.name) has a tensor \"neurons.hidden\", which is for activation relu with norm nuclear and group pattern"
      )
    }
    index = try bundle.require(.index).withElements(of: Int32.self) { $0.map(Int.init) }
    let found = try bundle.require(.neuronsHidden)
    let (m, d) = (index.count, found.shape[1])
    hidden = Matrix(try bundle.require(.neuronsHidden, shape: [m, d]))
    let weights = try bundle.require(.neuronsOutput)
    regions = weights.shape.count == 3 ? weights.shape[1] : 1
    let shape = regions == 1 ? [m, program.outputs] : [m, regions, program.outputs]
    output = Matrix(
      m, regions * program.outputs, try bundle.require(.neuronsOutput, shape: shape).doubles)
    gates = try GateTensors(bundle, count: m, dimension: d)
    saysExact = bundle.metadata[.exact] == true
    try bundle.expectOnly([.neuronsHidden, .neuronsOutput], metadata: ["norm", "group"])
  }

  package func check(against examples: Examples) throws {
    guard case .patches = examples.features, examples.regionCount == regions else {
      throw Failure.data(
        "\(examples.summary) with \(examples.regionCount) pooling region(s), but \(program.name) is for \(regions)"
      )
    }
    guard examples.dimension == hidden.columns else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but \(program.name) is for \(hidden.columns)"
      )
    }
    try examples.expectHalfSpaces(program.name, "of relu neurons")
    guard let arrangements = examples.arrangements, arrangements.isListed else {
      throw Failure.data(
        "\(examples.name) has no tensor \"patterns\": the certificate of \(program.name) needs a list"
      )
    }
    if let bad = index.first(where: { $0 < 0 || $0 >= arrangements.count }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(arrangements.name) has \(arrangements.count) patterns"
      )
    }
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    guard case .patches(let patches) = examples.features, let listed = examples.arrangements
    else { preconditionFailure("checked") }
    // Patches of a sample are read region by region; bits stand in the order of x.
    let arrangements = try listed.reordered(patches.pooling.order)
    let x = try examples.matrix(of: patches)
    let lengths = (0..<x.rows).map { norm(x.columns, x.row($0)) }
    let (outputs, coneViolation) = primal(x, lengths, arrangements, patches.pooling)
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let prices = spread(dual.values, patches.pooling)
    let largest = try CellPrices(x, arrangements).largest(prices, above: program.beta)
    let scope = try scope(on: examples)
    var objections = arrangements.gateObjections(x, lengths, of: program.name, index, gates)
    if scope != .global, saysExact || program.claim.scope == .global {
      objections.append(
        "\(program.name) says that its patterns are all there are, which those of \(arrangements.name) are not"
      )
    }
    var square = CompensatedSum()
    for j in 0..<x.rows {
      let size = norm(prices.columns, prices.row(j)) * lengths[j]
      square.add(size, times: size)
    }
    let proof = Certificate(
      dual, scope: scope, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty,
      primalInfeasibility: coneViolation,
      predictionError: largestDifference(outputs, program.predictions),
      largestConstraint: largest, rounding: Double.ulpOfOne * square.value.squareRoot(),
      objections: objections)
    return (proof, nil)
  }

  /// ν (n × C) for each patch, region by region: ν_ic/P_r in the columns of its region r of R·C, 0 in the others.
  private func spread(_ nu: Matrix, _ pooling: PoolingRegions) -> Matrix {
    let (count, outputs) = (pooling.order.count, nu.columns)
    guard count > 1 else { return nu }
    let result = Matrix(nu.rows * count, regions * outputs)
    for i in 0..<nu.rows {
      for r in 0..<regions {
        for place in pooling.starts[r]..<pooling.starts[r + 1] {
          for c in 0..<outputs {
            result[i * count + place, r * outputs + c] = nu[i, c] / Double(pooling.sizes[r])
          }
        }
      }
    }
    return result
  }

  /// ŷ, and how far neurons are from their cones, relative to ‖x_j‖ ‖u‖.
  private func primal(
    _ x: Matrix, _ lengths: [Double], _ arrangements: Arrangements, _ pooling: PoolingRegions
  ) -> (Matrix, Double) {
    let (count, outputs) = (pooling.order.count, program.outputs)
    let result = Matrix(x.rows / count, outputs)
    let products = product(x, .plain, hidden, .transposed)
    let sizes = (0..<hidden.rows).map { norm(hidden.columns, hidden.row($0)) }
    var violation = 0.0
    var sums = [CompensatedSum](repeating: CompensatedSum(), count: outputs)
    for j in 0..<x.rows {
      let place = j % count
      let region = pooling.starts.lastIndex { $0 <= place }!
      let share = 1 / Double(pooling.sizes[region])
      if place == 0 { sums = sums.map { _ in CompensatedSum() } }
      for (k, pattern) in index.enumerated() {
        let isActive = arrangements.isActive(pattern, row: j)
        let excess = isActive ? -products[j, k] : products[j, k]
        let scale = lengths[j] * sizes[k]
        if excess > violation * scale { violation = excess / scale }
        guard isActive else { continue }
        for c in sums.indices {
          sums[c].add(share * products[j, k], times: output[k, region * outputs + c])
        }
      }
      if place == count - 1 { for c in sums.indices { result[j / count, c] = sums[c].value } }
    }
    return (result, violation)
  }
}

extension Arrangements {
  /// How far a gate may be from attaining its pattern, relative to ‖x‖ ‖g‖.
  private static let tieTolerance = 1e-12

  /// What is wrong with the gates: one that does not attain its pattern on the rows of `x`, of the given lengths, or one of the
  /// solution `name`, of the patterns `index`, that is not the list's. If gates `decide`, as those of gated networks do, no
  /// bit may contradict its gate, however near the boundary.
  func gateObjections(
    _ x: Matrix, _ lengths: [Double], of name: String, _ index: [Int], _ theirs: GateTensors,
    decide: Bool = false
  ) -> [String] {
    let masks = Matrix(count, x.rows)
    for i in 0..<count { expand(i, 0..<x.rows, on: 1, off: 0, into: masks.row(i)) }
    let worst = GateAttainment(gates.all, decide: decide).worst(
      x.base, count: x.rows, lengths: { lengths[$0] }, mask: { UnsafePointer(masks.row($0)) })
    var objections: [String] = []
    if !(worst.value <= Arrangements.tieTolerance) {
      objections.append(
        "gate \(worst.gate) of \(self.name) does not attain pattern \(worst.gate): a sample is on the wrong side by "
          + "\(worst.value)")
    }
    if theirs.all != gates.selecting(index) {
      objections.append(
        "the gates of \(name) are not those of \(self.name): one of them does not attain its pattern"
      )
    }
    return objections
  }
}
