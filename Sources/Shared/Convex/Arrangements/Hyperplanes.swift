import LinearAlgebra

/// The distinct hyperplanes {u : x_j · u = 0} of rows x_j that are not zero.
struct Hyperplanes {
  /// Unit normals, m × r: each is that of its first row.
  let normals: Matrix
  /// The rows that lie on each, ascending.
  let rows: [[Int]]

  init(_ all: Matrix) {
    let r = all.columns
    let unit = Matrix(copying: all)
    var nonzero: [Int] = []
    for j in 0..<all.rows {
      let length = norm(r, unit.row(j))
      guard length > 0 else { continue }
      scale(r, 1 / length, unit.row(j))
      nonzero.append(j)
    }
    let kept = unit.selecting(nonzero)
    let classes = ParallelRows.classes(
      kept.base, kept.rows, r, Array(repeating: RowSpace.rounding, count: kept.rows))
    rows = classes.map { $0.map { nonzero[$0] } }
    normals = unit.selecting(rows.map { $0[0] })
  }
}
