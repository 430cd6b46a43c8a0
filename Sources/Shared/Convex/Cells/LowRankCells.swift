import LinearAlgebra

/// The cells that the patterns of data of small rank stand for, in coordinates of the rows' space, split into simplicial
/// cones.
struct LowRankCells {
  private struct RankTooHigh: Error {}

  /// An orthonormal basis of the rows' space, r × d.
  let basis: Matrix
  /// X in that basis over `unit`, n × r: rows have the length √r in the mean.
  let features: Matrix
  let unit: Double
  let hyperplanes: Hyperplanes
  let splitting: ConeSplitting

  /// nil if the rank is above 4, if gates have thresholds, or if a gate does not attain its pattern strictly. With
  /// `allowsIndependentRows` the rank may be up to 8 if no more hyperplanes than that are distinct.
  init?(_ data: ArrangementData, allowsIndependentRows: Bool = false) {
    let limit =
      allowsIndependentRows ? ConeSplitting.maximumSimplicialRank : ConeSplitting.maximumRank
    guard data.thresholds == nil,
      let space = try? RowSpace(
        data.features,
        probe: { rank, _ in
          guard rank <= limit else { throw RankTooHigh() }
        }), space.rank > 0
    else { return nil }
    basis = space.basis
    let r = space.rank
    features = product(data.features, .plain, basis, .transposed)
    unit = norm(features.count, features.base) / Double(features.count).squareRoot()
    scale(features.count, 1 / unit, features.base)
    let gates = Matrix(data.patterns.count, data.dimension, data.gates.doubles)
    let points = product(gates, .plain, basis, .transposed)
    for i in 0..<points.rows {
      let length = norm(r, points.row(i))
      guard length > 0 else { return nil }
      scale(r, 1 / length, points.row(i))
    }
    guard LowRankCells.agree(features, data.patterns, points) else { return nil }
    hyperplanes = Hyperplanes(features)
    guard r <= ConeSplitting.maximumRank || hyperplanes.normals.rows == r else { return nil }
    guard
      let splitting = ConeSplitting(
        normals: hyperplanes.normals, rows: hyperplanes.rows.map { $0[0] },
        patterns: data.patterns, points: points)
    else { return nil }
    self.splitting = splitting
  }

  /// Whether every point lies on the side of every nonzero row that its pattern says.
  private static func agree(_ rows: Matrix, _ patterns: Patterns, _ points: Matrix) -> Bool {
    let (n, r) = (rows.rows, rows.columns)
    let lock = Lock()
    nonisolated(unsafe) var result = true
    Threads.split(patterns.count, grain: 64) { cells in
      var agrees = true
      for cell in cells {
        for j in 0..<n {
          var (value, size) = (0.0, 0.0)
          for k in 0..<r {
            value += rows[j, k] * points[cell, k]
            size += abs(rows[j, k])
          }
          if size > 0, value == 0 || (value > 0) != patterns.isActive(cell, row: j) {
            agrees = false
          }
        }
      }
      if !agrees { lock.locked { result = false } }
    }
    return result
  }

  /// The rays of simplex `s` as unit vectors of R^d.
  func rays(ofSimplex s: Int) -> [[Double]] {
    let r = splitting.r
    return (0..<r).map { k in
      let start = (s * r + k) * r
      let ray = Array(splitting.rays[start..<start + r])
      var result = [Double](repeating: 0, count: basis.columns)
      gemv(r, basis.columns, basis.base, .transposed, ray, &result)
      return result
    }
  }

  /// The simplices of a cell.
  func simplices(of cell: Int) -> Range<Int> {
    splitting.starts[cell]..<splitting.starts[cell + 1]
  }

  /// The distinct rays of all simplices of a cell.
  func rays(of cell: Int) -> [[Double]] {
    var result: [[Double]] = []
    for ray in simplices(of: cell).flatMap({ rays(ofSimplex: $0) }) where !result.contains(ray) {
      result.append(ray)
    }
    return result
  }
}
