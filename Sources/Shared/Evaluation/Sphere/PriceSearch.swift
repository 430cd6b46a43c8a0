import LinearAlgebra
import Tensors

/// The largest price |Σ_i ν_i (1/K) Σ_k (x_ik·u)₊| of a neuron of length 1 that ascents find: each replaces u by the gradient, which
/// is the best u of its pattern. It is an estimate from below, not a bound.
struct PriceSearch {
  let largest: Double
  /// How many ascents were made.
  let count: Int

  private static let rounds = 20
  /// The most ascents, and the most multiplications in all.
  private static let (mostStarts, work) = (1000, 2e10)

  /// `features` are n·K × d, `dual` is ν, n × C; ascents begin at `directions`, a row each, and at random ones.
  init(features: Matrix, dual: Matrix, from directions: Matrix) {
    let (rows, d, outputs) = (features.rows, features.columns, dual.columns)
    let patches = rows / max(1, dual.rows)
    let each = 2.0 * Double(rows) * Double(d) * Double(PriceSearch.rounds) * 2 * Double(outputs)
    let starts = max(1, min(PriceSearch.mostStarts, Int(PriceSearch.work / max(1, each))))
    var random = RandomSource(seed: 20)
    let all = Matrix(min(directions.rows, starts) + starts, d)
    all.base.update(from: directions.base, count: min(directions.rows, starts) * d)
    for k in min(directions.rows, starts) * d..<all.count { all.base[k] = random.gaussian() }
    var largest = 0.0
    for c in 0..<outputs {
      for sign in [1.0, -1] {
        let u = Matrix(copying: all)
        for _ in 0..<PriceSearch.rounds {
          let prices = PriceSearch.ascend(u, features, patches) {
            sign * dual[$0 / patches, c] / Double(patches)
          }
          largest = max(largest, prices)
        }
      }
    }
    (self.largest, count) = (largest, 2 * outputs * all.rows)
  }

  /// Moves every row of `u` to its gradient, half of the way if it has been there; returns the largest price before.
  private static func ascend(
    _ u: Matrix, _ features: Matrix, _ patches: Int, _ weight: (Int) -> Double
  ) -> Double {
    let (m, d) = (u.rows, features.columns)
    let block = max(1, min(features.rows, 512))
    let products = Matrix(block, m)
    let gradient = Matrix(m, d)
    for i in 0..<m {
      let length = norm(d, u.row(i))
      if length > 0 { scale(d, 1 / length, u.row(i)) }
    }
    for first in stride(from: 0, to: features.rows, by: block) {
      let count = min(block, features.rows - first)
      gemm(count, m, d, features.row(first), .plain, u.base, .transposed, products.base)
      for i in 0..<count {
        let (row, value) = (products.row(i), weight(first + i))
        for j in 0..<m { row[j] = row[j] > 0 ? value : 0 }
      }
      gemm(
        m, d, count, products.base, .transposed, lda: m, features.row(first), .plain, beta: 1,
        gradient.base)
    }
    var largest = 0.0
    for j in 0..<m {
      largest = max(largest, dot(d, u.row(j), gradient.row(j)))
      let length = norm(d, gradient.row(j))
      guard length > 0 else { continue }
      for k in 0..<d { u[j, k] = 0.3 * u[j, k] + gradient[j, k] / length }
    }
    return largest.isFinite ? largest : 0
  }
}
