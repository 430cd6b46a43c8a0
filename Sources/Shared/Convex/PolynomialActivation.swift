import Tensors

/// The activation σ(t) = a t² + b t + c.
package struct PolynomialActivation: Equatable, Sendable {
  package let a: Double
  package let b: Double
  package let c: Double

  package init(a: Double, b: Double, c: Double) {
    self.a = a
    self.b = b
    self.c = c
  }

  /// σ(t) / `unit`.
  func divided(by unit: Double) -> PolynomialActivation {
    PolynomialActivation(a: a / unit, b: b / unit, c: c / unit)
  }

  /// Reads "0.09,0.5,0.47"; `nil` where the text is not three finite numbers that are not all zero.
  package init?(_ text: String) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Double(decimal: $0) }.filter(\.isFinite)
    guard parts.count == 3, numbers.count == 3, numbers.contains(where: { $0 != 0 }) else {
      return nil
    }
    self.init(a: numbers[0], b: numbers[1], c: numbers[2])
  }

  package var text: String { "\(a),\(b),\(c)" }
}
