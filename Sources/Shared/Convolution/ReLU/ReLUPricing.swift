import Convex
import Glibc
import LinearAlgebra

/// The dual constraints of a ReLU program over pooled features: with t_jk = ± F_iᵀν for group j = (i, ±) and slot k,
/// the norm of a group's projections (‖P_i(t_j1)‖² + …)^½ must be at most β.
final class ReLUPricing {
  private let cones: WorkingCones
  private let slots: Int
  private let groups: ReLUGroups
  private let d: Int
  private let map: ReLUOperator
  /// F_iᵀν, a row for each pattern.
  private let correlations: Matrix
  /// The projections, a row for each group.
  private let points: Matrix
  private var supports: [[Int]]
  /// z = Bᵀλ of the last multipliers λ ≥ 0 of each group. Since multiples of λ are multipliers too, ‖P_K(t)‖ ≤ min over
  /// c ≥ 0 of ‖t + c z‖, slot by slot.
  private let multipliers: Matrix
  /// An upper bound of each group's norm, for the ν of the last call.
  private(set) var bounds: [Double]

  init(_ cones: WorkingCones, map: ReLUOperator) {
    self.cones = cones
    self.map = map
    d = cones.features.dimension
    slots = map.slots
    groups = map.groups
    correlations = Matrix(groups.patterns, map.outputs * cones.features.regions * d)
    points = Matrix(groups.count, map.length)
    supports = Array(repeating: [], count: groups.count * slots)
    multipliers = Matrix(groups.count, map.length)
    bounds = Array(repeating: .infinity, count: groups.count)
  }

  /// Remembers Bᵀλ of a group.
  func remember(_ number: Int, _ z: UnsafePointer<Double>) {
    multipliers.row(number).update(from: z, count: multipliers.columns)
  }

  /// An upper bound of the largest norm for ν (C × n), without a projection.
  func loose(_ nu: Matrix) -> Double {
    map.correlate(nu, into: correlations)
    bounds.withUnsafeMutableBufferPointer { bounds in
      nonisolated(unsafe) let bounds = bounds
      Threads.split(bounds.count) { range in
        for row in range { bounds[row] = self.remembered(row) }
      }
    }
    return bounds.max() ?? 0
  }

  /// The bound of a group's norm from the remembered multipliers.
  private func remembered(_ row: Int) -> Double {
    let group = groups[row]
    var square = 0.0
    for k in 0..<slots {
      let (t, z) = (map.part(group, correlations) + k * d, multipliers.row(row) + k * d)
      let (size, inner) = (dot(d, z, z), group.sign * dot(d, t, z))
      let share = size > 0 && inner < 0 ? -inner / size : 0
      for i in 0..<d {
        let value = group.sign * t[i] + share * z[i]
        square += value * value
      }
    }
    return square.squareRoot()
  }

  /// An upper bound of the largest norm for ν (C × n). If it is above `level`, rows that the projections violate join
  /// their cones, up to `rounds` times; the bound is then exact to rounding, unless `proceed` ended it. With `seeksAll`
  /// this holds for every norm above `level`, not only for the largest. `tell` is called before each round with the
  /// number of norms to be projected.
  func largest(
    _ nu: Matrix, above level: Double = 0, seeksAll: Bool = false, rounds: Int = 60,
    proceed: () -> Bool = { true }, tell: (Int) -> Void = { _ in }
  ) -> Double {
    _ = loose(nu)
    // The centre itself is in the cone, so the norm that it attains bounds the largest from below.
    let level = seeksAll ? level : (0..<points.rows).reduce(level) { max($0, attained($1)) }
    var open = (0..<points.rows).filter { bounds[$0] > level }
    for round in 0..<max(1, rounds) where !open.isEmpty && proceed() {
      tell(open.count)
      project(open, &bounds, ceiling: level, proceed)
      open = open.filter { bounds[$0] > level }
      guard round + 1 < rounds, proceed() else { break }
      open = violated(open)
    }
    return bounds.max() ?? 0
  }

  /// The part of a group's norm that the multiples of the centres attain.
  private func attained(_ row: Int) -> Double {
    let group = groups[row]
    let (centre, t) = (cones.centres.row(group.pattern), map.part(group, correlations))
    var square = 0.0
    for k in 0..<slots {
      let inner = group.sign * dot(d, centre, t + k * d)
      if inner > 0 { square += inner * inner }
    }
    return square.squareRoot() * (1 - 1e-12)
  }

  /// Projects the groups `rows` (ascending); those of a pattern share its cone's memory and stay on one thread.
  private func project(
    _ rows: [Int], _ bounds: inout [Double], ceiling: Double, _ proceed: () -> Bool
  ) {
    var parts: [[Int]] = []
    for row in rows {
      if let last = parts.last?.last, groups.pattern(last) == groups.pattern(row) {
        parts[parts.count - 1].append(row)
      } else {
        parts.append([row])
      }
    }
    bounds.withUnsafeMutableBufferPointer { bounds in
      nonisolated(unsafe) let bounds = bounds
      supports.withUnsafeMutableBufferPointer { supports in
        nonisolated(unsafe) let supports = supports
        Threads.perform(parts.count) { part in
          var t = [Double](repeating: 0, count: self.d)
          for row in parts[part] where proceed() {
            var square = 0.0
            for k in 0..<self.slots {
              let group = self.groups[row]
              let source = self.map.part(group, self.correlations) + k * self.d
              for i in 0..<self.d { t[i] = group.sign * source[i] }
              let length = self.cones.cones[group.pattern].project(
                t, into: self.points.row(row) + k * self.d, warm: &supports[row * self.slots + k],
                ceiling: self.slots == 1 ? ceiling : 0)
              square += length * length
              let (point, z) = (
                self.points.row(row) + k * self.d, self.multipliers.row(row) + k * self.d
              )
              for i in 0..<self.d { z[i] = point[i] - t[i] }
            }
            bounds[row] = min(bounds[row], square.squareRoot())
          }
        }
      }
    }
  }

  /// Those of `rows` with a projection outside its cone; the violated rows of the data join the cone.
  private func violated(_ rows: [Int]) -> [Int] {
    let vectors = Matrix(rows.count * slots, d)
    var list: [Int] = []
    var level: [Double] = []
    for (place, row) in rows.enumerated() {
      for k in 0..<slots {
        vectors.row(place * slots + k).update(from: points.row(row) + k * d, count: d)
        list.append(groups.pattern(row))
        level.append(-1e-11 * norm(d, map.part(groups[row], correlations) + k * d))
      }
    }
    let found = cones.features.shallowest(vectors, of: list, below: level, limit: d)
    return rows.indices.filter { place in
      let outside = (0..<slots).flatMap { found[place * slots + $0].map(\.row) }
      let cone = cones.cones[groups.pattern(rows[place])]
      cone.add(outside, of: cones.features)
      return !outside.isEmpty
    }.map { rows[$0] }
  }
}
