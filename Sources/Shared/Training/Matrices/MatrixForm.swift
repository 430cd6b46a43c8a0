import LinearAlgebra

/// How free parameters Z become the matrices Z* of the convex program of a polynomial activation, as in the work of
/// Hegde, Karthik, Shubhangi and Bartan. Z* has two constraints in that program, Z* ⪰ 0 and tr Z*₁ = z*₄; only `psd`
/// satisfies the first, and no form the second.
package enum MatrixForm: String, CaseIterable, Sendable {
  /// Z* = Z.
  case free
  /// Z* = (Z + Zᵀ)/2.
  case symmetric
  /// Z* = Z Zᵀ.
  case psd
}

/// The parameters of one matrix, Z₁ (d × d), z₂ (d) and z₄ one after the other, and the matrix
/// Z = [[Z₁, z₂], [z₂ᵀ, z₄]] that they make.
struct MatrixBlock: Sendable {
  /// d.
  let features: Int
  let form: MatrixForm

  /// m = d + 1, the order of Z.
  var order: Int { features + 1 }
  /// d² + d + 1.
  var count: Int { features * features + features + 1 }

  /// Z, order × order.
  func assemble(_ p: UnsafePointer<Float>, into z: UnsafeMutablePointer<Float>) {
    let (d, m) = (features, order)
    for i in 0..<d {
      for j in 0..<d { z[i * m + j] = p[i * d + j] }
      z[i * m + d] = p[d * d + i]
      z[d * m + i] = p[d * d + i]
    }
    z[d * m + d] = p[d * d + d]
  }

  /// Z*; `scratch` has the same size.
  func matrix(
    _ p: UnsafePointer<Float>, into z: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let m = order
    switch form {
    case .free: assemble(p, into: z)
    case .symmetric:
      assemble(p, into: scratch)
      for i in 0..<m {
        for j in 0..<m { z[i * m + j] = 0.5 * (scratch[i * m + j] + scratch[j * m + i]) }
      }
    case .psd:
      assemble(p, into: scratch)
      gemm(m, m, m, scratch, .plain, scratch, .transposed, z)
    }
  }

  /// The gradient by the parameters from the gradient by Z*, a symmetric matrix, which is overwritten.
  func differentiate(
    _ p: UnsafePointer<Float>, _ slope: UnsafeMutablePointer<Float>,
    into gradient: UnsafeMutablePointer<Float>, scratch: (Float32Pointer, Float32Pointer)
  ) {
    let (d, m) = (features, order)
    var g = slope
    if form == .psd {
      // ∂Z = 2 ∂Z* Z
      assemble(p, into: scratch.0)
      gemm(m, m, m, alpha: 2, slope, .plain, scratch.0, .plain, scratch.1)
      g = scratch.1
    }
    for i in 0..<d {
      for j in 0..<d { gradient[i * d + j] = g[i * m + j] }
      // z₂ stands in a column and in a row.
      gradient[d * d + i] = g[i * m + d] + g[d * m + i]
    }
    gradient[d * d + d] = g[d * m + d]
  }
}

typealias Float32Pointer = UnsafeMutablePointer<Float>
