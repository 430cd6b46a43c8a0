/// The isometry between symmetric matrices of one order and vectors: the upper triangle row by row,
/// off-diagonal entries times √2, so that ⟨A, B⟩ = svec(A)ᵀ svec(B).
package struct SymmetricVectors: Sendable {
  /// Order of the matrices.
  package let order: Int
  /// Length of the vectors, order (order + 1) / 2.
  package let count: Int

  package init(order: Int) {
    self.order = order
    count = order * (order + 1) / 2
  }

  /// The place of the entry (i, i); the place of (i, j) with j ≥ i is j − i further on.
  @inline(__always)
  package func diagonal(_ i: Int) -> Int { i * order - i * (i - 1) / 2 }

  /// The full matrix, both triangles, row-major.
  package func unpack(
    _ vector: UnsafePointer<Double>, into full: UnsafeMutablePointer<Double>
  ) {
    let half = 0.5.squareRoot()
    var p = 0
    for i in 0..<order {
      full[i * order + i] = vector[p]
      p += 1
      for j in i + 1..<max(i + 1, order) {
        let value = half * vector[p]
        full[i * order + j] = value
        full[j * order + i] = value
        p += 1
      }
    }
  }

  /// The vector of a symmetric matrix; only the upper triangle is read.
  package func pack(_ full: UnsafePointer<Double>, into vector: UnsafeMutablePointer<Double>) {
    let root = 2.0.squareRoot()
    var p = 0
    for i in 0..<order {
      let row = full + i * order
      vector[p] = row[i]
      p += 1
      for j in i + 1..<max(i + 1, order) {
        vector[p] = root * row[j]
        p += 1
      }
    }
  }
}
