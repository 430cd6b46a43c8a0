import Tensors

/// The polynomial activation σ(t) = a t² + b t + c.
package struct PolynomialActivation: Hashable, Sendable {
  package let a: Double
  package let b: Double
  package let c: Double

  package init(a: Double, b: Double, c: Double) {
    self.a = a
    self.b = b
    self.c = c
  }

  /// Reads "0.09,0.5,0.47". Returns nil unless the text is three finite numbers that are not all zero.
  package init?(_ text: String) {
    guard let numbers = parseNumbers(text), numbers.count == 3, numbers != [0, 0, 0] else {
      return nil
    }
    self.init(a: numbers[0], b: numbers[1], c: numbers[2])
  }

  package var text: String { "\(a),\(b),\(c)" }

  /// Whether σ(−t) = σ(t).
  package var isEven: Bool { b == 0 }
}

/// The function that a hidden neuron applies to its product t with a patch.
package enum Activation: Hashable, Sendable {
  /// max(0, t).
  case relu
  /// t if the patch lies in the neuron's half-space, which is not trained, otherwise 0.
  case gatedReLU
  /// t.
  case linear
  /// t, of a filter as long as the sample, slid around it.
  case circular
  case polynomial(PolynomialActivation)
  /// A neuron is (x · u)(x · v) with u and v of ±1.
  case quantized

  /// Whether outputs are linear in the features.
  package var isLinear: Bool { self == .linear || self == .circular }

  /// Whether a neuron's two weights can share its size as they like: σ(s t) = s σ(t) for s > 0. The convex program
  /// then has weights of activation patterns (of one pattern if it is linear), otherwise it has matrices.
  package var isHomogeneous: Bool {
    switch self {
    case .polynomial, .quantized: false
    default: true
    }
  }

  /// The activations that `--activation` can name: all but the circular one, which has an option of its own.
  package static func parse(option text: String) -> Activation? {
    parse(text).flatMap { $0 == .circular || $0 == .quantized ? nil : $0 }
  }

  /// The texts that `parse(option:)` expects, as messages describe them.
  package static let expectedOption = "relu, gated-relu, linear or three numbers A,B,C"
}

extension Activation: MetadataValue {
  package static let expected =
    "\"relu\", \"gated-relu\", \"linear\", \"circular\" or a polynomial such as \"0.09,0.5,0.47\""

  package static func parse(_ text: String) -> Activation? {
    switch text {
    case "relu": .relu
    case "gated-relu": .gatedReLU
    case "linear": .linear
    case "circular": .circular
    case "quantized": .quantized
    default: PolynomialActivation(text).map(Activation.polynomial)
    }
  }

  package var text: String {
    switch self {
    case .relu: "relu"
    case .gatedReLU: "gated-relu"
    case .linear: "linear"
    case .circular: "circular"
    case .quantized: "quantized"
    case .polynomial(let activation): activation.text
    }
  }
}
