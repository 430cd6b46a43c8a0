import Glibc
import LinearAlgebra

/// Minimises a function by limited-memory BFGS (Nocedal, 1980) with a line search for the weak Wolfe conditions, which
/// copes with kinks too (Lewis and Overton, 2013).
final class QuasiNewton {
  typealias Function = (
    _ point: UnsafePointer<Double>, _ gradient: UnsafeMutablePointer<Double>
  ) -> Double

  /// The point, 1 × N, its value and its gradient.
  private(set) var point: Matrix
  private(set) var value: Double
  private(set) var gradient: Matrix
  private(set) var iterations = 0
  private let memory: Int
  /// Multiplies a vector by an approximation of the inverse Hessian at the point, if one is known.
  private let precondition: ((_ point: Matrix, _ vector: UnsafeMutablePointer<Double>) -> Void)?
  private var steps: [(s: Matrix, y: Matrix, curvature: Double)] = []
  private var trial: Matrix
  private var trialGradient: Matrix
  private var direction: Matrix
  private var preconditioned: Matrix

  /// Begins at `point`, which it takes over; `memory` steps are kept.
  init(
    at point: Matrix, memory: Int,
    precondition: ((_ point: Matrix, _ vector: UnsafeMutablePointer<Double>) -> Void)? = nil,
    _ function: Function
  ) {
    (self.point, self.memory, self.precondition) = (point, memory, precondition)
    preconditioned = Matrix(1, precondition == nil ? 0 : point.columns)
    let size = point.columns
    gradient = Matrix(1, size)
    trial = Matrix(1, size)
    trialGradient = Matrix(1, size)
    direction = Matrix(1, size)
    value = function(point.base, gradient.base)
  }

  /// A step. False if no smaller value was found.
  func advance(_ function: Function) -> Bool {
    let n = point.columns
    var slope = chooseDirection()
    if !(slope < 0) {
      guard !steps.isEmpty else { return false }
      steps = []
      slope = chooseDirection()
      guard slope < 0 else { return false }
    }
    guard let next = search(slope, function) else {
      guard !steps.isEmpty else { return false }
      steps = []
      return advance(function)
    }
    let oldest = steps.count == memory ? steps.removeFirst() : nil
    let (s, y) = (oldest?.s ?? Matrix(1, n), oldest?.y ?? Matrix(1, n))
    for i in 0..<n {
      s.base[i] = trial.base[i] - point.base[i]
      y.base[i] = trialGradient.base[i] - gradient.base[i]
    }
    let curvature = dot(n, s.base, y.base)
    if curvature > 1e-300 { steps.append((s, y, curvature)) }
    swap(&point, &trial)
    swap(&gradient, &trialGradient)
    value = next
    iterations += 1
    return true
  }

  /// `direction` ← −H g; returns its slope.
  private func chooseDirection() -> Double {
    let n = point.columns
    let q = direction.base
    for i in 0..<n { q[i] = -gradient.base[i] }
    var shares = [Double](repeating: 0, count: steps.count)
    for (k, step) in steps.enumerated().reversed() {
      shares[k] = dot(n, step.s.base, q) / step.curvature
      axpy(n, -shares[k], step.y.base, q)
    }
    precondition?(point, q)
    if let last = steps.last { scale(n, last.curvature / length(of: last.y), q) }
    for (k, step) in steps.enumerated() {
      let other = dot(n, step.y.base, q) / step.curvature
      axpy(n, shares[k] - other, step.s.base, q)
    }
    return dot(n, gradient.base, q)
  }

  /// yᵀ y, or that with the preconditioner in between.
  private func length(of y: Matrix) -> Double {
    guard let precondition else { return dot(y.count, y.base, y.base) }
    preconditioned.copy(from: y)
    precondition(point, preconditioned.base)
    return dot(y.count, y.base, preconditioned.base)
  }

  /// A length of the step that fulfils the weak Wolfe conditions, by bracketing; returns the value there.
  private func search(_ slope: Double, _ function: Function) -> Double? {
    let n = point.columns
    var length = steps.isEmpty ? min(1, 1 / norm(n, direction.base)) : 1
    var (low, high) = (0.0, Double.infinity)
    var found: Double?
    for _ in 0..<40 {
      for i in 0..<n { trial.base[i] = point.base[i] + length * direction.base[i] }
      let next = function(trial.base, trialGradient.base)
      if !(next <= value + 1e-4 * length * slope) {
        high = length
      } else {
        let there = dot(n, trialGradient.base, direction.base)
        if there >= 0.5 * slope { return next }
        (low, found) = (length, next)
      }
      length = high.isFinite ? 0.5 * (low + high) : 2 * low
      if high.isFinite, high - low < 1e-14 * (1 + low) { break }
    }
    guard found != nil, low > 0 else { return nil }
    // The last trial may have been a longer one.
    for i in 0..<n { trial.base[i] = point.base[i] + low * direction.base[i] }
    let next = function(trial.base, trialGradient.base)
    return next < value ? next : nil
  }

  /// Keeps the numbers `kept` of the point and of all steps; the function is then one of these alone.
  func restrict(to kept: [Int], _ function: Function) {
    func part(_ whole: Matrix) -> Matrix {
      let result = Matrix(1, kept.count)
      for (place, i) in kept.enumerated() { result.base[place] = whole.base[i] }
      return result
    }
    point = part(point)
    steps = steps.compactMap { step in
      let (s, y) = (part(step.s), part(step.y))
      let curvature = dot(kept.count, s.base, y.base)
      let size = norm(kept.count, s.base) * norm(kept.count, y.base)
      return curvature > 1e-10 * size ? (s, y, curvature) : nil
    }
    gradient = Matrix(1, kept.count)
    trial = Matrix(1, kept.count)
    trialGradient = Matrix(1, kept.count)
    direction = Matrix(1, kept.count)
    preconditioned = Matrix(1, precondition == nil ? 0 : kept.count)
    value = function(point.base, gradient.base)
  }
}
