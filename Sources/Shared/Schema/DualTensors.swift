import Tensors

/// The dual point ν of a solution as its bundle holds it.
package enum DualTensors: Sendable {
  /// ν and the predictions, F64 [n, C].
  case samples(dual: Tensor, predictions: Tensor)
  /// U, F64 [Q, C], and s, F64 [C], of ν_c = s_c y_c − F u_c, for n samples with features F and targets y: then Fᵀν, νᵀy
  /// and ‖ν‖² follow from sums over the samples.
  case sums(coefficients: Tensor, scale: Tensor, samples: Int)

  /// C.
  package var outputs: Int {
    switch self {
    case .samples(let dual, _): dual.shape[1]
    case .sums(let coefficients, _, _): coefficients.shape[1]
    }
  }

  /// n.
  package var samples: Int {
    switch self {
    case .samples(let dual, _): dual.shape[0]
    case .sums(_, _, let samples): samples
    }
  }

  /// Puts them into `bundle`.
  package func write(to bundle: inout Bundle) {
    switch self {
    case .samples(let dual, let predictions):
      (bundle[.dual], bundle[.predictions]) = (dual, predictions)
    case .sums(let coefficients, let scale, let samples):
      (bundle[.dualCoefficients], bundle[.dualScale]) = (coefficients, scale)
      bundle.metadata[.sampleCount] = samples
    }
  }

  /// Reads those of a solution. Throws `Failure.data` if tensors are missing, empty or not finite, or of both kinds.
  package init(_ bundle: Bundle) throws {
    guard let coefficients = try bundle.optional(.dualCoefficients) else {
      let points = try bundle.solutionPoints()
      self = .samples(dual: points.dual, predictions: points.predictions)
      return
    }
    for key in [TensorKey.dual, .predictions] where bundle[key] != nil {
      throw Failure.data(
        "\(bundle.name) has both \"dual.coefficients\" and \(quoted(key.name)), expected one dual point"
      )
    }
    try coefficients.expectFinite("dual.coefficients", of: bundle.name)
    guard coefficients.count > 0 else {
      throw Failure.data(
        "tensor \"dual.coefficients\" of \(bundle.name) is \(coefficients.summary): it has no features or outputs"
      )
    }
    let scale = try bundle.require(.dualScale, shape: [coefficients.shape[1]])
    let samples = try bundle.read(.sampleCount)
    guard samples > 0 else {
      throw Failure.data("metadata \"samples\" of \(bundle.name) is \(samples), expected above 0")
    }
    self = .sums(coefficients: coefficients, scale: scale, samples: samples)
  }
}

/// The features that the dual coefficients of a solution multiply.
package struct DualFeatures: Sendable {
  package let design: FeatureDesign
  /// Q.
  package let order: Int
  /// R and d.
  package let regions: Int
  package let dimension: Int

  /// Reads those of a solution of `activation`. Throws `Failure.data` if its tensors do not fit each other.
  package init(_ bundle: Bundle, _ activation: Activation) throws {
    order = try bundle.require(.dualCoefficients).shape[0]
    var size = 0
    switch activation {
    case .polynomial(let polynomial):
      let whitening = try bundle.require(.dualWhitening)
      let m = whitening.shape[0]
      guard whitening.shape == [m, m], m > 1 else {
        throw Failure.data(
          "tensor \"dual.whitening\" of \(bundle.name) is \(whitening.summary), expected F64 [d+1, d+1]"
        )
      }
      try whitening.expectWhitening("dual.whitening", of: bundle.name)
      design = .polynomial(polynomial, whitening: whitening)
      (dimension, size) = (m - 1, m * (m + 1) / 2)
    case .gatedReLU:
      dimension = try bundle.require(.dualGates).shape[1]
      let gates = try GateTensors(bundle, .dual, dimension: dimension)
      design = .gated(gates)
      size = gates.count * dimension
    case .linear:
      design = .linear
      dimension = try bundle.require(.w).shape.last!
      size = dimension
    default:
      throw Failure.data(
        "\(bundle.name) has \"dual.coefficients\", which solutions with activation \(activation.text) have not"
      )
    }
    guard size > 0, order > 0, order % size == 0 else {
      throw Failure.data(
        "tensor \"dual.coefficients\" of \(bundle.name) has \(order) features, which its other tensors do not make"
      )
    }
    regions = order / size
  }

  /// Puts the features of `design` into a solution.
  package static func write(_ design: FeatureDesign, to bundle: inout Bundle) {
    switch design {
    case .polynomial(_, let whitening): bundle[.dualWhitening] = whitening
    case .gated(let gates): gates.write(to: &bundle, .dual)
    case .linear: break
    }
  }
}

extension FeatureDesign {
  /// Whether both have the same numbers, to the last bit.
  package func isSame(as other: FeatureDesign) -> Bool {
    switch (self, other) {
    case (.polynomial(let a, let t), .polynomial(let b, let u)):
      a == b && t.shape == u.shape && t.doubles == u.doubles
    case (.gated(let a), .gated(let b)): a.isSame(as: b)
    case (.linear, .linear): true
    default: false
    }
  }
}
