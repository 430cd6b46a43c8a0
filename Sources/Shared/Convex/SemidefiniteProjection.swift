import LinearAlgebra

/// The positive semidefinite part of packed symmetric matrices. It holds its workspaces, so that each thread needs its
/// own.
final class SemidefiniteProjection {
  private let packing: SymmetricVectors
  private let eigen: SymmetricEigensolver
  private let full, scaled, result: Matrix

  init(order: Int) {
    packing = SymmetricVectors(order: order)
    eigen = SymmetricEigensolver(order: order)
    full = Matrix(order, order)
    scaled = Matrix(order, order)
    result = Matrix(order, order)
  }

  /// Projects `source` into `target`, which is other memory: Σ λ_k v_k v_kᵀ over the positive eigenvalues, computed
  /// from whichever side has fewer eigenvalues.
  func apply(_ source: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>) {
    let m = packing.order
    packing.unpack(source, into: full.base)
    guard eigen.decompose(full.base) else { return }
    let first = (0..<m).first { eigen.values[$0] > 0 } ?? m
    let usesPositive = m - first <= m / 2
    let side = usesPositive ? first..<m : 0..<first
    for (row, k) in side.enumerated() {
      let root = abs(eigen.values[k]).squareRoot()
      for i in 0..<m { scaled[row, i] = root * full[k, i] }
    }
    syrkUpper(m, side.count, scaled.base, result.base)
    packing.pack(result.base, into: target)
    // The positive part is the whole less the negative part.
    if !usesPositive { axpy(packing.count, 1, source, target) }
  }
}
