import Convex
import LinearAlgebra

/// ADMM for min ℓ(F Wᵀ) + β ‖W‖ with F, n × q, and W, C × q:
///
/// W minimises the squares that tie F Wᵀ to V and W to Z, V is the proximal point of the loss and Z that of the norm.
///
/// The squared loss is a part of the squares, without V. Each iteration solves with one Cholesky factor of FᵀF + (ρ/σ)
/// I (Boyd et al. 2011, with over-relaxation).
final class LinearADMM {
  private let features: Matrix
  private let targets: Matrix
  private let loss: any Loss
  private let norm: any Regularizer
  private let beta: Double
  /// FᵀF and YᵀF.
  private let gram: Matrix
  private let moment: Matrix
  private let isSquared: Bool
  /// W, Z, the multiplier U of Z, and the previous Z, C × q.
  private let (w, z, u, previous): (Matrix, Matrix, Matrix, Matrix)
  /// V, its multiplier, F Wᵀ, an argument of the loss, and the previous V, n × C; empty for the squared loss.
  private let (v, uv, fit, point, previousFit): (Matrix, Matrix, Matrix, Matrix, Matrix)
  /// σ of the loss and ρ of the norm.
  private var lossPenalty: Double
  private var penalty: Double
  private let factor: Matrix

  private static let relaxation = 1.6

  /// Begins at the best point so far. Returns nil if the numbers allow no factor.
  init?(
    _ features: Matrix, gram: Matrix, moment: Matrix, norm: any Regularizer, loss: any Loss,
    targets: Matrix, samples n: Int, beta: Double, from best: any LinearPoints
  ) {
    self.features = features
    (self.gram, self.moment, self.norm) = (gram, moment, norm)
    (self.targets, self.loss, self.beta) = (targets, loss, beta)
    isSquared = loss is SquaredLoss
    let (q, classes) = (features.columns, targets.columns)
    func weights() -> Matrix { Matrix(classes, q) }
    (w, z, u, previous) = (weights(), Matrix(copying: best.weights), weights(), weights())
    let size = isSquared ? 0 : n
    func outputs() -> Matrix { Matrix(size, classes) }
    (v, uv, fit, point, previousFit) = (outputs(), outputs(), outputs(), outputs(), outputs())
    if !isSquared { gemm(n, classes, q, features.base, .plain, z.base, .transposed, v.base) }
    var trace = 0.0
    for k in 0..<q { trace += gram[k, k] }
    lossPenalty = loss.typicalCurvature
    penalty = lossPenalty * trace / Double(100 * min(n, q))
    factor = Matrix(q, q)
    guard trace > 0, trace.isFinite, refactor() else { return nil }
  }

  private func refactor() -> Bool {
    factor.copy(from: gram)
    for k in 0..<gram.rows { factor[k, k] += penalty / lossPenalty }
    return choleskyLower(gram.rows, factor.base)
  }

  func iterate() {
    let (n, q, classes) = (features.rows, features.columns, targets.columns)
    let share = penalty / lossPenalty
    if isSquared {
      for k in 0..<w.count { w.base[k] = moment.base[k] + share * (z.base[k] - u.base[k]) }
    } else {
      for k in 0..<point.count { point.base[k] = v.base[k] - uv.base[k] }
      gemm(classes, q, n, point.base, .transposed, features.base, .plain, w.base)
      for k in 0..<w.count { w.base[k] += share * (z.base[k] - u.base[k]) }
    }
    choleskySolve(q, factor.base, w.base, count: classes)
    previous.copy(from: z)
    let alpha = LinearADMM.relaxation
    for k in 0..<z.count {
      u.base[k] += alpha * w.base[k] + (1 - alpha) * z.base[k]
    }
    _ = norm.prox(u.base, threshold: beta / penalty, into: z.base)
    for k in 0..<z.count { u.base[k] -= z.base[k] }
    guard !isSquared else { return }
    gemm(n, classes, q, features.base, .plain, w.base, .transposed, fit.base)
    previousFit.copy(from: v)
    for k in 0..<v.count {
      point.base[k] = alpha * fit.base[k] + (1 - alpha) * v.base[k] + uv.base[k]
    }
    loss.prox(point, targets, penalty: lossPenalty, into: v)
    for k in 0..<v.count { uv.base[k] = point.base[k] - v.base[k] }
  }

  /// Offers Z, and a dual point of W or of V.
  func offer(to offers: any LinearPoints) {
    offers.offer(z)
    if isSquared {
      offers.offer(dualOf: w)
    } else {
      // −∇ℓ at V, which is in the conjugate's domain for every loss.
      for k in 0..<point.count { point.base[k] = -lossPenalty * uv.base[k] }
      offers.offer(dual: point)
    }
  }

  /// Changes the penalties if the primal and dual residuals do not fall alike; `isSound` is false if the numbers allow
  /// no factor.
  func adaptPenalties() -> (hasChanged: Bool, isSound: Bool) {
    func size(_ x: Matrix) -> Double { LinearAlgebra.norm(x.count, x.base) }
    let normRatio = LinearADMM.ratio((w, z), (z, previous), over: (size(z), size(u)))
    let lossRatio =
      isSquared ? 1 : LinearADMM.ratio((fit, v), (v, previousFit), over: (size(v), size(uv)))
    var hasChanged = false
    if normRatio > 1.6 || normRatio < 0.62 {
      penalty *= normRatio
      scale(u.count, 1 / normRatio, u.base)
      hasChanged = true
    }
    if lossRatio > 1.6 || lossRatio < 0.62 {
      lossPenalty *= lossRatio
      scale(uv.count, 1 / lossRatio, uv.base)
      hasChanged = true
    }
    return (hasChanged, !hasChanged || refactor())
  }

  /// The factor by which a penalty should grow so that the primal and the dual residual fall alike.
  private static func ratio(
    _ primal: (Matrix, Matrix), _ dual: (Matrix, Matrix), over sizes: (Double, Double)
  ) -> Double {
    func distance(_ pair: (Matrix, Matrix)) -> Double {
      var square = 0.0
      for k in 0..<pair.0.count {
        let difference = pair.0.base[k] - pair.1.base[k]
        square += difference * difference
      }
      return square.squareRoot()
    }
    let a = distance(primal) / max(sizes.0, 1e-300)
    let b = distance(dual) / max(sizes.1, 1e-300)
    return min(5, max(0.2, (a / max(b, 1e-300)).squareRoot()))
  }
}
