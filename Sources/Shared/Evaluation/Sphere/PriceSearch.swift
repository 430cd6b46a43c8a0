import LinearAlgebra
import Tensors

/// The largest price |Σ_i ν_i (1/K) Σ_k (x_ik·u)₊| of a neuron of length 1 that ascents find: each moves towards the gradient, which
/// is the best u of its pattern, and less far if the price is no higher there. It is an estimate from below, not a bound.
struct PriceSearch {
  let largest: Double
  /// How many ascents were made.
  let count: Int

  private static let rounds = 30
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
        let found = PriceSearch.highest(from: all) { u in
          PriceSearch.gradients(at: u, features, patches) {
            sign * dual[$0 / patches, c] / Double(patches)
          }
        }
        largest = max(largest, found)
      }
    }
    (self.largest, count) = (largest, 2 * outputs * all.rows)
  }

  /// The largest price on the way of ascents from the rows of `starts`; `gradients` are those of the prices at given rows, which
  /// it makes units.
  private static func highest(from starts: Matrix, _ gradients: (Matrix) -> Matrix) -> Double {
    let (m, d) = (starts.rows, starts.columns)
    let (tried, best) = (Matrix(copying: starts), Matrix(copying: starts))
    let goals = Matrix(m, d)
    var prices = [Double](repeating: -.infinity, count: m)
    var shares = [Double](repeating: 1, count: m)
    for _ in 0..<rounds {
      let slopes = gradients(tried)
      for j in 0..<m {
        // The price is linear in u within a pattern.
        let price = dot(d, tried.row(j), slopes.row(j))
        if price > prices[j] {
          prices[j] = price
          best.row(j).update(from: tried.row(j), count: d)
          let length = norm(d, slopes.row(j))
          for k in 0..<d { goals[j, k] = length > 0 ? slopes[j, k] / length : 0 }
          shares[j] = min(1, 1.5 * shares[j])
        } else {
          shares[j] *= 0.4
        }
        for k in 0..<d { tried[j, k] = (1 - shares[j]) * best[j, k] + shares[j] * goals[j, k] }
      }
    }
    let largest = prices.max() ?? 0
    return largest.isFinite ? max(0, largest) : 0
  }

  /// The gradients of the prices at the rows of `u`, which become units; `weight` is that of each row of the features.
  private static func gradients(
    at u: Matrix, _ features: Matrix, _ patches: Int, _ weight: (Int) -> Double
  ) -> Matrix {
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
    return gradient
  }
}
