import Tensors

/// The name of a tensor, and the types and shapes that the format gives it.
package struct TensorKey: Sendable {
  package let name: String
  package let types: [ElementType]
  package let shapes: [String]

  init(_ name: String, _ types: ElementType..., shapes: String...) {
    (self.name, self.types, self.shapes) = (name, types, shapes)
  }

  package static let x = TensorKey("x", .f32, .f64, shapes: "[n, K, d]", "[n, d]")
  package static let images = TensorKey("images", .u8, shapes: "[n, channels, height, width]")
  package static let moments = TensorKey("moments", .f32, .f64, shapes: "[n, R, d(d+1)/2+d]")
  package static let pool = TensorKey("pool", .i32, shapes: "[K]")
  package static let labels = TensorKey("labels", .i32, shapes: "[n]")
  package static let targets = TensorKey("targets", .f64, .f32, shapes: "[n]", "[n, C]")
  package static let mean = TensorKey("mean", .f32, .f64, shapes: "[d]")
  package static let whiten = TensorKey("whiten", .f32, .f64, shapes: "[d, N]")
  /// What was subtracted from each feature, and what the difference was divided by.
  package static let shift = TensorKey("shift", .f64, shapes: "[d]")
  package static let divisor = TensorKey("divisor", .f64, shapes: "[d]")
  /// The same of each column of the targets.
  package static let targetShift = TensorKey("target_shift", .f64, shapes: "[C]")
  package static let targetDivisor = TensorKey("target_divisor", .f64, shapes: "[C]")
  /// What stands for a missing value of each feature, before it is standardised.
  package static let fill = TensorKey("fill", .f64, shapes: "[d]")
  /// The name of each sample in UTF-8, padded with 0.
  package static let names = TensorKey("names", .u8, shapes: "[n, L]")
  package static let gates = TensorKey("gates", .f64, shapes: "[P, d]")
  package static let thresholds = TensorKey("thresholds", .f64, shapes: "[P]")
  /// The second-layer units of product gates: that of each gate, w and a.
  package static let gatesUnit = TensorKey("gates.unit", .i32, shapes: "[P]")
  package static let gatesHidden = TensorKey("gates.hidden", .f64, shapes: "[S, M, d]")
  package static let gatesOutput = TensorKey("gates.output", .f64, shapes: "[S, M]")
  /// A bit for each row of the data, the least significant bit of a byte first.
  package static let patterns = TensorKey("patterns", .u8, shapes: "[P, ceil(nK/8)]")
  package static let dual = TensorKey("dual", .f64, shapes: "[n, C]")
  package static let predictions = TensorKey("predictions", .f64, shapes: "[n, C]")
  package static let z = TensorKey("z", .f64, shapes: "[C, R, 2, d+1, d+1]")
  /// The rows of `patterns` that carry weight.
  package static let index = TensorKey("index", .i32, shapes: "[A]")
  package static let v = TensorKey("v", .f64, shapes: "[A, d]", "[C, A, d]", "[C, A, R, d]")
  package static let w = TensorKey("w", .f64, shapes: "[A, d]", "[C, A, d]", "[C, A, R, d]")
  package static let hiddenWeight = TensorKey("hidden.weight", .f64, shapes: "[m, d]")
  package static let hiddenBias = TensorKey("hidden.bias", .f64, shapes: "[m]")
  package static let outputBias = TensorKey("output.bias", .f64, shapes: "[C]")
  package static let outputWeight = TensorKey("output.weight", .f64, shapes: "[C, m]")
  package static let hiddenRegion = TensorKey("hidden.region", .i32, shapes: "[m]")
  package static let hiddenGroup = TensorKey("hidden.group", .i32, shapes: "[m]")
  package static let hiddenGate = TensorKey("hidden.gate", .f64, shapes: "[m, d]")
  package static let hiddenThreshold = TensorKey("hidden.threshold", .f64, shapes: "[m]")
  /// The same of a network's neurons.
  package static let hiddenGateUnit = TensorKey("hidden.gate.unit", .i32, shapes: "[m]")
  package static let hiddenGateHidden = TensorKey("hidden.gate.hidden", .f64, shapes: "[S, M, d]")
  package static let hiddenGateOutput = TensorKey("hidden.gate.output", .f64, shapes: "[S, M]")
  /// Sums over samples with features F and targets Y.
  package static let gram = TensorKey("gram", .f64, .f32, shapes: "[Q(Q+1)/2]")
  package static let correlations = TensorKey("correlations", .f64, shapes: "[Q, C]")
  package static let squares = TensorKey("squares", .f64, shapes: "[C]")
  package static let sums = TensorKey("sums", .f64, shapes: "[Q]")
  package static let targetSums = TensorKey("target_sums", .f64, shapes: "[C]")
  package static let samples = TensorKey("samples", .i64, shapes: "[1]")
  package static let blocks = TensorKey("blocks", .i64, shapes: "[1]")
  package static let counts = TensorKey("counts", .i64, shapes: "[classes]")
  package static let whitening = TensorKey("whitening", .f64, shapes: "[d+1, d+1]")
  package static let centre = TensorKey("centre", .f64, shapes: "[Q]")
  /// The dual point of a solution of such sums, and the features that it multiplies.
  package static let dualCoefficients = TensorKey("dual.coefficients", .f64, shapes: "[Q, C]")
  package static let dualScale = TensorKey("dual.scale", .f64, shapes: "[C]")
  package static let dualCheck = TensorKey("dual.check", .f64, shapes: "[Q]")
  package static let dualWhitening = TensorKey("dual.whitening", .f64, shapes: "[d+1, d+1]")
  package static let dualGates = TensorKey("dual.gates", .f64, shapes: "[P, d]")
  package static let dualThresholds = TensorKey("dual.thresholds", .f64, shapes: "[P]")
  package static let dualGatesUnit = TensorKey("dual.gates.unit", .i32, shapes: "[P]")
  package static let dualGatesHidden = TensorKey("dual.gates.hidden", .f64, shapes: "[S, M, d]")
  package static let dualGatesOutput = TensorKey("dual.gates.output", .f64, shapes: "[S, M]")
  /// Sums over samples that a network and a solution were judged on.
  package static let confusion = TensorKey("confusion", .i64, shapes: "[C, C]")
  package static let lossSum = TensorKey("loss", .f64, shapes: "[1]")
  package static let solutionLoss = TensorKey("solution_loss", .f64, shapes: "[1]")
  package static let outputError = TensorKey("output_error", .f64, shapes: "[1]")
  package static let outputSquares = TensorKey("output_squares", .f64, shapes: "[1]")
  package static let directions = TensorKey("directions", .f64, shapes: "[Q, C]")
  package static let products = TensorKey("products", .f64, shapes: "[C]")
  package static let featureSquares = TensorKey("feature_squares", .f64, shapes: "[Q]")
  package static let targetSquares = TensorKey("target_squares", .f64, shapes: "[C]")
}

extension Bundle {
  /// The tensor as it is, or nil if it is missing.
  package subscript(key: TensorKey) -> Tensor? {
    get { tensors[key.name] }
    set { tensors[key.name] = newValue }
  }

  /// The tensor. Throws `Failure.data` if it is missing, or has another type or number of dimensions.
  package func require(_ key: TensorKey) throws -> Tensor {
    try require(key.name, key.types, key.shapes)
  }

  /// The tensor, or nil if it is missing. Throws `Failure.data` if it has another type or number of dimensions.
  package func optional(_ key: TensorKey) throws -> Tensor? {
    try optional(key.name, key.types, key.shapes)
  }

  /// The tensor, of finite numbers and of `shape`; without a shape, of any that the key allows. Throws
  /// `Failure.data` if it is another.
  package func require(_ key: TensorKey, shape: [Int]) throws -> Tensor {
    let tensor = try require(key)
    guard tensor.shape == shape else {
      throw Failure.data(
        "tensor \(quoted(key.name)) of \(name) is \(tensor.summary), expected \(key.types[0].rawValue) \(shape)"
      )
    }
    try tensor.expectFinite(key.name, of: name)
    return tensor
  }
}
