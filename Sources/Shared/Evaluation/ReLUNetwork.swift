import LinearAlgebra
import Tensors

/// A network of ReLU neurons, f_c(x) = Σ_j a_cj (x · u_j)₊, or of gated ones,
/// f_c(x) = Σ_j a_cj 1[x · g_j ≥ t_j] (x · u_j). With more than one patch a neuron averages over those
/// of its region.
package struct ReLUNetwork: NetworkFunction {
  /// Half-spaces of gated neurons; `nil` for ReLU.
  private let gates: Gates?
  private let layers: NetworkLayers
  private let weightNorm: WeightNorm

  package var kind: NetworkKind { gates == nil ? .relu : .gatedReLU }
  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }

  /// ½ Σ_j (‖u_j‖² + ‖a_j‖_p²), p = 1 where the convex program has a group a class, and 2 where it has
  /// the nuclear norm.
  package var penalty: Double {
    var sum = CompensatedSum()
    for j in 0..<neurons {
      let hidden = norm(filters.columns, filters.row(j))
      sum.add(hidden, times: hidden)
      let output = weightNorm.ofOutputs(outputWeight.column(j))
      sum.add(output, times: output)
    }
    return 0.5 * sum.value
  }

  package init(_ bundle: Bundle) throws {
    let isGated = try NetworkKind(bundle) == .gatedReLU
    let unused =
      ["hidden.bias", "output.bias"] + (isGated ? [] : ["hidden.gate", "hidden.threshold"])
    layers = try NetworkLayers(bundle, unused: unused)
    weightNorm = try WeightNorm(bundle)
    gates =
      isGated
      ? try GateTensors(
        bundle, "hidden.gate", threshold: "hidden.threshold", count: layers.neurons,
        dimension: layers.filters.columns
      ).all : nil
  }

  package func check(against examples: Examples) throws {
    guard case .patches = examples.features else {
      throw Failure.data(
        "\(examples.name) is a bundle of kind \"moments\", which do not tell the outputs of a network "
          + "with activation \"\(kind.text)\", expected dataset or arrangements")
    }
    try layers.check(against: examples)
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let groups = layers.groups(regionCount: examples.regionCount, gates: gates)
    let activation: any Activation =
      gates == nil ? RectifiedLinear() : PolynomialActivation(0, 1, 0)
    guard let values = forwardPass(patches, groups, activation, outputs: outputs) else {
      throw examples.nonFinite()
    }
    return values
  }
}

/// What β multiplies in the programs over patterns.
package enum WeightNorm: String, Sendable {
  /// Σ ‖w_ic‖, a group for each pattern and class.
  case group
  /// Σ ‖W_i‖_*, the sum of the singular values of each pattern's d × C weights.
  case nuclear

  /// The metadata `norm`; `group` where it is not there.
  init(_ bundle: Bundle) throws {
    guard let text = bundle.metadata["norm"] else {
      self = .group
      return
    }
    guard let norm = WeightNorm(rawValue: text) else {
      throw Failure.data(
        "metadata \"norm\" of \(bundle.name) is \(quoted(text)), expected \"group\" or \"nuclear\"")
    }
    self = norm
  }

  /// The norm of a neuron's output weights that goes with it.
  func ofOutputs(_ weights: [Double]) -> Double {
    switch self {
    case .group: weights.reduce(0) { $0 + abs($1) }
    case .nuclear: norm(weights.count, weights)
    }
  }
}
