import Convex
import Glibc
import LinearAlgebra

/// The cones of all patterns, given by the rows that matter, with their centres and projections onto them.
package final class WorkingCones {
  let features: ReLUFeatures
  let cones: [WorkingCone]
  /// A row for each pattern.
  let centres: Matrix

  /// Finds a point inside each cone, from the `gates` (P × d), and the rows around it. If `proceed` ends it, cones
  /// whose gate is not inside stay closed.
  package init(
    _ features: ReLUFeatures, gates: Matrix, proceed: () -> Bool = { true },
    progress: (String) -> Void = { _ in }
  ) {
    self.features = features
    let d = features.dimension
    cones = (0..<features.patterns).map { WorkingCone($0, dimension: d) }
    centres = Matrix(features.patterns, d)
    progress("cones: \(features.patterns) patterns of \(features.rows) rows")
    let inner = interiorPoints(gates, proceed, progress)
    centre(from: inner, proceed, progress)
    for (i, cone) in cones.enumerated() where cone.isOpen {
      centres.row(i).update(from: cone.centre, count: d)
    }
  }

  /// The rows that each cone begins with, those nearest to its gate; and those nearest to its centre that follow.
  private var firstRows: Int { 3 * features.dimension }
  private var mostNear: Int { 3 * features.dimension }

  /// A unit vector inside the cone of each pattern: the gate or, if the gate is not inside (it cuts at a threshold, or
  /// goes through a row), the vector of largest margin; nil if the cone has no interior.
  private func interiorPoints(
    _ gates: Matrix, _ proceed: () -> Bool, _ progress: (String) -> Void
  ) -> [[Double]?] {
    let (count, d) = (features.patterns, features.dimension)
    let units = Matrix(copying: gates)
    for i in 0..<count {
      let length = norm(d, units.row(i))
      if length > 0 { scale(d, 1 / length, units.row(i)) }
    }
    let all = Array(0..<count)
    let nearest = features.shallowest(
      units, of: all, below: all.map { _ in .infinity }, limit: firstRows)
    var result: [[Double]?] = all.map { _ in nil }
    for i in all {
      cones[i].add(nearest[i].map(\.row), of: features)
      // No Newton step leads away from a gate that is almost on the boundary.
      if (nearest[i].first?.depth ?? 1) > 1e-6 {
        result[i] = Array(UnsafeBufferPointer(start: units.row(i), count: d))
      }
    }
    let missing = all.filter { result[$0] == nil }
    for (i, u) in zip(missing, largestMargins(missing, proceed, progress)) { result[i] = u }
    return result
  }

  /// The unit vectors u with the largest minimum of b·u, for the cones `list`: for t = (0, 1) and the cone {(u, α) : B
  /// u ≥ α}, the projection of t has α > 0 if there is an interior (least distance programming; Lawson and Hanson 1974,
  /// chapter 23). Rows that the projection violates join.
  private func largestMargins(
    _ list: [Int], _ proceed: () -> Bool, _ progress: (String) -> Void
  ) -> [[Double]?] {
    let d = features.dimension
    var result: [[Double]?] = list.map { _ in nil }
    var open = Array(list.indices)
    for _ in 0..<60 where !open.isEmpty && proceed() {
      progress("cones: points inside \(open.count)")
      let points = Matrix(open.count, d)
      var margins = [Double](repeating: 0, count: open.count)
      margins.withUnsafeMutableBufferPointer { margins in
        nonisolated(unsafe) let margins = margins
        Threads.perform(open.count) { k in
          guard proceed() else { return }
          let cone = self.cones[list[open[k]]]
          let rows = Matrix(cone.matrix.rows, d + 1)
          for i in 0..<rows.rows {
            rows.row(i).update(from: cone.matrix.row(i), count: d)
            rows[i, d] = -1
            scale(d + 1, 1 / 2.0.squareRoot(), rows.row(i))
          }
          let projector = ConeProjector(ConeRows(units: rows))
          var t = [Double](repeating: 0, count: d + 1)
          t[d] = 1
          projector.project(t, signs: [Double](repeating: 1, count: rows.rows))
          let size = norm(d, projector.point)
          guard projector.point[d] > 1e-9 * size, size > 0 else { return }
          margins[k] = projector.point[d] / size
          points.row(k).update(from: projector.point, count: d)
          scale(d, 1 / size, points.row(k))
        }
      }
      let alive = open.indices.filter { margins[$0] > 0 }
      let vectors = Matrix(alive.count, d)
      for (k, place) in alive.enumerated() {
        vectors.row(k).update(from: points.row(place), count: d)
      }
      let shallow = features.shallowest(
        vectors, of: alive.map { list[open[$0]] }, below: alive.map { 0.5 * margins[$0] }, limit: d)
      var next: [Int] = []
      for (k, place) in alive.enumerated() {
        let index = open[place]
        if (shallow[k].first?.depth ?? 1) > 0 {
          result[index] = Array(UnsafeBufferPointer(start: vectors.row(k), count: d))
        } else if cones[list[index]].add(shallow[k].map(\.row), of: features) {
          next.append(index)
        }
      }
      open = next
    }
    return result
  }

  /// Moves from the interior points to the analytic centres of the working rows. These grow by the rows that the
  /// centres would violate and then by those that are near.
  private func centre(
    from inner: [[Double]?], _ proceed: () -> Bool, _ progress: (String) -> Void
  ) {
    let d = features.dimension
    var open = inner.indices.filter { inner[$0] != nil }
    for i in open { cones[i].setCentre(inner[i]!) }
    var points = inner
    for round in 0..<30 where !open.isEmpty && proceed() {
      progress("cones: centres of \(open.count), round \(round + 1)")
      points.withUnsafeMutableBufferPointer { points in
        nonisolated(unsafe) let points = points
        Threads.perform(open.count) { k in
          guard proceed() else { return }
          let cone = self.cones[open[k]]
          let start = cone.retreat(from: points[open[k]]!, to: inner[open[k]]!)
          points[open[k]] = cone.analyticCentre(from: start)
        }
      }
      let vectors = Matrix(open.count, d)
      for (k, i) in open.enumerated() { vectors.row(k).update(from: points[i]!, count: d) }
      let shallow = features.shallowest(
        vectors, of: open, below: open.map { _ in .infinity }, limit: mostNear)
      var next: [Int] = []
      for (k, i) in open.enumerated() {
        let outside = shallow[k].filter { !($0.depth > 0) }
        if outside.isEmpty { cones[i].setCentre(points[i]!) }
        // Once the centre is inside, near rows join too, and the last centre is that of all these rows.
        let more = outside.isEmpty ? shallow[k] : Array(outside.prefix(d))
        let isNew = cones[i].add(more.map(\.row), of: features)
        if isNew, !outside.isEmpty || round < 4 { next.append(i) }
      }
      open = next
    }
  }
}
