import LinearAlgebra
import Schema

/// The half-spaces x · g ≥ t that decide where neurons are active, of product gates together with second-layer units.
package struct Gates: Sendable, Equatable {
  /// m × d.
  let vectors: Matrix
  let thresholds: [Double]
  /// ‖g‖ of each.
  let lengths: [Double]
  /// Those of product gates.
  let units: UnitWeights?

  init(vectors: Matrix, thresholds: [Double], units: UnitWeights? = nil) {
    precondition(thresholds.count == vectors.rows, "a threshold for each gate")
    self.vectors = vectors
    self.thresholds = thresholds
    self.units = units
    lengths = (0..<vectors.rows).map { norm(vectors.columns, vectors.row($0)) }
  }

  package static func == (a: Gates, b: Gates) -> Bool {
    a.vectors.columns == b.vectors.columns && a.vectors.values == b.vectors.values
      && a.thresholds == b.thresholds && a.units == b.units
  }

  /// The gates `members`, in that order.
  func selecting(_ members: [Int]) -> Gates {
    Gates(
      vectors: vectors.selecting(members), thresholds: members.map { thresholds[$0] },
      units: units?.selecting(members))
  }

  /// g and t of each gate and, of product gates, the number of its unit. `numbers` holds those of units so far, by w and a:
  /// equal gates have equal keys.
  func keys(_ numbers: inout [[Double]: Int]) -> [[Double]] {
    var places: [Double] = []
    if let units {
      for k in 0..<units.count {
        let weights = units.numbers(k)
        let place = numbers[weights] ?? numbers.count
        numbers[weights] = place
        places.append(Double(place))
      }
    }
    return (0..<vectors.rows).map { j in
      Array(UnsafeBufferPointer(start: vectors.row(j), count: vectors.columns)) + [thresholds[j]]
        + (units.map { [places[$0.index[j]]] } ?? [])
    }
  }

  /// The place of each of `others` among these gates; `nil` if one is not among them.
  func places(of others: Gates) -> [Int]? {
    guard others.vectors.columns == vectors.columns else { return nil }
    var units: [[Double]: Int] = [:]
    let all = Dictionary(
      keys(&units).enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    let places = others.keys(&units).compactMap { all[$0] }
    return places.count == others.vectors.rows ? places : nil
  }

  /// How far x is from being active, or not active, for gate j, as it should be; at most 0 if it is as it should be.
  /// `product` is x · g, and `output` that of the gate's unit.
  func violation(
    _ j: Int, product: Double, output: Double, of x: UnsafePointer<Double>, length: Double,
    active: Bool
  ) -> Double {
    let side = sideViolation(j, product: product, of: x, length: length, active: active)
    guard let units, active || side > 0 else { return side }
    let unit = units.violation(j, output: output, of: x, length: length, active: active)
    return active ? max(side, unit) : min(side, unit)
  }

  /// How far x lies on the wrong side of the half-space of gate j, which should or should not be active: x · g − t by the sign that it
  /// should not have, relative to ‖x‖ ‖g‖ + |t|; at most 0 on the right side. If all of these are 0, or x · g is 0
  /// without any rounding, because each of its terms is, x is active.
  private func sideViolation(
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
  /// near 1, so that no product overflows or underflows because of the gate, and none changes its sign; units likewise.
  func selecting(_ members: [Int]) -> Gates {
    let d = vectors.shape[1]
    let chosen = Matrix(members.count, d)
    var cuts = [Double](repeating: 0, count: members.count)
    for (j, member) in members.enumerated() {
      vectors.copyDoubles(member * d..<(member + 1) * d, into: chosen.row(j))
      thresholds?.copyDoubles(member..<member + 1, into: &cuts[j])
      scaleToOne(d, chosen.row(j), with: &cuts[j])
    }
    return Gates(
      vectors: chosen, thresholds: cuts, units: units.map { UnitWeights($0.rows(members)) })
  }
}
