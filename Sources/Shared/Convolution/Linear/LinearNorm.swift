import LinearAlgebra

/// The norm of the weights of a linear network; weights are C × q, a row an output.
protocol LinearNorm: AnyObject {
  func value(_ weights: Matrix) -> Double
  /// The largest inner product of `vectors` (C × q) with weights of norm 1.
  func dual(_ vectors: Matrix) -> Double
  /// weights ← argmin ½‖Z − weights‖² + threshold · norm(Z).
  func prox(_ weights: Matrix, threshold: Double)
  /// How many neurons the weights need.
  func neurons(_ weights: Matrix) -> Int
}

/// ‖[z_11 … z_RC]‖_* of the d × RC matrix of the weights of all regions and outputs (Pilanci & Ergen 2020,
/// section 5.1; Sahiner et al. 2021 for several outputs).
final class NuclearNorm: LinearNorm {
  private let dimension: Int
  private let rows: Int
  /// The smaller Gram matrix, its eigenvectors, and what they make of the weights.
  private let gram: Matrix
  private let eigen: SymmetricEigensolver
  private let scaled: Matrix
  private let projector: Matrix
  private let result: Matrix

  init(classes: Int, regions: Int, dimension: Int) {
    self.dimension = dimension
    rows = classes * regions
    let order = min(dimension, rows)
    gram = Matrix(order, order)
    scaled = Matrix(order, order)
    projector = Matrix(order, order)
    eigen = SymmetricEigensolver(order: order)
    result = Matrix(rows, dimension)
  }

  func value(_ weights: Matrix) -> Double { singular(weights).reduce(0, +) }
  func dual(_ vectors: Matrix) -> Double { singular(vectors).first ?? .infinity }

  func neurons(_ weights: Matrix) -> Int {
    let values = singular(weights)
    return values.count { $0 > 1e-12 * (values.first ?? 0) }
  }

  /// Of the C × Rd numbers as RC × d, descending; empty where they are not finite.
  private func singular(_ weights: Matrix) -> [Double] {
    let matrix = Matrix(rows, dimension)
    matrix.base.update(from: weights.base, count: weights.count)
    return SingularValues(matrix)?.values ?? []
  }

  func prox(_ weights: Matrix, threshold: Double) {
    let (m, d, order) = (rows, dimension, gram.rows)
    let isWide = m < d
    if isWide {
      syrkRowsUpper(m, d, weights.base, gram.base)
    } else {
      syrkUpper(d, m, weights.base, gram.base)
    }
    gram.mirrorUpper()
    guard eigen.decompose(gram.base, vectors: true) else { return }
    // Z = f(M Mᵀ) M or M f(MᵀM), f(s²) = max(0, 1 − τ/s); eigenvectors are the rows of `gram`.
    for k in 0..<order {
      let s = max(0, eigen.values[k]).squareRoot()
      let factor = s > threshold ? 1 - threshold / s : 0
      for j in 0..<order { scaled[k, j] = factor * gram[k, j] }
    }
    gemm(order, order, order, gram.base, .transposed, scaled.base, .plain, projector.base)
    if isWide {
      gemm(m, d, m, projector.base, .plain, weights.base, .plain, result.base)
    } else {
      gemm(m, d, d, weights.base, .plain, projector.base, .plain, result.base)
    }
    weights.base.update(from: result.base, count: m * d)
  }
}

/// d^(−1/2) Σ_k |ζ_k| of the unitary Fourier transforms ζ of the weights, which are coordinates in a real
/// orthonormal Fourier basis: the norm of circular linear networks (Pilanci & Ergen 2020, section 5.2). With
/// shared filters |ζ_k| is the length over all outputs.
final class FourierNorm: LinearNorm {
  /// Columns of one frequency, and its share of the norm.
  private let groups: [(columns: Range<Int>, weight: Double)]
  private let isShared: Bool

  init(dimension d: Int, isShared: Bool) {
    self.isShared = isShared
    let unit = 1 / Double(d).squareRoot()
    groups = FourierBasis.groups(d).map { ($0, unit * Double($0.count).squareRoot()) }
  }

  /// Calls `body` with the rows and the group of each length.
  private func forEachGroup(_ weights: Matrix, _ body: (Range<Int>, Range<Int>, Double) -> Void) {
    let sets = isShared ? [0..<weights.rows] : (0..<weights.rows).map { $0..<$0 + 1 }
    for rows in sets {
      for group in groups { body(rows, group.columns, group.weight) }
    }
  }

  private func length(_ weights: Matrix, _ rows: Range<Int>, _ columns: Range<Int>) -> Double {
    var square = 0.0
    for c in rows {
      for k in columns { square += weights[c, k] * weights[c, k] }
    }
    return square.squareRoot()
  }

  func value(_ weights: Matrix) -> Double {
    var sum = 0.0
    forEachGroup(weights) { sum += $2 * length(weights, $0, $1) }
    return sum
  }

  func dual(_ vectors: Matrix) -> Double {
    var largest = 0.0
    forEachGroup(vectors) { largest = max(largest, length(vectors, $0, $1) / $2) }
    return vectors.isFinite ? largest : .infinity
  }

  func prox(_ weights: Matrix, threshold: Double) {
    forEachGroup(weights) { rows, columns, weight in
      let length = length(weights, rows, columns)
      let factor = length > threshold * weight ? 1 - threshold * weight / length : 0
      for c in rows {
        for k in columns { weights[c, k] *= factor }
      }
    }
  }

  func neurons(_ weights: Matrix) -> Int {
    isShared
      ? (weights.values.contains { $0 != 0 } ? 1 : 0)
      : (0..<weights.rows).count { c in
        weights.columns > 0 && norm(weights.columns, weights.row(c)) > 0
      }
  }
}

/// The real orthonormal Fourier basis of R^d: the constant, a cosine and a sine for each frequency, and for
/// even d the alternating vector.
enum FourierBasis {
  /// The columns of each frequency.
  static func groups(_ d: Int) -> [Range<Int>] {
    var groups = [0..<1]
    var next = 1
    while next < d {
      let end = min(d, next + 2)
      groups.append(next..<end)
      next = end
    }
    return groups
  }

  /// d × d, a column a basis vector.
  static func matrix(_ d: Int) -> Matrix {
    let basis = Matrix(d, d)
    // Angles by their number, so that they do not lose digits.
    let cosines = (0..<d).map { cosine($0, of: d) }
    let sines = (0..<d).map { sine($0, of: d) }
    for (frequency, columns) in groups(d).enumerated() {
      let size = (Double(columns.count) / Double(d)).squareRoot()
      for j in 0..<d {
        let angle = frequency * j % d
        basis[j, columns.lowerBound] = size * cosines[angle]
        if columns.count == 2 { basis[j, columns.lowerBound + 1] = size * sines[angle] }
      }
    }
    return basis
  }
}
