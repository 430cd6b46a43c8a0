import LinearAlgebra

/// SplitMix64: the same numbers on every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func signed(_ count: Int) -> [Double] {
    (0..<count).map { _ in Double.random(in: -1...1, using: &self) }
  }

  mutating func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(rows, columns, signed(rows * columns))
  }

  mutating func symmetric(_ n: Int) -> Matrix {
    let a = matrix(n, n)
    a.symmetrize()
    return a
  }

  /// B Bᵀ + n/4 I: well conditioned.
  mutating func positive(_ n: Int) -> Matrix {
    let b = matrix(n, n)
    let a = naive(b, b.transposed)
    for i in 0..<n { a[i, i] += 0.25 * Double(n) }
    return a
  }
}

/// A B by the definition.
func naive(_ a: Matrix, _ b: Matrix) -> Matrix {
  let result = Matrix(a.rows, b.columns)
  for i in 0..<a.rows {
    for j in 0..<b.columns {
      var sum = 0.0
      for k in 0..<a.columns { sum += a[i, k] * b[k, j] }
      result[i, j] = sum
    }
  }
  return result
}

/// The largest difference of two matrices; NaN where there is one, so that no comparison holds.
func distance(_ a: Matrix, _ b: Matrix) -> Double {
  precondition(a.rows == b.rows && a.columns == b.columns)
  var largest = 0.0
  for i in 0..<a.count {
    let difference = abs(a.base[i] - b.base[i])
    if !(difference <= largest) { largest = difference }
  }
  return largest
}

/// `a` as the first columns of a wider matrix whose other entries are `filler`.
func padded(_ a: Matrix, to columns: Int, filler: Double = 7) -> Matrix {
  let result = Matrix(a.rows, columns)
  result.fill(filler)
  for i in 0..<a.rows { for j in 0..<a.columns { result[i, j] = a[i, j] } }
  return result
}

/// `a` with `value` instead of one triangle, to see whether anybody reads it.
func spoiled(_ a: Matrix, lower: Bool, by value: Double = .nan) -> Matrix {
  let result = Matrix(copying: a)
  for i in 0..<a.rows {
    for j in 0..<a.columns where lower ? j < i : j > i { result[i, j] = value }
  }
  return result
}

let sizes = [1, 2, 3, 5, 8, 17, 33, 70]
