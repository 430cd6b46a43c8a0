import Tensors

extension MetadataKey where Value == Bool {
  /// Whether biases are not penalised.
  package static var freeBias: Self { Self(name: "free_bias") }
}

extension TensorKey {
  /// Of a linear spline: the output that each hinge is of, its knot t, its side s = ±1 and its weight a, which add
  /// a (s (x − t))₊ to that output; and the intercept of each output.
  package static let splineOutput = TensorKey("spline.output", .i32, shapes: "[m]")
  package static let splineKnot = TensorKey("spline.knot", .f64, shapes: "[m]")
  package static let splineSide = TensorKey("spline.side", .f64, shapes: "[m]")
  package static let splineWeight = TensorKey("spline.weight", .f64, shapes: "[m]")
  package static let splineIntercept = TensorKey("spline.intercept", .f64, shapes: "[C]")
}

/// The linear splines of a solution, one for each output.
package struct SplineTensors: Sendable {
  package let outputs: [Int]
  package let knots, sides, weights, intercepts: [Double]

  /// Throws `Failure.data` if the tensors do not fit each other, or are not finite.
  package init(_ bundle: Bundle) throws {
    intercepts = try bundle.require(.splineIntercept).doubles
    try bundle.require(.splineIntercept).expectFinite("spline.intercept", of: bundle.name)
    let index = try bundle.require(.splineOutput)
    outputs = index.withElements(of: Int32.self) { $0.map(Int.init) }
    let shape = index.shape
    knots = try bundle.require(.splineKnot, shape: shape).doubles
    sides = try bundle.require(.splineSide, shape: shape).doubles
    weights = try bundle.require(.splineWeight, shape: shape).doubles
    let count = intercepts.count
    if let bad = outputs.first(where: { $0 < 0 || $0 >= count }) {
      throw Failure.data(
        "tensor \"spline.output\" of \(bundle.name) holds \(bad), expected 0 to \(count - 1)")
    }
    if let bad = sides.first(where: { abs($0) != 1 }) {
      throw Failure.data("tensor \"spline.side\" of \(bundle.name) holds \(bad), expected -1 or 1")
    }
  }
}
