import LinearAlgebra
import Schema
import Tensors

/// A solution of the program of ReLU networks of one feature with free biases: a linear spline for each output. Its dual constraints
/// are |νᵀh| ≤ β for all hinges h = (x − t)₊ and (t − x)₊, and 1ᵀν = 0 for the intercept. νᵀh is linear in t between samples, so
/// that knots at samples are enough.
package struct FreeBiasSolution: Solution {
  package let program: SolvedProgram
  private let spline: SplineTensors

  package let variables = "the spline's tensors"
  package let needsPatterns = false
  package var penalty: Double { spline.weights.reduce(0) { $0 + abs($1) } }

  /// Takes over a bundle of kind `solution` with metadata `free_bias`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    guard program.kind == .relu, program.loss == .squared,
      try bundle.read(.norm, default: .group) == .group,
      try bundle.read(.group, default: .perClass) == .perClass
    else {
      throw Failure.data(
        "metadata \"free_bias\" of \(bundle.name) is for activation relu, loss squared, norm group and group class"
      )
    }
    try bundle.expectOnly(
      [.splineOutput, .splineKnot, .splineSide, .splineWeight, .splineIntercept],
      metadata: ["norm", "group", "free_bias"])
    spline = try SplineTensors(bundle)
    guard spline.intercepts.count == program.outputs else {
      throw Failure.data(
        "tensor \"spline.intercept\" of \(bundle.name) has \(spline.intercepts.count) numbers, expected \(program.outputs)"
      )
    }
    for key in [TensorKey.splineKnot, .splineWeight] {
      try bundle.require(key).expectFinite(key.name, of: bundle.name)
    }
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1,
      examples.dimension == 1
    else {
      throw Failure.data("\(examples.summary), expected one feature for \(program.name)")
    }
  }

  package func scope(on examples: Examples) throws -> Scope { .global }

  package func featureScale(on examples: Examples) -> Double {
    guard case .patches(let patches) = examples.features, let x = try? examples.matrix(of: patches)
    else { return 0 }
    let values = (0..<x.rows).map { x[$0, 0] }
    return (values.max() ?? 0) - (values.min() ?? 0)
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches).column(0)
    let (n, outputs) = (x.count, program.outputs)
    let predictions = Matrix(n, outputs)
    for i in 0..<n {
      var sums = spline.intercepts.map { intercept -> CompensatedSum in
        var sum = CompensatedSum()
        sum.add(intercept)
        return sum
      }
      for k in spline.knots.indices {
        let hinge = spline.sides[k] * (x[i] - spline.knots[k])
        if hinge > 0 { sums[spline.outputs[k]].add(spline.weights[k], times: hinge) }
      }
      for c in 0..<outputs { predictions[i, c] = sums[c].value }
    }
    // The intercept takes the mean of ν away: what is left is feasible but for its size.
    let centred = Matrix(copying: program.dual)
    var moved = 0.0
    for c in 0..<outputs {
      var sum = CompensatedSum()
      for i in 0..<n { sum.add(program.dual[i, c]) }
      let mean = sum.value / Double(n)
      moved = max(moved, abs(mean))
      for i in 0..<n { centred[i, c] -= mean }
    }
    let dual = DualPoint(centred, program.judgedLoss, expected: expected)
    let scale = (0..<centred.count).reduce(0) { max($0, abs(centred.base[$1])) }
    let width = (x.max() ?? 0) - (x.min() ?? 0)
    var objections: [String] = []
    if moved > 1e-9 * scale {
      objections.append(
        "dual_infeasibility: the dual point has the mean \(moved), expected 0 for a free intercept")
    }
    let proof = Certificate(
      dual, scope: .global, beta: program.beta,
      primalObjective: program.judgedLoss.value(predictions, expected) + program.beta * penalty,
      primalInfeasibility: 0, predictionError: largestDifference(predictions, program.predictions),
      largestConstraint: FreeBiasSolution.largestPrice(centred, x),
      rounding: Double.ulpOfOne * width * norm(centred.count, centred.base), objections: objections)
    return (proof, nil)
  }

  /// The largest |νᵀh| over all hinges and outputs. From the left, Σ_{x_i < t} ν_i (t − x_i) grows by the sum of the ν so far times
  /// the step; from the right likewise.
  private static func largestPrice(_ nu: Matrix, _ x: [Double]) -> Double {
    let order = x.indices.sorted { x[$0] < x[$1] }
    var largest = 0.0
    for c in 0..<nu.columns {
      for way in [order, order.reversed()] {
        var (weight, price) = (CompensatedSum(), CompensatedSum())
        for (before, i) in zip(way, way.dropFirst()) {
          weight.add(nu[before, c])
          price.add(weight.value, times: abs(x[i] - x[before]))
          largest = max(largest, abs(price.value))
        }
      }
    }
    return largest * (1 + Double(x.count) * Double.ulpOfOne)
  }
}
