import LinearAlgebra
import Tensors

/// A convolutional network with polynomial activation and pooling by region:
/// f_c(x) = Σ_j α_cj (1/P_r) Σ_k σ(x_k · u_j) over the patches k of the neuron's region r.
package struct PolynomialNetwork: NetworkFunction {
  /// How far the length of a filter may be from 1.
  static let unitTolerance = 1e-9

  package let name: String
  package let activation: PolynomialActivation
  package let filters: Matrix
  package let outputWeight: Matrix
  /// The pooling region of each neuron.
  package let regions: [Int]
  private let hasRegions: Bool
  /// How many regions the network says that its data have.
  private let claimedRegions: Int?

  package var outputs: Int { outputWeight.rows }
  package var neurons: Int { filters.rows }

  /// Σ |α|: over filters of length 1 this is the norm of the convex program.
  package var penalty: Double {
    var sum = CompensatedSum()
    for k in 0..<outputWeight.count { sum.add(abs(outputWeight.base[k])) }
    return sum.value
  }

  package init(_ bundle: Bundle) throws {
    name = bundle.name
    activation = try Evaluation.activation(of: bundle)
    try expectSquaredLoss(bundle)
    for extra in ["hidden.bias", "hidden.gate", "output.bias"] where bundle.tensors[extra] != nil {
      throw Failure.data(
        "\(name) has a tensor \(quoted(extra)), which a polynomial network does not use")
    }
    let hidden = try bundle.require("hidden.weight", [.f64], ["[m, d]"])
    let output = try bundle.require("output.weight", [.f64], ["[C, m]"])
    try hidden.expectFinite("hidden.weight")
    try output.expectFinite("output.weight")
    guard output.shape[1] == hidden.shape[0], output.shape[0] > 0 else {
      throw Failure.data(
        "tensor \"output.weight\" is \(output.summary), but \"hidden.weight\" is "
          + "\(hidden.summary): expected a column for each neuron")
    }
    filters = Matrix(hidden.shape[0], hidden.shape[1], hidden.doubles)
    outputWeight = Matrix(output.shape[0], output.shape[1], output.doubles)
    for j in 0..<filters.rows {
      let length = norm(filters.columns, filters.row(j))
      guard abs(length - 1) <= PolynomialNetwork.unitTolerance else {
        throw Failure.data(
          "tensor \"hidden.weight\": filter \(j) has length \(length), expected 1")
      }
    }
    let region = try bundle.optional("hidden.region", [.i32], ["[m]"])
    if let region, region.count != filters.rows {
      throw Failure.data(
        "tensor \"hidden.region\" is \(region.summary), but \"hidden.weight\" is "
          + "\(hidden.summary): expected a region for each neuron")
    }
    regions =
      region.map { $0.withElements(of: Int32.self) { $0.map(Int.init) } }
      ?? Array(repeating: 0, count: filters.rows)
    hasRegions = region != nil
    if let bad = regions.first(where: { $0 < 0 }) {
      throw Failure.data("tensor \"hidden.region\" holds \(bad), expected 0 or more")
    }
    claimedRegions = bundle.metadata["regions"].flatMap { Int($0) }
  }

  package func check(against examples: Examples) throws {
    guard filters.columns == examples.dimension else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but tensor \"hidden.weight\" of "
          + "\(name) is F64 [\(filters.rows), \(filters.columns)], \(filters.columns) features")
    }
    let available = examples.regionCount
    let needed = claimedRegions ?? (hasRegions ? (regions.max() ?? -1) + 1 : 1)
    let fits = claimedRegions == nil && hasRegions ? needed <= available : needed == available
    guard fits, (regions.max() ?? -1) < available else {
      throw Failure.data(
        "\(examples.summary) with \(available) pooling region\(available == 1 ? "" : "s"), "
          + "but \(name) is for \(max(needed, (regions.max() ?? -1) + 1))")
    }
  }

  package func values(on examples: Examples) throws -> Matrix {
    switch examples.features {
    case .patches(let patches):
      let groups = (0..<examples.regionCount).map { region in
        NeuronGroup(filters, outputWeight, regions.indices.filter { regions[$0] == region })
      }
      guard let values = forwardPass(patches, groups, activation, outputs: outputs) else {
        throw examples.nonFinite()
      }
      return values
    case .moments:
      return try functional(regionCount: examples.regionCount).values(on: examples)
    }
  }

  /// The network as a function of the moments: Σ_j α_j [a u uᵀ; b u] and c Σ_j α_j.
  func functional(regionCount: Int) -> MomentFunctional {
    let d = filters.columns
    let width = momentCount(dimension: d)
    let weights = Matrix(regionCount * width, outputs)
    var constants = [Double](repeating: 0, count: outputs)
    let square = Matrix(d, d)
    for region in 0..<regionCount {
      let members = regions.indices.filter { regions[$0] == region }
      let group = NeuronGroup(filters, outputWeight, members)
      for c in 0..<outputs {
        let scaled = Matrix(members.count, d)
        for (j, member) in members.enumerated() {
          axpy(d, outputWeight[c, member], group.filters.row(j), scaled.row(j))
        }
        // Σ_j α_j u_j u_jᵀ
        gemm(d, d, members.count, scaled.base, .transposed, group.filters.base, .plain, square.base)
        var row = region * width
        for j in 0..<d {
          weights[row, c] = activation.a * square[j, j]
          for k in j + 1..<max(j + 1, d) {
            weights[row + k - j, c] = activation.a * square[j, k] * 2.0.squareRoot()
          }
          row += d - j
        }
        for k in 0..<d {
          var sum = CompensatedSum()
          for j in members.indices { sum.add(scaled[j, k]) }
          weights[row + k, c] = activation.b * sum.value
        }
      }
    }
    for c in 0..<outputs {
      var sum = CompensatedSum()
      for j in 0..<neurons { sum.add(outputWeight[c, j]) }
      constants[c] = activation.c * sum.value
    }
    return MomentFunctional(weights: weights, constants: constants)
  }
}
