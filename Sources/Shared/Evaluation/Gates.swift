import LinearAlgebra
import Schema

/// The half-spaces x · g ≥ t that decide where neurons are active.
package struct Gates: Sendable, Equatable {
  /// m × d.
  let vectors: Matrix
  let thresholds: [Double]
  /// ‖g‖ of each.
  let lengths: [Double]

  init(vectors: Matrix, thresholds: [Double]) {
    precondition(thresholds.count == vectors.rows, "a threshold for each gate")
    self.vectors = vectors
    self.thresholds = thresholds
    lengths = (0..<vectors.rows).map { norm(vectors.columns, vectors.row($0)) }
  }

  package static func == (a: Gates, b: Gates) -> Bool {
    a.vectors.columns == b.vectors.columns && a.vectors.values == b.vectors.values
      && a.thresholds == b.thresholds
  }

  /// The gates `members`, in that order.
  func selecting(_ members: [Int]) -> Gates {
    Gates(vectors: vectors.selecting(members), thresholds: members.map { thresholds[$0] })
  }

  /// g and t of gate j.
  func numbers(_ j: Int) -> [Double] {
    Array(UnsafeBufferPointer(start: vectors.row(j), count: vectors.columns)) + [thresholds[j]]
  }

  /// The place of each of `others` among these gates; `nil` if one is not among them.
  func places(of others: Gates) -> [Int]? {
    guard others.vectors.columns == vectors.columns else { return nil }
    let all = Dictionary(
      (0..<vectors.rows).map { (numbers($0), $0) }, uniquingKeysWith: { first, _ in first })
    let places = (0..<others.vectors.rows).compactMap { all[others.numbers($0)] }
    return places.count == others.vectors.rows ? places : nil
  }

  /// How far x lies on the wrong side of gate j, which should or should not be active: x · g − t by the sign that it
  /// should not have, relative to ‖x‖ ‖g‖ + |t|; at most 0 on the right side. If all of these are 0, or x · g is 0
  /// without any rounding, because each of its terms is, x is active.
  func violation(
    _ j: Int, product: Double, of x: UnsafePointer<Double>, length: Double, active: Bool
  ) -> Double {
    let scale = length * lengths[j] + abs(thresholds[j])
    // An overflow proves nothing.
    guard product.isFinite, scale.isFinite else { return .infinity }
    guard scale > 0 else { return active ? 0 : 1 }
    if !active, product == 0, thresholds[j] == 0, isOrthogonal(j, x) { return 1 }
    return (active ? thresholds[j] - product : product - thresholds[j]) / scale
  }
}

extension Gates {
  /// Whether every term of x · g_j is 0.
  private func isOrthogonal(_ j: Int, _ x: UnsafePointer<Double>) -> Bool {
    let gate = vectors.row(j)
    return (0..<vectors.columns).allSatisfy { x[$0] == 0 || gate[$0] == 0 }
  }
}

extension GateTensors {
  /// Whether one of the gates cuts elsewhere than at 0.
  var hasThresholds: Bool { thresholds.map { $0.doubles.contains { $0 != 0 } } ?? false }

  /// All gates.
  var all: Gates { selecting(Array(0..<count)) }

  /// The gates `members`, in that order, each with its threshold times the power of two that brings its largest entry
  /// near 1, so that no product overflows or underflows because of the gate, and none changes its sign.
  func selecting(_ members: [Int]) -> Gates {
    let d = vectors.shape[1]
    let chosen = Matrix(members.count, d)
    var cuts = [Double](repeating: 0, count: members.count)
    for (j, member) in members.enumerated() {
      vectors.copyDoubles(member * d..<(member + 1) * d, into: chosen.row(j))
      thresholds?.copyDoubles(member..<member + 1, into: &cuts[j])
      let largest = (0..<d).reduce(0) { max($0, abs(chosen[j, $1])) }
      guard largest > 0 else { continue }
      // In two steps: the power that a subnormal number needs is infinite.
      let power = -Int(largest.exponent)
      for part in [power / 2, power - power / 2] {
        for k in 0..<d { chosen[j, k] = chosen[j, k] * exponential(part) }
        cuts[j] *= exponential(part)
      }
    }
    return Gates(vectors: chosen, thresholds: cuts)
  }
}

/// 2^k.
private func exponential(_ k: Int) -> Double { Double(sign: .plus, exponent: k, significand: 1) }
