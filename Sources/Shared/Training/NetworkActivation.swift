import Convex

/// The function that a hidden neuron applies to its product t with a patch.
package enum NetworkActivation: Equatable, Sendable {
  /// max(0, t).
  case relu
  /// t where the patch lies in the neuron's half-space, which is not trained, and 0 elsewhere.
  case gatedReLU
  /// t.
  case linear
  /// a t² + b t + c.
  case polynomial(PolynomialActivation)

  /// Reads what options and metadata call it; `nil` where that is none of these.
  package init?(_ text: String) {
    switch text {
    case "relu": self = .relu
    case "gated-relu": self = .gatedReLU
    case "linear": self = .linear
    default:
      guard let polynomial = PolynomialActivation(text) else { return nil }
      self = .polynomial(polynomial)
    }
  }

  package var text: String {
    switch self {
    case .relu: "relu"
    case .gatedReLU: "gated-relu"
    case .linear: "linear"
    case .polynomial(let activation): activation.text
    }
  }

  /// Whether a neuron's two weights can share its size as they like: σ(s t) = s σ(t) for s > 0.
  package var isHomogeneous: Bool {
    if case .polynomial = self { false } else { true }
  }

  /// The penalty for which the convex program of this activation is solved.
  package var usualPenalty: WeightPenalty {
    switch self {
    case .relu, .gatedReLU: .group
    case .linear: .decay
    case .polynomial: .l1
    }
  }
}
