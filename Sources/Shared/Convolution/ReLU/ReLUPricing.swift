import Convex
import Glibc
import LinearAlgebra

/// The dual constraints of a ReLU program over pooled features: with t_jk = ± F_iᵀν of group j = (i, ±), slot
/// k, the norm of a group's projections (‖P_i(t_j1)‖² + …)^½ is to be at most β.
final class ReLUPricing {
  private let cones: WorkingCones
  private let slots: Int
  private let groups: ReLUGroups
  private let d: Int
  private let map: ReLUOperator
  /// F_iᵀν, a row a pattern.
  private let correlations: Matrix
  /// The projections, a row a group.
  private let points: Matrix
  private var supports: [[Int]]

  init(_ cones: WorkingCones, map: ReLUOperator) {
    self.cones = cones
    self.map = map
    d = cones.features.dimension
    slots = map.slots
    groups = map.groups
    correlations = Matrix(groups.patterns, map.outputs * cones.features.regions * d)
    points = Matrix(groups.count, map.length)
    supports = Array(repeating: [], count: groups.count * slots)
  }

  /// An upper bound of the largest norm for ν (C × n), and the row of its group. Where it is above `level`
  /// rows that the projections violate join their cones, up to `rounds` times: then it is exact to rounding.
  func largest(_ nu: Matrix, above level: Double = 0, rounds: Int = 60) -> Double {
    map.correlate(nu, into: correlations)
    let count = points.rows
    var level = level
    var bounds = [Double](repeating: 0, count: count)
    for row in 0..<count {
      bounds[row] = norm(points.columns, map.part(groups[row], correlations))
      // The centre itself is in the cone: what it attains bounds the largest norm from below.
      level = max(level, attained(row))
    }
    var open = (0..<count).filter { bounds[$0] > level }
    for round in 0..<max(1, rounds) where !open.isEmpty {
      project(open, &bounds)
      open = open.filter { bounds[$0] > level }
      guard round + 1 < rounds else { break }
      open = violated(open)
    }
    return bounds.max() ?? 0
  }

  /// What the multiples of the centres attain of a group's norm.
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

  /// Projects the groups `rows` (ascending); those of a pattern share its cone's memory, so one thread.
  private func project(_ rows: [Int], _ bounds: inout [Double]) {
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
          for row in parts[part] {
            var square = 0.0
            for k in 0..<self.slots {
              let group = self.groups[row]
              let source = self.map.part(group, self.correlations) + k * self.d
              for i in 0..<self.d { t[i] = group.sign * source[i] }
              let length = self.cones.cones[group.pattern].project(
                t, into: self.points.row(row) + k * self.d, warm: &supports[row * self.slots + k])
              square += length * length
            }
            bounds[row] = min(bounds[row], square.squareRoot())
          }
        }
      }
    }
  }

  /// Those of `rows` of which a projection is outside its cone, whose rows join.
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
