import Glibc
import LinearAlgebra

/// The cones K_i = {u : (2D_i − I) X u ≥ 0} of full-dimensional cells in R^r, r ≤ 4, each split into simplicial cones,
/// which are spanned by r unit vectors; the cone's extreme rays are among these. In more dimensions the cones have to be
/// simplicial, which those of r hyperplanes are.
///
/// A sector of the plane has two extreme rays. A cone of R³ has a ring of them, found by walking from wall to
/// wall, as a hull is wrapped, and is split like a fan. Those of R⁴ come from the double description method.
struct ConeSplitting {
  /// Above the first rank cones are not split, above the second simplicial ones are too many.
  static let (maximumRank, maximumSimplicialRank) = (4, 8)
  let r: Int
  /// The first simplex of each cell, and the number of simplices at the end.
  let starts: [Int]
  /// Unit vectors, simplices × r × r.
  let rays: [Double]
  /// The numbers of the hyperplanes that are the walls of each cell.
  let walls: [[Int32]]

  var simplices: Int { starts.last! }

  /// `normals` are unit normals of distinct hyperplanes (m × r), row j being that of row `rows[j]` of the patterns,
  /// `points` (P × r) a unit vector well inside each cell. Returns `nil` if a point is not inside its cell, or if a
  /// cone is not of full dimension or contains a line.
  init?(normals: Matrix, rows: [Int], patterns: Patterns, points: Matrix) {
    let (m, r) = (normals.rows, normals.columns)
    precondition(r >= 1 && m == rows.count && m >= r)
    precondition(
      r <= ConeSplitting.maximumRank || (r <= ConeSplitting.maximumSimplicialRank && m == r))
    self.r = r
    let block = 64
    let parts = (patterns.count + block - 1) / block
    var found = [[(rays: [Double], walls: [Int32])]](repeating: [], count: parts)
    let lock = Lock()
    Threads.perform(parts) { part in
      let cells = part * block..<min(patterns.count, (part + 1) * block)
      var walls = [SIMD4<Double>](repeating: .zero, count: m)
      let cones = cells.map { cell -> (rays: [Double], walls: [Int32]) in
        if r > ConeSplitting.maximumRank {
          let own = (0..<m).map { j in
            let sign = patterns.isActive(cell, row: rows[j]) ? 1.0 : -1
            return (0..<r).map { sign * normals[j, $0] }
          }
          return ConeSplitting.pulled(own, (0..<r).map { points[cell, $0] })
        }
        for j in 0..<m {
          let sign = patterns.isActive(cell, row: rows[j]) ? 1.0 : -1
          for k in 0..<r { walls[j][k] = sign * normals[j, k] }
        }
        var point = SIMD4<Double>.zero
        for k in 0..<r { point[k] = points[cell, k] }
        guard walls.allSatisfy({ inner($0, point) > 0 }) else { return ([], []) }
        switch r {
        case 1: return ([point[0] < 0 ? -1 : 1], [0])
        case 2: return ConeSplitting.sector(walls, point)
        case 3:
          let (ring, met) = ConeSplitting.ring(walls, point)
          return (ConeSplitting.fan(ring), met)
        default:
          return ConeSplitting.pulled(
            walls.map { wall in (0..<r).map { wall[$0] } }, (0..<r).map { point[$0] })
        }
      }
      lock.locked { found[part] = cones }
    }
    let all = found.flatMap { $0 }
    guard all.allSatisfy({ !$0.rays.isEmpty }) else { return nil }
    starts = all.reduce(into: [0]) { $0.append($0.last! + $1.rays.count / (r * r)) }
    rays = all.flatMap { $0.rays }
    walls = all.map { $0.walls }
  }

  /// The two rays of a cone in the plane.
  private static func sector(
    _ walls: [SIMD4<Double>], _ point: SIMD4<Double>
  ) -> (rays: [Double], walls: [Int32]) {
    let across = SIMD4(-point[1], point[0], 0, 0)
    guard let (below, a) = farthest(walls, from: point, along: -across, above: 0),
      let (over, b) = farthest(walls, from: point, along: across, above: 0)
    else { return ([], []) }
    let (low, high) = (unit(a * point - across), unit(b * point + across))
    return ([low[0], low[1], high[0], high[1]], [Int32(below), Int32(over)])
  }

  /// A ray lies on a wall if its product with the wall is at most this.
  private static let contact = 1e-11

  /// The rays of a cone in R³ in their order around it.
  private static func ring(
    _ walls: [SIMD4<Double>], _ point: SIMD4<Double>
  ) -> (rays: [SIMD4<Double>], walls: [Int32]) {
    // The nearest wall is met at a point of its facet.
    var first = 0
    for j in walls.indices where inner(walls[j], point) < inner(walls[first], point) { first = j }
    var wall = first
    var base = unit(point - inner(walls[wall], point) * walls[wall])
    var along = cross(walls[wall], base)
    var limit = 0.0
    var rays: [SIMD4<Double>] = []
    var met: [Int32] = []
    for _ in 0...walls.count {
      // The facet's end: cot θ base + along for the smallest angle θ at which another wall is met.
      met.append(Int32(wall))
      guard
        let (end, cotangent) = farthest(walls, from: base, along: along, above: limit, except: wall)
      else { return ([], []) }
      var ray = unit(cross(walls[wall], walls[end]))
      let rough = unit(cotangent * base + along)
      if inner(ray, rough) < 0 { ray = -ray }
      rays.append(ray)
      // The next of the walls at this ray is the one that is met first when turning from the facet into the cone.
      let back = unit(base - cotangent * along)
      var next = end
      var largest = -Double.infinity
      for j in walls.indices where j != wall && inner(walls[j], ray) <= contact {
        let depth = inner(walls[j], back)
        guard depth > 0 else { continue }
        let slope = -inner(walls[j], walls[wall]) / depth
        if slope > largest { (next, largest) = (j, slope) }
      }
      if largest == -.infinity {
        largest = -inner(walls[end], walls[wall]) / max(inner(walls[end], back), 1e-300)
      }
      along = unit(largest * back + walls[wall])
      along = unit(along - inner(along, ray) * ray)
      (wall, base, limit) = (next, ray, contact)
      if wall == first { return (rays, met) }
    }
    return ([], [])
  }

  /// The wall that is met first when turning from `base` towards `along`, among those other than `own` with c·base >
  /// `limit`, and the cotangent of the angle.
  private static func farthest(
    _ walls: [SIMD4<Double>], from base: SIMD4<Double>, along: SIMD4<Double>, above limit: Double,
    except own: Int = -1
  ) -> (wall: Int, cotangent: Double)? {
    var best: (Int, Double)?
    for j in walls.indices where j != own {
      let height = inner(walls[j], base)
      guard height > limit else { continue }
      let cotangent = -inner(walls[j], along) / height
      if best == nil || cotangent > best!.1 { best = (j, cotangent) }
    }
    return best
  }

  private static func fan(_ ring: [SIMD4<Double>]) -> [Double] {
    guard ring.count >= 3 else { return [] }
    var result: [Double] = []
    result.reserveCapacity(9 * (ring.count - 2))
    for k in 1..<ring.count - 1 {
      for ray in [ring[0], ring[k], ring[k + 1]] { result += [ray[0], ray[1], ray[2]] }
    }
    return result
  }

  /// A triangulation of any cone.
  private static func pulled(
    _ walls: [[Double]], _ point: [Double]
  ) -> (rays: [Double], walls: [Int32]) {
    guard let cone = DoubleDescription(walls: walls, point: point) else { return ([], []) }
    return (
      cone.simplices.flatMap { $0.flatMap { cone.rays[$0] } }, cone.facets.map { Int32($0) }
    )
  }
}

@inline(__always)
private func inner(_ a: SIMD4<Double>, _ b: SIMD4<Double>) -> Double { (a * b).sum() }

private func unit(_ a: SIMD4<Double>) -> SIMD4<Double> {
  // Cotangents can be huge.
  let scaled = a / max(abs(a[0]), max(abs(a[1]), abs(a[2])))
  return scaled / inner(scaled, scaled).squareRoot()
}

private func cross(_ a: SIMD4<Double>, _ b: SIMD4<Double>) -> SIMD4<Double> {
  SIMD4(
    a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0], 0)
}
