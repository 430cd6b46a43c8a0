import LinearAlgebra

/// Non-negative least squares by block principal pivoting: all rows on the wrong side change sides at once, so that a
/// few Cholesky factorisations do what an active-set method does row by row. It is for independent rows, as there are
/// if features outnumber samples. Portugal, Júdice and Vicente, "A comparison of block pivoting and interior-point
/// algorithms for linear least squares problems with nonnegative variables", 1994.
final class BlockPivoting {
  /// The products of the rows of X, each divided by its length (0 for a row of zeros): n × n.
  private let gram: Matrix
  /// λ, not negative.
  let multipliers: Matrix
  private var isFree: [Bool]
  private var free: [Int] = []
  private let signed, slopes, values, factor, part: Matrix

  init(gram: Matrix) {
    self.gram = gram
    let n = gram.rows
    isFree = Array(repeating: false, count: n)
    multipliers = Matrix(1, n)
    signed = Matrix(1, n)
    slopes = Matrix(1, n)
    values = Matrix(1, n)
    factor = Matrix(n, n)
    part = Matrix(1, n)
  }

  /// The products of the rows of `x`, divided by their `lengths`.
  static func gram(_ x: Matrix, lengths: [Double]) -> Matrix {
    let result = Matrix(x.rows, x.rows)
    syrkRowsUpper(x.rows, x.columns, x.base, result.base)
    result.mirrorUpper()
    for i in 0..<x.rows {
      for j in 0..<x.rows {
        let scale = lengths[i] * lengths[j]
        result[i, j] = scale > 0 ? result[i, j] / scale : 0
      }
    }
    return result
  }

  /// Looks for the λ ≥ 0 that minimises ‖t + Σ λ_j b_j‖ for b_j = signs_j x_j/‖x_j‖ and t with b_j · t =
  /// `products`_j and ‖t‖ = `length`. Returns whether it was found, or one for which the minimum is below
  /// `limit`.
  func minimize(
    _ products: UnsafePointer<Double>, signs: UnsafePointer<Double>, length: Double, limit: Double
  ) -> Bool {
    let n = gram.rows
    for j in 0..<n {
      isFree[j] = false
      values.base[j] = 0
      slopes.base[j] = products[j]
    }
    var fewest = n + 1
    var attempts = 3
    for _ in 0..<100 {
      let largest = (0..<n).reduce(0) { max($0, values.base[$1]) }
      var wrong: [Int] = []
      for j in 0..<n {
        let isWrong =
          isFree[j] ? values.base[j] < -1e-13 * largest : slopes.base[j] < -1e-13 * length
        if isWrong { wrong.append(j) }
      }
      if takeOver(products, signs: signs, length: length, limit: limit) || wrong.isEmpty {
        return true
      }
      // All rows change at once while that helps, otherwise only the last one, which cannot cycle.
      if wrong.count < fewest {
        fewest = wrong.count
        attempts = 3
      } else if attempts > 0 {
        attempts -= 1
      } else {
        wrong = [wrong[wrong.count - 1]]
      }
      for j in wrong { isFree[j].toggle() }
      guard solve(products, signs: signs) else { return false }
    }
    return false
  }

  /// G λ = −products on the free rows, and the slopes of all others.
  private func solve(_ products: UnsafePointer<Double>, signs: UnsafePointer<Double>) -> Bool {
    let n = gram.rows
    free = (0..<n).filter { isFree[$0] }
    let count = free.count
    for (a, i) in free.enumerated() {
      let (source, target) = (gram.row(i), factor.base + a * count)
      for b in 0...a { target[b] = signs[i] * signs[free[b]] * source[free[b]] }
      // Repeated rows share the multiplier that one of them would have.
      target[a] += 1e-13
      part.base[a] = -products[i]
    }
    guard choleskyLower(count, factor.base) else { return false }
    choleskySolve(count, factor.base, part.base, count: 1)
    values.base.update(repeating: 0, count: n)
    for (a, i) in free.enumerated() { values.base[i] = part.base[a] }
    setSlopes(products, signs: signs, of: values)
    for i in free { slopes.base[i] = 0 }
    return true
  }

  /// slopes ← products + G λ
  private func setSlopes(
    _ products: UnsafePointer<Double>, signs: UnsafePointer<Double>, of values: Matrix
  ) {
    let n = gram.rows
    for j in 0..<n { signed.base[j] = signs[j] * values.base[j] }
    gemv(n, n, gram.base, .plain, signed.base, slopes.base)
    for j in 0..<n { slopes.base[j] = products[j] + signs[j] * slopes.base[j] }
  }

  /// Takes the positive part of the values as multipliers. Returns whether they are good enough.
  private func takeOver(
    _ products: UnsafePointer<Double>, signs: UnsafePointer<Double>, length: Double, limit: Double
  ) -> Bool {
    let n = gram.rows
    for j in 0..<n { multipliers.base[j] = max(0, values.base[j]) }
    for j in 0..<n { signed.base[j] = signs[j] * multipliers.base[j] }
    gemv(n, n, gram.base, .plain, signed.base, part.base)
    // ‖t + Σ λ b‖² = ‖t‖² + 2 λ · products + λᵀG λ
    var square = length * length
    for j in 0..<n {
      square += multipliers.base[j] * (2 * products[j] + signs[j] * part.base[j])
    }
    return square < limit * limit - 1e-12 * length * length
  }

  /// One step of refinement, from b_j · (t + Σ λ b) = `products` for λ as it is.
  func refine(_ products: UnsafePointer<Double>, signs: UnsafePointer<Double>) {
    let count = free.count
    for (a, i) in free.enumerated() { part.base[a] = -products[i] }
    choleskySolve(count, factor.base, part.base, count: 1)
    for (a, i) in free.enumerated() {
      multipliers.base[i] = max(0, multipliers.base[i] + part.base[a])
    }
  }
}
