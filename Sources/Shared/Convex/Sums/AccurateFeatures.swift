import LinearAlgebra

/// Whitened features svec(TᵀΦT) whose rounding errors are about those of their own size.
///
/// T may multiply small differences of the entries of Φ by large numbers, and with them the rounding of these entries
/// and of Φ T. So Φ = Φₕ + Φᵣ and T = Tₕ + Tᵣ are split: of the leading parts, of 22 bits below the largest entry, the
/// product is exact, and Φᵣ holds what the entries of Φ round away too. The second product needs no such care: where T is large, Φ T is
/// small. Ozaki, Ogita, Oishi and Rump, "Error-free transformations of matrix multiplication", 2012.
package final class AccurateFeatures {
  private let map: FeatureMap
  /// T, Tₕ and Tᵣ.
  private let (transform, leading, rest): (Matrix, Matrix, Matrix)
  /// Matrices at a time: their buffers stay in the second-level cache.
  private let chunk = 8
  /// Φₕ, Φᵣ, Φ T, and what is added to it, of a chunk.
  private let (high, low, product, exact): (Matrix, Matrix, Matrix, Matrix)
  /// a/√2 as the sum of two numbers.
  private let (factor, remainder): (Double, Double)

  /// For one thread.
  package init(_ map: FeatureMap) {
    self.map = map
    let m = map.order
    transform = map.whitening
    (leading, rest) = (Matrix(copying: transform), Matrix(m, m))
    AccurateFeatures.split(leading.base, m * m, rest.base)
    func room() -> Matrix { Matrix(8 * m, m) }
    (high, low, product, exact) = (room(), room(), room(), room())
    // √½ = 0.7071067811865476 − 4.833646656726457e-17
    let (root, error) = (0.5.squareRoot(), -4.833646656726457e-17)
    factor = map.activation.a * root
    remainder = (-factor).addingProduct(map.activation.a, root) + map.activation.a * error
  }

  /// Numbers, in their place, become multiples of 2⁻²² of the power of two above the largest; what is left is added to
  /// `rest`.
  private static func split(
    _ numbers: UnsafeMutablePointer<Double>, _ count: Int, _ rest: UnsafeMutablePointer<Double>
  ) {
    var largest = 0.0
    for k in 0..<count { largest = max(largest, abs(numbers[k])) }
    guard largest > 0, largest.isFinite else { return }
    let sigma = 1.5 * Double(sign: .plus, exponent: Int(largest.exponent) + 31, significand: 1)
    for k in 0..<count {
      let value = numbers[k]
      let part = (value + sigma) - sigma
      numbers[k] = part
      rest[k] += value - part
    }
  }

  /// The features of `count` rows of moments, into rows of Q numbers.
  package func fill(
    _ count: Int, _ rows: UnsafePointer<Double>, rowLength: Int,
    into target: UnsafeMutablePointer<Double>
  ) {
    let (m, q) = (map.order, map.packing.count)
    let width = rowLength / map.regions
    // Regions of rows follow one another, in the moments and in the features.
    for start in stride(from: 0, to: count * map.regions, by: chunk) {
      let n = min(chunk, count * map.regions - start)
      for i in 0..<n {
        unpack(rows + (start + i) * width, high.base + i * m * m, low.base + i * m * m)
      }
      AccurateFeatures.split(high.base, n * m * m, low.base)
      // Y = Φᵣ T + Φₕ Tᵣ + Φₕ Tₕ
      gemm(n * m, m, m, low.base, .plain, transform.base, .plain, product.base)
      gemm(n * m, m, m, high.base, .plain, rest.base, .plain, beta: 1, product.base)
      gemm(n * m, m, m, high.base, .plain, leading.base, .plain, exact.base)
      // (TᵀY)ᵀ = YᵀT, which is symmetric.
      for i in 0..<n {
        let (small, large) = (product.base + i * m * m, exact.base + i * m * m)
        let to = high.base + i * m * m
        for r in 0..<m { for c in 0..<m { to[c * m + r] = large[r * m + c] + small[r * m + c] } }
      }
      gemm(n * m, m, m, high.base, .plain, transform.base, .plain, product.base)
      for i in 0..<n {
        map.packing.pack(product.base + i * m * m, into: target + (start + i) * q)
      }
    }
  }

  /// Φ = [[a M, (b/2) μ], [(b/2) μᵀ, c]] of one region's moments, and what its entries round away.
  private func unpack(
    _ moments: UnsafePointer<Double>, _ phi: UnsafeMutablePointer<Double>,
    _ error: UnsafeMutablePointer<Double>
  ) {
    let (m, d, activation) = (map.order, map.order - 1, map.activation)
    var source = moments
    for i in 0..<d {
      let own = activation.a * source[0]
      phi[i * m + i] = own
      error[i * m + i] = (-own).addingProduct(activation.a, source[0])
      for j in i + 1..<max(i + 1, d) {
        let moment = source[j - i]
        let value = factor * moment
        let rest = (-value).addingProduct(factor, moment) + remainder * moment
        (phi[i * m + j], phi[j * m + i]) = (value, value)
        (error[i * m + j], error[j * m + i]) = (rest, rest)
      }
      source += d - i
    }
    for i in 0..<d {
      let value = 0.5 * activation.b * source[i]
      let rest = (-value).addingProduct(0.5 * activation.b, source[i])
      (phi[i * m + d], phi[d * m + i]) = (value, value)
      (error[i * m + d], error[d * m + i]) = (rest, rest)
    }
    phi[d * m + d] = activation.c
    error[d * m + d] = 0
  }
}
