import Glibc
import LinearAlgebra

/// A primal–dual interior-point method for a `CellProgram`, with Nesterov–Todd scaling and Mehrotra's predictor and
/// corrector (Vandenberghe, "The CVXOPT linear and quadratic cone program solvers", 2010):
///
///     ν = y − Σ Φ_j p_j,   Φ_jᵀ ν + R_j g_j + λ_j = 0,   p_j, λ_j ≥ 0,
///     (τ_j, R_jᵀ p_j) and (β, g_j) in the second-order cone.
///
/// ν is a variable of its own, not computed from p. Sums of large p round; the dual equations, which decide how good
/// the certificate is, would inherit that error.
final class CellInteriorPoint {
  private let program: CellProgram
  private let at: CellIterate
  private let scaling: CellScaling
  private let system: CellSystem
  private let nu: Matrix
  private let error: Matrix

  /// ½ ‖y − Σ Φ_j p_j‖² + β Σ ‖v_j‖.
  private(set) var primal = 0.0
  /// The difference between the primal and the dual value once the equations hold.
  private(set) var complementarity = 0.0
  /// ‖y − Σ Φ_j p_j − ν‖ over ‖ν‖.
  private(set) var primalResidual = 0.0

  /// The program should be scaled so that weights of 1 are neither large nor small.
  init(_ program: CellProgram) {
    self.program = program
    at = CellIterate(blocks: program.blocks, rank: program.r)
    scaling = CellScaling(program)
    system = CellSystem(program, scaling)
    (nu, error) = (Matrix(program.n, 1, program.y), Matrix(program.n, 1))
    // The start lies far inside the cones.
    at.p.fill(33)
    at.lambda.fill(1 / 33)
    measure()
    for b in 0..<program.blocks {
      at.tau.base[b] = max(1 / program.beta, 2 * norm(program.r, at.v.row(b)))
    }
    measure()
  }

  /// v_j, J × r.
  var weights: Matrix { at.v }
  /// The dual point ν, which has yet to be made feasible.
  var dual: [Double] { Array(UnsafeBufferPointer(start: nu.base, count: program.n)) }
  /// y − Σ Φ_j p_j.
  var residual: [Double] { Array(UnsafeBufferPointer(start: error.base, count: program.n)) }

  /// Computes values and residuals of the iterate.
  private func measure() {
    let (n, r, columns) = (program.n, program.r, program.columns)
    program.combine(at.p, into: at.v)
    for i in 0..<n { error.base[i] = program.y[i] }
    program.addPredictions(-1, at.p, to: error)
    for i in 0..<n { system.primalResidual.base[i] = error.base[i] - nu.base[i] }
    primalResidual = norm(n, system.primalResidual.base) / norm(n, nu.base)
    var (lengths, heights) = (0.0, 0.0)
    for b in 0..<program.blocks {
      lengths += norm(r, at.v.row(b))
      heights += at.tau.base[b]
    }
    primal = 0.5 * dot(n, error.base, error.base) + program.beta * lengths
    // −(Φᵀν + R g + λ).
    let dualResidual = system.dualResidual
    program.multiply(at.g, into: dualResidual)
    gemv(
      n, columns, alpha: -1, program.features.base, .transposed, nu.base, beta: -1,
      dualResidual.base)
    axpy(columns, -1, at.lambda.base, dualResidual.base)
    complementarity =
      program.beta * heights + dot(columns, at.v.base, at.g.base)
      + dot(columns, at.lambda.base, at.p.base)
  }

  private var degree: Double { Double(program.blocks * (program.r + 1)) }

  /// One step. Returns `false` if rounding allows none.
  func iterate() -> Bool {
    let (blocks, columns) = (program.blocks, program.columns)
    let step = system.step
    scaling.update(at)
    guard system.factorize() else { return false }
    // Predictor: to complementarity 0.
    let mu = complementarity / degree
    for b in 0..<blocks { system.d0.base[b] = -scaling.l0.base[b] }
    for i in 0..<columns {
      system.d1.base[i] = -scaling.l1.base[i]
      system.rl.base[i] = -at.lambda.base[i]
    }
    system.solve(at)
    let sigma = pow(min(1, max(0, complementarity(after: longestStep()) / degree / mu)), 3)
    correct(sigma * mu)
    system.solve(at)
    let length = min(1, 0.99 * longestStep())
    guard length.isFinite, length > 1e-6 else { return false }
    axpy(program.n, length, system.dnu.base, nu.base)
    axpy(blocks, length, step.tau.base, at.tau.base)
    axpy(columns, length, step.p.base, at.p.base)
    axpy(columns, length, step.g.base, at.g.base)
    axpy(columns, length, step.lambda.base, at.lambda.base)
    measure()
    return primal.isFinite && complementarity > 0
  }

  private func complementarity(after length: Double) -> Double {
    let step = system.step
    var sum = 0.0
    for b in 0..<program.blocks {
      sum += program.beta * (at.tau.base[b] + length * step.tau.base[b])
    }
    for i in 0..<program.columns {
      sum +=
        (at.v.base[i] + length * step.v.base[i]) * (at.g.base[i] + length * step.g.base[i])
        + (at.lambda.base[i] + length * step.lambda.base[i])
        * (at.p.base[i] + length * step.p.base[i])
    }
    return sum
  }

  /// Right-hand sides of the corrector with the centre `target`, from the predictor's step.
  private func correct(_ target: Double) {
    let r = program.r
    let step = system.step
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * r) { buffer in
      let (x1, y1) = (buffer.baseAddress!, buffer.baseAddress! + r)
      for b in 0..<program.blocks {
        let (l0, l1, d1) = (scaling.l0.base[b], scaling.l1.row(b), system.d1.row(b))
        // x = W⁻¹ (dτ, dv), y = W (0, dg).
        var (x0, y0) = (step.tau.base[b], 0.0)
        for k in 0..<r {
          x1[k] = step.v[b, k]
          y1[k] = step.g[b, k]
        }
        scaling.applyInverse(b, &x0, x1)
        scaling.apply(b, &y0, y1)
        // d with l ∘ d = target − l ∘ l − x ∘ y, by the inverse of the arrow matrix of l.
        var (c0, length) = (target - l0 * l0 - x0 * y0, 0.0)
        for k in 0..<r {
          c0 -= l1[k] * l1[k] + x1[k] * y1[k]
          length += l1[k] * l1[k]
          d1[k] = -2 * l0 * l1[k] - x0 * y1[k] - y0 * x1[k]
        }
        length = length.squareRoot()
        var first = l0 * c0
        for k in 0..<r { first -= l1[k] * d1[k] }
        first /= max((l0 - length) * (l0 + length), 1e-300)
        system.d0.base[b] = first
        for k in 0..<r { d1[k] = (d1[k] - l1[k] * first) / l0 }
      }
    }
    for i in 0..<program.columns {
      system.rl.base[i] =
        (target - step.p.base[i] * step.lambda.base[i]) / at.p.base[i] - at.lambda.base[i]
    }
  }

  /// The longest step, at most 1, that stays in all cones.
  private func longestStep() -> Double {
    let step = system.step
    var longest = 1.0
    for i in 0..<program.columns {
      if step.p.base[i] < 0 { longest = min(longest, -at.p.base[i] / step.p.base[i]) }
      if step.lambda.base[i] < 0 {
        longest = min(longest, -at.lambda.base[i] / step.lambda.base[i])
      }
    }
    for b in 0..<program.blocks {
      longest = min(
        longest, coneStep(at.tau.base[b], at.v.row(b), step.tau.base[b], step.v.row(b)),
        coneStep(program.beta, at.g.row(b), 0, step.g.row(b)))
    }
    return longest
  }

  /// The smallest t > 0 at which (x₀, x) + t (y₀, y) reaches the boundary of the second-order cone.
  private func coneStep(
    _ x0: Double, _ x: UnsafePointer<Double>, _ y0: Double, _ y: UnsafePointer<Double>
  ) -> Double {
    // (x₀ + t y₀)² − ‖x + t y‖² = a t² + 2 b t + c.
    var (length, a, b) = (0.0, y0 * y0, x0 * y0)
    for k in 0..<program.r {
      length += x[k] * x[k]
      a -= y[k] * y[k]
      b -= x[k] * y[k]
    }
    length = length.squareRoot()
    let c = max((x0 - length) * (x0 + length), 1e-300)
    var result = Double.infinity
    let discriminant = b * b - a * c
    if a < 0 || (b < 0 && discriminant >= 0) {
      let root = c / (max(0, discriminant).squareRoot() - b)
      if root > 0 { result = root }
    }
    return y0 < 0 ? min(result, -x0 / y0) : result
  }
}
