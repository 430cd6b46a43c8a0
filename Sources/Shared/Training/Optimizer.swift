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

  /// The learning rate if none is asked for.
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

/// An optimiser's memory of one array of weights.
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
    let top = settings.name == .amsgrad ? largest.base + range.lowerBound : nil
    // Eight at a time: squares of small gradients are subnormal, and each takes long by itself.
    for k in stride(from: 0, to: count, by: 8) {
      let lanes = min(8, count - k)
      let slope = load(g + k, lanes)
      let moment = keep1 * load(m + k, lanes) + take1 * slope
      let square = keep2 * load(v + k, lanes) + take2 * slope * slope
      store(moment, m + k, lanes)
      store(square, v + k, lanes)
      var size = square
      if let top {
        let before = load(top + k, lanes)
        size.replace(with: before, where: before .> square)
        store(size, top + k, lanes)
      }
      let change = scale * moment / (size.squareRoot() * root + epsilon)
      store(load(w + k, lanes) - change, w + k, lanes)
    }
  }

  /// The first `count` of eight numbers; zeros follow.
  @inline(__always)
  private func load(_ source: UnsafePointer<Float>, _ count: Int) -> SIMD8<Float> {
    if count == 8 { return UnsafeRawPointer(source).loadUnaligned(as: SIMD8<Float>.self) }
    var result = SIMD8<Float>.zero
    for k in 0..<count { result[k] = source[k] }
    return result
  }

  @inline(__always)
  private func store(_ value: SIMD8<Float>, _ target: UnsafeMutablePointer<Float>, _ count: Int) {
    if count == 8 {
      UnsafeMutableRawPointer(target).storeBytes(of: value, as: SIMD8<Float>.self)
    } else {
      for k in 0..<count { target[k] = value[k] }
    }
  }
}
