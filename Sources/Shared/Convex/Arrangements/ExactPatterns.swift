import Glibc
import LinearAlgebra
import Tensors

/// All patterns {1[Xu ≥ 0]} of vectors u that lie on no hyperplane: u has a nonzero product with every nonzero row of
/// X.
package struct ExactPatterns {
  /// X, n·K × d.
  private let rows: Matrix
  package let space: RowSpace
  /// How many patterns there can be.
  package let bound: Double

  /// Throws `Failure.data` if there can be more patterns than `maximum`, or if there is no memory for so many.
  package init(_ rows: Matrix, maximum: Int) throws {
    self.rows = rows
    let n = rows.rows
    space = try RowSpace(rows) { rank, hyperplanes in
      // If the rank would take long to find, the search for it ends as soon as the rank is too high.
      let work = Double(n) * Double(rows.columns) * Double(min(n, rows.columns))
      guard work > 1e9 else { return }
      try ExactPatterns.expect(
        PatternCount.bound(hyperplanes: hyperplanes, rank: rank), maximum, rank, orMore: true)
    }
    bound = PatternCount.bound(hyperplanes: space.normals.rows, rank: space.rank)
    try ExactPatterns.expect(bound, maximum, space.rank, orMore: false)
    // Patterns twice (sorting copies them), gates, points, the tree.
    let bytes = 2 * Patterns.stride(n) + 24 * rows.columns + 24 * space.rank + 64
    try expectMemory(
      bound * Double(bytes), for: "\(PatternCount.text(bound)) patterns of \(n) rows")
  }

  private static func expect(
    _ bound: Double, _ maximum: Int, _ rank: Int, orMore: Bool
  ) throws {
    guard bound > Double(maximum) else { return }
    throw Failure.data(
      "there can be \(PatternCount.text(bound)) patterns\(orMore ? " or more" : "") (the data have "
        + "rank \(rank)\(orMore ? " at least" : "")), over --max \(maximum): sample them, or reduce the features"
    )
  }

  /// Lists the patterns in the order of words of 0 and 1, each with a gate whose products with all rows have the
  /// pattern's signs beyond doubt. Throws `Failure.data` if double precision cannot tell cells apart.
  package func list(
    progress: (_ hyperplanes: Int, _ all: Int) -> Void = { _, _ in }
  ) throws -> GatedPatterns {
    let (m, r) = (space.normals.rows, space.rank)
    guard m > 0 else {
      // All rows are zero: every gate will do.
      let gates = Matrix(1, rows.columns)
      gates[0, 0] = 1
      let patterns = Patterns.signs(of: DataRows(rows), gates: gates)
      return GatedPatterns(patterns: patterns, gates: gates, thresholds: nil)
    }
    let points: [Double]
    do {
      points = try HyperplaneArrangement.cells(space.normals.base, space.errors, dimension: r) {
        progress($0, m)
      }
    } catch is HyperplaneArrangement.Inconsistent {
      throw ExactPatterns.tooClose
    }
    let gates = space.vectors(Matrix(points.count / r, r, points))
    let patterns = Patterns.signs(of: DataRows(rows), gates: gates)
    guard areStrict(gates) else { throw ExactPatterns.tooClose }
    let order = (0..<patterns.count).sorted { patterns.precedes($0, $1) }
    for (a, b) in zip(order, order.dropFirst()) where patterns.areEqual(a, b) {
      throw ExactPatterns.tooClose
    }
    return GatedPatterns(
      patterns: patterns.selecting(order), gates: gates.selecting(order), thresholds: nil)
  }

  static let tooClose = Failure.data(
    "rows of \"x\" are so near to a common hyperplane that double precision cannot tell the patterns apart: "
      + "round the features")

  /// Whether the product of every gate with every nonzero row is far above its rounding error.
  private func areStrict(_ gates: Matrix) -> Bool {
    let (n, d) = (rows.rows, rows.columns)
    // |x·g| is compared with Σ_k |x_k g_k|, of which rounding is at most (d + 1) 2⁻⁵³.
    let factor = 8 * Double(d + 2) * 0x1p-53
    let absoluteRows = Matrix(copying: rows)
    for i in 0..<absoluteRows.count { absoluteRows.base[i] = abs(absoluteRows.base[i]) }
    let lock = Lock()
    nonisolated(unsafe) var strict = true
    let block = 128
    Threads.perform((gates.rows + block - 1) / block) { part in
      let start = part * block
      let height = min(block, gates.rows - start)
      let absolute = Matrix(height, d)
      let (products, sizes) = (Matrix(height, n), Matrix(height, n))
      for i in 0..<height * d { absolute.base[i] = abs(gates.row(start)[i]) }
      gemm(height, n, d, gates.row(start), .plain, rows.base, .transposed, products.base)
      gemm(height, n, d, absolute.base, .plain, absoluteRows.base, .transposed, sizes.base)
      var partIsStrict = true
      for i in 0..<height * n where abs(products.base[i]) <= factor * sizes.base[i] {
        // For a zero row both are zero.
        if sizes.base[i] > 0 { partIsStrict = false }
      }
      if !partIsStrict { lock.locked { strict = false } }
    }
    return strict
  }
}
