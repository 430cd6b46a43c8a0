import Convex
import LinearAlgebra

/// ℓ(ŷ) + (β/2) Σ (‖u_j‖² + a_j²), the smooth form of the objective of ReLU networks, with its gradient.
///
/// A point is the m × d numbers of u, then the m of a.
final class BalancedObjective {
  let loss: any Loss
  /// y, n × C.
  let targets: Matrix
  let beta: Double
  private let pass: BlockPass
  private var rooms: [Room] = []
  /// The output that each neuron belongs to.
  private(set) var outputs: [Int] = []
  /// a at its output, m × C.
  private var weights: Matrix

  private final class Room {
    let predictions: Matrix
    let residual: Matrix
    var value = 0.0
    var gradient: Matrix
    init(_ block: Int, _ outputs: Int, _ m: Int) {
      predictions = Matrix(block, outputs)
      residual = Matrix(block, outputs)
      gradient = Matrix(m, outputs)
    }
  }

  init(_ pass: BlockPass, targets: Matrix, loss: any Loss, beta: Double) {
    (self.pass, self.targets, self.loss, self.beta) = (pass, targets, loss, beta)
    weights = Matrix(0, targets.columns)
  }

  private var dimension: Int { pass.rows.dimension }

  /// Makes room for neurons of these outputs.
  func prepare(_ outputs: [Int]) {
    self.outputs = outputs
    let m = outputs.count
    weights = Matrix(m, targets.columns)
    let parts = pass.prepare(m)
    rooms = (0..<parts).map { _ in Room(pass.blockLimit, targets.columns, m) }
  }

  /// The balanced form of `neurons`.
  func point(_ neurons: Neurons) -> Matrix {
    let (m, d) = (neurons.count, dimension)
    let point = Matrix(1, m * (d + 1))
    for j in 0..<m {
      let root = norm(d, neurons.filters.row(j)).squareRoot()
      guard root > 0 else { continue }
      for k in 0..<d { point.base[j * d + k] = neurons.filters[j, k] / root }
      point.base[m * d + j] = neurons.signs[j] * root
    }
    return point
  }

  /// The neurons of a point.
  func neurons(_ point: Matrix) -> Neurons {
    let (m, d) = (outputs.count, dimension)
    let filters = Matrix(m, d)
    var signs = [Double](repeating: 1, count: m)
    for j in 0..<m {
      let a = point.base[m * d + j]
      signs[j] = a < 0 ? -1 : 1
      for k in 0..<d { filters[j, k] = abs(a) * point.base[j * d + k] }
    }
    return Neurons(filters: filters, signs: signs, outputs: outputs)
  }

  /// The value at `point`, and its gradient.
  func value(_ point: UnsafePointer<Double>, gradient: UnsafeMutablePointer<Double>) -> Double {
    let (m, d, classes) = (outputs.count, dimension, targets.columns)
    let a = point + m * d
    weights.fill(0)
    for j in 0..<m { weights[j, outputs[j]] = a[j] }
    for room in rooms {
      room.value = 0
      room.gradient.fill(0)
    }
    pass.run(point, m, gradient: gradient) { part, samples, h, g in
      let (room, count) = (rooms[part], samples.count)
      let predictions = room.predictions.slice(0..<count)
      let residual = room.residual.slice(0..<count)
      gemm(
        count, classes, m, h, .transposed, lda: count, weights.base, .plain, predictions.base)
      let y = targets.slice(samples)
      room.value += loss.value(predictions, y)
      loss.residual(predictions, y, into: residual)
      gemm(
        m, classes, count, alpha: -1, h, .plain, lda: count, residual.base, .plain, beta: 1,
        room.gradient.base)
      gemm(
        m, count, classes, alpha: -1, weights.base, .plain, residual.base, .transposed, g)
    }
    var value = rooms.reduce(0) { $0 + $1.value }
    var squares = 0.0
    for i in 0..<m * (d + 1) { squares += point[i] * point[i] }
    value += 0.5 * beta * squares
    axpy(m * d, beta, point, gradient)
    for j in 0..<m {
      gradient[m * d + j] = beta * a[j] + rooms.reduce(0) { $0 + $1.gradient[j, outputs[j]] }
    }
    return value
  }

  /// Divides `vector` by about the diagonal of the Hessian at `point`: κ a_j² Σ_i x_ik² over the half of the rows that a
  /// neuron sees, and β; the coordinates are principal axes.
  func precondition(_ point: Matrix, _ vector: UnsafeMutablePointer<Double>) {
    let (m, d) = (outputs.count, dimension)
    let share = 0.5 * loss.typicalCurvature / Double(pass.rows.patches)
    let squares = pass.rows.squares
    let a = point.base + m * d
    for j in 0..<m {
      let weight = share * a[j] * a[j]
      var length = 0.0
      for k in 0..<d {
        let u = point.base[j * d + k]
        length += squares[k] * u * u
        vector[j * d + k] /= weight * squares[k] + beta
      }
      vector[m * d + j] /= share * length + beta
    }
  }

  /// The pooled activations of each neuron, m × n.
  func hidden(of neurons: Neurons) -> Matrix {
    let m = neurons.count
    let result = Matrix(m, targets.rows)
    guard m > 0 else { return result }
    _ = pass.prepare(m)
    pass.run(neurons.filters.base, m, gradient: nil) { _, samples, h, _ in
      for j in 0..<m {
        (result.row(j) + samples.lowerBound).update(
          from: h + j * samples.count, count: samples.count)
      }
    }
    return result
  }

  /// ŷ, n × C.
  func predictions(of neurons: Neurons) -> Matrix {
    let (m, classes) = (neurons.count, targets.columns)
    let result = Matrix(targets.rows, classes)
    guard m > 0 else { return result }
    let signs = Matrix(m, classes)
    for j in 0..<m { signs[j, neurons.outputs[j]] = neurons.signs[j] }
    _ = pass.prepare(m)
    pass.run(neurons.filters.base, m, gradient: nil) { _, samples, h, _ in
      gemm(
        samples.count, classes, m, h, .transposed, lda: samples.count, signs.base, .plain,
        result.row(samples.lowerBound))
    }
    return result
  }
}
