import LinearAlgebra
import Patches
import Tensors

/// The patches of all samples in double precision: K rows for each of n samples, in coordinates along the principal
/// axes of the rows about 0. Lengths of weights are the same in these, and XᵀX is diagonal.
package final class PatchRows {
  /// n·K × d, as the data have them.
  let original: Matrix
  /// n·K × r, X Qᵀ, and its transpose.
  let x: Matrix
  let columns: Matrix
  /// Q, r × d, of orthonormal rows; nil if the coordinates are those of the data.
  private let axes: Matrix?
  /// Σ x_k² of each coordinate.
  let squares: [Double]
  /// K.
  let patches: Int
  var samples: Int { x.rows / patches }
  /// r.
  var dimension: Int { x.columns }

  /// With more features the axes would cost more than they save.
  private static let mostFeatures = 800

  /// Throws `Failure.data` if there is no memory for them.
  package convenience init(_ source: PatchSource) throws {
    let (rows, d) = (source.count * source.patchCount, source.dimension)
    try expectMemory(24 * Double(rows) * Double(d), for: "\(rows) patches of \(d) features")
    let x = Matrix(rows, d)
    let patches = source.patchCount
    Threads.split(source.count) { range in
      source.reader().read(range, into: x.row(range.lowerBound * patches))
    }
    self.init(x, patches: patches)
  }

  /// Whether the data are few numbers, of which prices cost little.
  var isSmall: Bool { x.count <= 10_000 }

  init(_ original: Matrix, patches: Int = 1) {
    (self.original, self.patches) = (original, patches)
    let (rows, d) = (original.rows, original.columns)
    axes = d <= PatchRows.mostFeatures ? PatchRows.principalAxes(of: original) : nil
    x = axes.map { product(original, .plain, $0, .transposed) } ?? original
    columns = x.transposed
    var squares = [Double](repeating: 0, count: x.columns)
    for i in 0..<rows {
      let row = x.row(i)
      for k in squares.indices { squares[k] += row[k] * row[k] }
    }
    self.squares = squares
  }

  /// The axes along which the rows extend, the longest first; nil if LAPACK finds none.
  private static func principalAxes(of x: Matrix) -> Matrix? {
    let (n, d) = (x.rows, x.columns)
    let gram = Matrix(d, d)
    syrkUpper(d, n, x.base, gram.base)
    for i in 0..<d { for j in 0..<i { gram[i, j] = gram[j, i] } }
    let eigen = SymmetricEigensolver(order: d)
    guard eigen.decompose(gram.base, vectors: true) else { return nil }
    let largest = eigen.values[d - 1]
    // Eigenvalues of XᵀX are known to its rounding: an axis counts as none only if no row extends along it.
    let products = product(x, .plain, gram, .transposed)
    let kept = (0..<d).reversed().filter { k in
      var sum = 0.0
      for i in 0..<n { sum += products[i, k] * products[i, k] }
      return sum > 1e-28 * largest
    }
    return kept.isEmpty ? nil : gram.selecting(kept)
  }

  /// Weights in the coordinates of the data: m × r to m × d.
  func lift(_ weights: Matrix) -> Matrix {
    axes.map { product(weights, .plain, $0, .plain) } ?? weights
  }

  /// Weights of the data's features in these coordinates: m × d to m × r.
  func coordinates(_ weights: Matrix) -> Matrix {
    axes.map { product(weights, .plain, $0, .transposed) } ?? weights
  }
}
