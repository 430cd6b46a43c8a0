import Convex
import Glibc
import LinearAlgebra

/// The dual constraints of a ReLU program over pooled features: with t_jk = ± F_iᵀν of group j = (i, ±), slot
/// k, the norm of a group's projections (‖P_i(t_j1)‖² + …)^½ is to be at most β.
final class ReLUPricing {
  private let cones: WorkingCones
  private let slots: Int
  private let d: Int
  private let map: ReLUOperator
  /// F_iᵀν, a row a pattern.
  private let correlations: Matrix
  /// The projections, a row a group: 2i for +, 2i + 1 for −.
  private let points: Matrix
  private var supports: [[Int]]

  init(_ cones: WorkingCones, map: ReLUOperator) {
    self.cones = cones
    self.map = map
    d = cones.features.dimension
    slots = map.outputs * cones.features.regions
    let count = cones.features.patterns
    correlations = Matrix(count, slots * d)
    points = Matrix(2 * count, slots * d)
    supports = Array(repeating: [], count: 2 * count * slots)
  }

  /// An upper bound of the largest norm for ν (C × n), and the row of its group. Where it is above `level`
  /// rows that the projections violate join their cones, up to `rounds` times: then it is exact to rounding.
  func largest(_ nu: Matrix, above level: Double = 0, rounds: Int = 60) -> Double {
    map.correlate(nu, into: correlations)
    let count = points.rows
    var level = level
    var bounds = [Double](repeating: 0, count: count)
    for row in 0..<count {
      bounds[row] = norm(points.columns, correlations.row(row / 2))
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
    let (centre, t) = (cones.centres.row(row / 2), correlations.row(row / 2))
    var square = 0.0
    for k in 0..<slots {
      let inner = (row % 2 == 0 ? 1 : -1) * dot(d, centre, t + k * d)
      if inner > 0 { square += inner * inner }
    }
    return square.squareRoot() * (1 - 1e-12)
  }

  /// Projects the groups `rows` (ascending); the two of a pattern share its cone's memory, so one thread.
  private func project(_ rows: [Int], _ bounds: inout [Double]) {
    var parts: [[Int]] = []
    for row in rows {
      if let last = parts.last?.last, last / 2 == row / 2 {
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
              let source = self.correlations.row(row / 2) + k * self.d
              for i in 0..<self.d { t[i] = row % 2 == 0 ? source[i] : -source[i] }
              let length = self.cones.cones[row / 2].project(
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
        list.append(row / 2)
        level.append(-1e-11 * norm(d, correlations.row(row / 2) + k * d))
      }
    }
    let found = cones.features.shallowest(vectors, of: list, below: level, limit: d)
    return rows.indices.filter { place in
      let outside = (0..<slots).flatMap { found[place * slots + $0].map(\.row) }
      let cone = cones.cones[rows[place] / 2]
      cone.add(outside, of: cones.features)
      return !outside.isEmpty
    }.map { rows[$0] }
  }
}
