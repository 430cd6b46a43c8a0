import Glibc
import LinearAlgebra

/// A loss in the dual: with a = s∘ν (s the targets' signs, or 1), Σ φ(a_k) is minimised over low_k ≤ a_k ≤ high_k, and
/// k runs over outputs and samples; for cross-entropy the outputs of a sample also add up to 0. Of a loss with the weight
/// w it is w φ(a/w).
struct DualTerm {
  /// C × n, like all matrices here.
  let y: Matrix
  /// The weight of each entry, for cross-entropy that of its sample.
  private let weights: [Double]
  let signs: [Double]
  /// Whether each sample's a add up to 0.
  let isCoupled: Bool
  private let kind: Kind

  private enum Kind {
    case logistic, squared, crossEntropy
    case pieces(LinearPieces)
  }

  /// Whether φ keeps a within its bounds by itself.
  var isBarrier: Bool { if case .pieces = kind { false } else { true } }
  /// Whether φ is linear between its bounds, so that steps of ν and of the multipliers need not be the same.
  var isLinear: Bool { if case .pieces(let pieces) = kind { pieces.curvature == 0 } else { false } }

  /// Returns nil for a loss that is not one of the library's. `entries` are the loss's targets, n × C.
  init?(_ loss: any Loss, _ entries: Matrix) {
    switch loss.name {
    case .squared: kind = .squared
    case .logistic: kind = .logistic
    case .crossEntropy: kind = .crossEntropy
    default:
      guard let pieces = loss.pieces else { return nil }
      kind = .pieces(pieces)
    }
    let turned = entries.transposed
    let y = Matrix(turned.rows, turned.columns, turned.values.map(loss.target))
    self.y = y
    if case .crossEntropy = kind {
      let masses = (0..<entries.rows).map {
        CrossEntropyLoss.mass(entries.row($0), entries.columns)
      }
      weights = (0..<y.rows).flatMap { _ in masses }
    } else {
      weights = turned.values.map(loss.weight)
    }
    isCoupled = !loss.isSeparable
    var hasMargin = false
    if case .logistic = kind { hasMargin = true }
    if case .pieces(let pieces) = kind { hasMargin = pieces.isMargin }
    signs = hasMargin ? y.values : Array(repeating: 1, count: y.count)
  }

  func low(_ k: Int) -> Double {
    switch kind {
    case .squared: -.infinity
    case .logistic: 0
    case .crossEntropy: y.base[k] - weights[k]
    case .pieces(let pieces): -pieces.slopes.upperBound * weights[k]
    }
  }

  func high(_ k: Int) -> Double {
    switch kind {
    case .squared: .infinity
    case .logistic: weights[k]
    case .crossEntropy: y.base[k]
    case .pieces(let pieces): -pieces.slopes.lowerBound * weights[k]
    }
  }

  /// φ'(a_k), up to a term that is the same for all outputs of a sample if they are coupled.
  func slope(_ a: Double, _ k: Int) -> Double {
    switch kind {
    case .squared: a / weights[k] - y.base[k]
    case .logistic: log(a / (weights[k] - a))
    case .crossEntropy: -log(y.base[k] - a)
    case .pieces(let pieces):
      pieces.curvature * a / weights[k] - (pieces.isMargin ? 1 : y.base[k])
    }
  }

  /// φ''(a_k).
  func curvature(_ a: Double, _ k: Int) -> Double {
    switch kind {
    case .squared: 1 / weights[k]
    case .logistic: weights[k] / (a * (weights[k] - a))
    case .crossEntropy: 1 / (y.base[k] - a)
    case .pieces(let pieces): pieces.curvature / weights[k]
    }
  }

  /// a ← a + t·change, C × n. If φ is a barrier, each a_k nears its bounds by a factor and never reaches them.
  func move(_ a: Matrix, by change: Matrix, times t: Double) {
    switch kind {
    case .squared, .pieces: axpy(a.count, t, change.base, a.base)
    case .logistic:
      for k in 0..<a.count {
        let (w, value, step) = (weights[k], a.base[k], t * change.base[k])
        let moved =
          step < 0 ? value * exp(step / value) : w - (w - value) * exp(-step / (w - value))
        a.base[k] = min(max(moved, DualTerm.least * w), w - DualTerm.least * w)
      }
    case .crossEntropy:
      for j in 0..<a.columns {
        // The probabilities q = y − a, which add up to the sample's weight.
        var sum = 0.0
        for c in 0..<a.rows {
          let (q, step) = (y[c, j] - a[c, j], -t * change[c, j])
          a[c, j] = max(DualTerm.least, step < 0 ? q * exp(step / q) : q + step)
          sum += a[c, j]
        }
        for c in 0..<a.rows { a[c, j] = y[c, j] - weights[j] * a[c, j] / sum }
      }
    }
  }

  /// The least distance from a bound.
  private static let least = 1e-12
}
