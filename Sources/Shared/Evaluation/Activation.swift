import LinearAlgebra
import Tensors

/// The function that a neuron applies to its product with each patch.
protocol Activation: Sendable {
  /// sums_j ← Σ_p σ(t_pj) for the products t, `patches` × `neurons`.
  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>)
}

/// σ(t) = a t² + b t + c.
package struct PolynomialActivation: Activation, Equatable {
  package let a: Double
  package let b: Double
  package let c: Double

  package init(_ a: Double, _ b: Double, _ c: Double) {
    self.a = a
    self.b = b
    self.c = c
  }

  /// Reads `a,b,c`.
  package init?(_ text: String) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Double(decimal: $0) }.filter(\.isFinite)
    guard parts.count == 3, numbers.count == 3 else { return nil }
    self.init(numbers[0], numbers[1], numbers[2])
  }

  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>
  ) {
    for j in 0..<neurons { sums[j] = 0 }
    for p in 0..<patches {
      let row = products + p * neurons
      for j in 0..<neurons { sums[j] += (a * row[j] + b) * row[j] }
    }
    let constant = c * Double(patches)
    for j in 0..<neurons { sums[j] += constant }
  }
}

/// σ(t) = max(0, t).
struct RectifiedLinear: Activation {
  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>
  ) {
    for j in 0..<neurons { sums[j] = 0 }
    for p in 0..<patches {
      let row = products + p * neurons
      for j in 0..<neurons { sums[j] += row[j] > 0 ? row[j] : 0 }
    }
  }
}

/// The kind of network that the metadata `activation` names.
package enum NetworkKind: Sendable, Equatable {
  case polynomial(PolynomialActivation)
  case relu
  case gatedReLU
  case linear
  /// A linear network whose filters slide around the whole sample.
  case circular

  init(_ bundle: Bundle) throws {
    self = try bundle.value(
      "activation",
      "\"relu\", \"gated-relu\", \"linear\", \"circular\" or a polynomial such as \"0.09,0.5,0.47\""
    ) { text in
      switch text {
      case "relu": .relu
      case "gated-relu": .gatedReLU
      case "linear": .linear
      case "circular": .circular
      default: PolynomialActivation(text).map(NetworkKind.polynomial)
      }
    }
  }

  /// The metadata `activation`.
  var text: String {
    switch self {
    case .polynomial(let activation): "\(activation.a),\(activation.b),\(activation.c)"
    case .relu: "relu"
    case .gatedReLU: "gated-relu"
    case .linear: "linear"
    case .circular: "circular"
    }
  }

  /// Whether outputs are linear in the features.
  var isLinear: Bool {
    self == .linear || self == .circular
  }
}
