import Glibc
import LinearAlgebra

/// How a gradient becomes a step.
package enum OptimizerName: String, CaseIterable, Sendable {
  /// Stochastic gradient descent with momentum: b ← μ b + g, w ← w − η b.
  case sgd
  /// Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
  case adam
  /// Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018: the largest second moment so far.
  case amsgrad

  /// The learning rate where none is asked for.
  package var usualRate: Double { self == .sgd ? 0.01 : 1e-3 }
}

/// The numbers of an optimiser, in the form that PyTorch has given them.
package struct OptimizerSettings: Sendable {
  package var name = OptimizerName.sgd
  /// μ of `sgd`.
  package var momentum = 0.9
  /// Decay of the first and of the second moment.
  package var moments = (0.9, 0.999)
  package var epsilon = 1e-8
  package init() {}
}

/// What an optimiser remembers of one array of weights.
final class OptimizerState: @unchecked Sendable {
  private let settings: OptimizerSettings
  /// The momentum, or the first moment.
  private let first: SingleMatrix
  private let second: SingleMatrix
  private let largest: SingleMatrix

  init(_ count: Int, _ settings: OptimizerSettings) {
    self.settings = settings
    let adapts = settings.name != .sgd
    first = SingleMatrix(1, adapts || settings.momentum != 0 ? count : 0)
    second = SingleMatrix(1, adapts ? count : 0)
    largest = SingleMatrix(1, settings.name == .amsgrad ? count : 0)
  }

  func reset() {
    for matrix in [first, second, largest] {
      matrix.base.update(repeating: 0, count: matrix.count)
    }
  }

  /// Moves the weights `range` by their gradients in step number `step`, the first being 1.
  func update(
    _ range: Range<Int>, _ weights: UnsafeMutablePointer<Float>,
    _ gradient: UnsafePointer<Float>, rate: Double, step: Int
  ) {
    let (w, g) = (weights + range.lowerBound, gradient + range.lowerBound)
    let count = range.count
    if settings.name == .sgd {
      let rate = Float(rate)
      guard settings.momentum != 0 else {
        for k in 0..<count { w[k] -= rate * g[k] }
        return
      }
      let (b, mu) = (first.base + range.lowerBound, Float(settings.momentum))
      for k in 0..<count {
        b[k] = mu * b[k] + g[k]
        w[k] -= rate * b[k]
      }
      return
    }
    let (beta1, beta2) = settings.moments
    // w ← w − η/(1 − β₁ᵗ) m / (√(v/(1 − β₂ᵗ)) + ε)
    let scale = Float(rate / (1 - pow(beta1, Double(step))))
    let root = Float(1 / (1 - pow(beta2, Double(step))).squareRoot())
    let epsilon = Float(settings.epsilon)
    let (keep1, keep2) = (Float(beta1), Float(beta2))
    let (take1, take2) = (Float(1 - beta1), Float(1 - beta2))
    let (m, v) = (first.base + range.lowerBound, second.base + range.lowerBound)
    if settings.name == .adam {
      for k in 0..<count {
        m[k] = keep1 * m[k] + take1 * g[k]
        v[k] = keep2 * v[k] + take2 * g[k] * g[k]
        w[k] -= scale * m[k] / (v[k].squareRoot() * root + epsilon)
      }
      return
    }
    let top = largest.base + range.lowerBound
    for k in 0..<count {
      m[k] = keep1 * m[k] + take1 * g[k]
      v[k] = keep2 * v[k] + take2 * g[k] * g[k]
      top[k] = top[k] > v[k] ? top[k] : v[k]
      w[k] -= scale * m[k] / (top[k].squareRoot() * root + epsilon)
    }
  }
}
