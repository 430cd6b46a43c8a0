import Glibc
import LinearAlgebra

/// The cells into which hyperplanes through the origin cut R^r, r ≥ 3, each with a point inside.
///
/// Hyperplanes are added one by one. The cells that the next one, H, cuts are those of the arrangement that the earlier
/// ones make within H, which is one of R^{r−1} and is found in the same way (deletion and restriction: Zaslavsky,
/// "Facing up to arrangements", 1975) down to lines of the plane, which are sorted by angle. A tree of the cuts finds
/// the cell to which a point within H belongs. The work is that of listing the cells r times. Degenerate arrangements
/// need care only here: hyperplanes that meet H in the same subspace count as one hyperplane of H.
struct HyperplaneArrangement {
  /// Rounding made the arrangement contradict itself.
  struct Inconsistent: Error {}

  private let r: Int
  /// A point of each cell, of unit length: rows of r numbers. No hyperplane comes nearer to it than its margin.
  private var points: [Double]
  private var margins: [Double]
  /// The nodes of the tree: the hyperplane that cuts a node, and its two halves, negative side first; for a leaf −1,
  /// and the number of its cell, twice.
  private var cuts: [Int32] = [-1]
  private var halves: [SIMD2<Int32>] = [SIMD2(0, 0)]

  private init(dimension: Int) {
    r = dimension
    points = Array(repeating: 0, count: dimension)
    margins = [0]
  }

  /// A point of each cell, as rows of `r` numbers of unit length (or zero if there is no hyperplane), for the
  /// hyperplanes with the unit normals `normals` (rows of `r`), which are known to within `errors`. `probe` is told
  /// after each hyperplane how many there are.
  static func cells(
    _ normals: UnsafePointer<Double>, _ errors: [Double], dimension r: Int,
    probe: (_ hyperplanes: Int) throws -> Void = { _ in }
  ) throws -> [Double] {
    if r == 1 { return errors.isEmpty ? [0] : [1, -1] }
    if r == 2 { return PlaneArrangement.cells(normals, errors) }
    let kept = ParallelRows.representatives(normals, errors.count, r, errors)
    var rows: [Double] = []
    rows.reserveCapacity(kept.count * r)
    for j in kept { rows += UnsafeBufferPointer(start: normals + j * r, count: r) }
    let keptErrors = kept.map { errors[$0] }
    var arrangement = HyperplaneArrangement(dimension: r)
    try rows.withUnsafeBufferPointer { rows in
      for k in kept.indices {
        try arrangement.add(k, of: rows.baseAddress!, keptErrors)
        try probe(k + 1)
      }
    }
    return arrangement.points
  }

  /// Adds the hyperplane of row `k` to those of the rows before.
  private mutating func add(
    _ k: Int, of rows: UnsafePointer<Double>, _ errors: [Double]
  ) throws {
    let normal = rows + k * r
    let reflection = Reflection(normal, r)
    // The earlier hyperplanes within H.
    var restricted = [Double](repeating: 0, count: k * (r - 1))
    var restrictedErrors = [Double](repeating: 0, count: k)
    var image = [Double](repeating: 0, count: r)
    for j in 0..<k {
      reflection.apply(rows + j * r, &image)
      var length = 0.0
      for i in 1..<r { length += image[i] * image[i] }
      length = length.squareRoot()
      for i in 1..<r { restricted[j * (r - 1) + i - 1] = image[i] / length }
      restrictedErrors[j] = (errors[j] + errors[k] + RowSpace.rounding / 4) / length
    }
    let within = try restricted.withUnsafeBufferPointer { buffer in
      // With no earlier hyperplane there is nothing to point to.
      try buffer.baseAddress.map {
        try HyperplaneArrangement.cells($0, restrictedErrors, dimension: r - 1)
      } ?? Array(repeating: 0, count: r - 1)
    }
    var point = [Double](repeating: 0, count: r)
    for start in stride(from: 0, to: within.count, by: r - 1) {
      image[0] = 0
      for i in 1..<r { image[i] = within[start + i - 1] }
      image.withUnsafeBufferPointer { reflection.apply($0.baseAddress!, &point) }
      try cut(at: point, by: k, rows)
    }
  }

  /// Cuts the cell of the rows before `k` that holds `point`, which lies on the hyperplane of row `k`.
  private mutating func cut(
    at point: [Double], by k: Int, _ rows: UnsafePointer<Double>
  ) throws {
    let r = r
    let normal = rows + k * r
    let node = point.withUnsafeBufferPointer { leaf(of: $0.baseAddress!, rows) }
    // A hyperplane cuts a cell only once.
    guard let node, node.cut != k else { throw Inconsistent() }

    let step = halfway(from: point, along: normal, k, rows)
    let (old, new) = (Int(halves[node.place].x), margins.count)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * r) { sides in
      let (negative, positive) = (sides.baseAddress!, sides.baseAddress! + r)
      let negativeMargin = side(-1, of: old, point, step, by: k, rows, into: negative)
      let positiveMargin = side(1, of: old, point, step, by: k, rows, into: positive)
      for i in 0..<r { points[old * r + i] = negative[i] }
      points += sides[r..<2 * r]
      margins[old] = negativeMargin
      margins.append(positiveMargin)
    }

    cuts[node.place] = Int32(k)
    halves[node.place] = SIMD2(Int32(cuts.count), Int32(cuts.count + 1))
    for half in 0..<2 {
      cuts.append(-1)
      halves.append(SIMD2(repeating: Int32(half == 0 ? old : new)))
    }
  }

  /// Half the distance from `point` along ± `normal` to the nearest of the hyperplanes before `k`, at most 1.
  private func halfway(
    from point: [Double], along normal: UnsafePointer<Double>, _ k: Int,
    _ rows: UnsafePointer<Double>
  ) -> Double {
    let r = r
    var step = 1.0
    for j in 0..<k {
      let row = rows + j * r
      var (value, slope) = (0.0, 0.0)
      for i in 0..<r {
        value += row[i] * point[i]
        slope += row[i] * normal[i]
      }
      step = min(step, 0.5 * abs(value) / max(abs(slope), 1e-300))
    }
    return step
  }

  /// Writes to `target` a point of the half of `cell` on the side `sign` of hyperplane `k`, which cuts the cell at
  /// `point`, and returns its margin. The point lies a `step` from `point`, or is the cell's own if that is deeper.
  private func side(
    _ sign: Double, of cell: Int, _ point: [Double], _ step: Double, by k: Int,
    _ rows: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>
  ) -> Double {
    let r = r
    let normal = rows + k * r
    var (length, ownValue) = (0.0, 0.0)
    for i in 0..<r {
      target[i] = point[i] + sign * step * normal[i]
      length += target[i] * target[i]
      ownValue += normal[i] * points[cell * r + i]
    }
    length = length.squareRoot()
    for i in 0..<r { target[i] /= length }
    var margin = step / length
    for j in 0..<k {
      var value = 0.0
      for i in 0..<r { value += rows[j * r + i] * target[i] }
      margin = min(margin, abs(value))
    }
    let ownMargin = min(margins[cell], sign * ownValue)
    if ownMargin > margin {
      margin = ownMargin
      for i in 0..<r { target[i] = points[cell * r + i] }
    }
    return margin
  }

  /// The node of the cell that holds `point`, and the last cut above it.
  private func leaf(
    of point: UnsafePointer<Double>, _ rows: UnsafePointer<Double>
  ) -> (place: Int, cut: Int)? {
    cuts.withUnsafeBufferPointer { cuts in
      halves.withUnsafeBufferPointer { halves in
        var (place, last) = (0, -1)
        while cuts[place] >= 0 {
          last = Int(cuts[place])
          let row = rows + last * r
          var value = 0.0
          for i in 0..<r { value += row[i] * point[i] }
          if value.isNaN { return nil }
          place = Int(halves[place][value < 0 ? 0 : 1])
        }
        return (place, last)
      }
    }
  }
}

/// Householder's reflection that takes a unit vector to ± the first axis.
private struct Reflection {
  private let v: [Double]
  private let factor: Double

  init(_ a: UnsafePointer<Double>, _ r: Int) {
    var v = Array(UnsafeBufferPointer(start: a, count: r))
    v[0] += v[0] < 0 ? -1 : 1
    factor = 2 / v.reduce(0) { $0 + $1 * $1 }
    self.v = v
  }

  /// target ← (I − 2 v vᵀ/vᵀv) x.
  func apply(_ x: UnsafePointer<Double>, _ target: inout [Double]) {
    var product = 0.0
    for i in v.indices { product += v[i] * x[i] }
    for i in v.indices { target[i] = x[i] - factor * product * v[i] }
  }
}
