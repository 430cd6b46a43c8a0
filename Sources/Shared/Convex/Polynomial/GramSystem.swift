import LinearAlgebra
import Tensors

/// The least-squares part of the program in coordinates of the features' span: with G = Bᵀ FᵀF B and R = Bᵀ FᵀY, the
/// loss of a parameter η (r numbers per class) is ½ yᵀy − Rᵀη + ½ ηᵀGη. Nothing that follows depends on the number of
/// samples.
final class GramSystem {
  let basis: FeatureBasis
  /// r.
  let order: Int
  /// R, C × r.
  let correlations: Matrix
  /// G⁻¹R, C × r: the least-squares solution.
  let leastSquares: Matrix
  /// yᵀy of each class.
  let squares: [Double]

  private enum Form {
    /// `matrix` (Q' × Q', leading r × r used) holds G in its strict upper triangle and its Cholesky factor L in the
    /// lower; the diagonal of G is separate.
    case dense(Matrix, diagonal: [Double])
    /// G is diagonal in an explicit basis of eigenvectors.
    case diagonal([Double])
  }
  private let form: Form

  /// Streams the data once. `targets` is n × C. Throws if the features are not finite.
  init(
    _ data: MomentData, map: FeatureMap, targets: Matrix, progress: (String) -> Void
  ) throws {
    let classes = targets.columns
    squares = (0..<classes).map { c in
      var sum = 0.0
      for i in 0..<targets.rows { sum += targets[i, c] * targets[i, c] }
      return sum
    }
    guard squares.allSatisfy(\.isFinite) else {
      throw Failure.data("the targets are too large: their squares overflow")
    }
    let result =
      data.samples < map.count
      ? try GramSystem.kernelForm(data, map, targets)
      : try GramSystem.gramForm(data, map, targets, progress)
    basis = result.basis
    form = result.form
    correlations = result.correlations
    order = basis.order
    leastSquares = Matrix(copying: correlations)
    solve(leastSquares.base, count: classes)
  }

  /// From sums over the samples: the upper triangle of G (Q × Q), which is used up, R (C × Q) and yᵀy of each class.
  init(gram: Matrix, right: Matrix, squares: [Double], map: FeatureMap) throws {
    self.squares = squares
    let result = try GramSystem.parts(gram: gram, right: right, map)
    basis = result.basis
    form = result.form
    correlations = result.correlations
    order = basis.order
    leastSquares = Matrix(copying: correlations)
    solve(leastSquares.base, count: squares.count)
  }

  private typealias Parts = (basis: FeatureBasis, form: Form, correlations: Matrix)

  /// Eigenvalues below this share of the largest are zeros with rounding errors.
  private static let rankTolerance = 1e-12

  private static func notFinite(_ data: MomentData) -> any Error {
    do { try data.expectFinite() } catch { return error }
    return Failure.data("the data are too large: sums of their products overflow")
  }

  private static var noConvergence: Failure {
    .data("LAPACK found no eigenvalues of the Gram matrix")
  }

  // MARK: Fewer samples than features

  /// From the eigenvectors of F Fᵀ (n × n).
  private static func kernelForm(
    _ data: MomentData, _ map: FeatureMap, _ targets: Matrix
  ) throws -> Parts {
    let n = data.samples
    let features = Matrix(n, map.count)
    data.forEachBlock(workers: min(n, Threads.count)) { _, range, rows in
      map.whitenedFeatures(
        range.count, rows, rowLength: data.rowLength, into: features.row(range.lowerBound),
        scratch: map.whiten.makeScratch())
    }
    let kernel = Matrix(n, n)
    syrkRowsUpper(n, map.count, features.base, kernel.base)
    guard kernel.isFinite else { throw notFinite(data) }
    let eigen = SymmetricEigensolver(order: n)
    guard eigen.decompose(kernel.base) else { throw noConvergence }
    let first = firstAbove(rankTolerance, eigen)
    let rank = n - first
    // B = FᵀV Λ^{-1/2}; the rows of `kernel` are eigenvectors.
    let basis = Matrix(rank, map.count)
    gemm(
      rank, map.count, n, kernel.row(first), .plain, features.base, .plain, basis.base)
    for k in 0..<rank { scale(map.count, 1 / eigen.values[first + k].squareRoot(), basis.row(k)) }
    // R = BᵀFᵀY = Λ^{1/2} VᵀY
    let correlations = Matrix(targets.columns, rank)
    gemm(
      targets.columns, rank, n, targets.base, .transposed, kernel.row(first), .transposed,
      correlations.base)
    for c in 0..<targets.columns {
      for k in 0..<rank { correlations[c, k] *= eigen.values[first + k].squareRoot() }
    }
    return (
      FeatureBasis(explicit: basis), .diagonal((0..<rank).map { eigen.values[first + $0] }),
      correlations
    )
  }

  private static func firstAbove(_ tolerance: Double, _ eigen: SymmetricEigensolver) -> Int {
    let largest = eigen.values[eigen.order - 1]
    return (0..<eigen.order).first { eigen.values[$0] > tolerance * largest } ?? eigen.order
  }

  // MARK: More samples than features

  private static func gramForm(
    _ data: MomentData, _ map: FeatureMap, _ targets: Matrix, _ progress: (String) -> Void
  ) throws -> Parts {
    // Each worker sums its own part of the samples, without waiting for the others.
    let workers = FeatureSums.workers
    let sums = FeatureSums(order: map.count, outputs: targets.columns, workers: workers)
    let features = (0..<workers).map { _ in Matrix(data.blockRows, map.count) }
    let scratch = (0..<workers).map { _ in map.whiten.makeScratch() }
    func add(_ worker: Int, _ range: Range<Int>, _ rows: UnsafePointer<Double>) {
      let block = features[worker]
      map.whitenedFeatures(
        range.count, rows, rowLength: data.rowLength, into: block.base, scratch: scratch[worker])
      sums.add(range.count, block.base, targets: targets.row(range.lowerBound), worker: worker)
      if worker == 0 {
        progress("Gram matrix, \(100 * range.upperBound * workers / data.samples) % of the samples")
      }
    }
    if workers > 1 {
      data.forEachBlock(workers: workers, add)
    } else {
      data.forEachBlock { add(0, $0, $1) }
    }
    let (gram, right) = sums.total()
    guard gram.isFinite else { throw notFinite(data) }
    return try parts(gram: gram, right: right, map)
  }

  /// From the upper triangle of G (Q × Q), which is used up, and R (C × Q).
  private static func parts(gram: Matrix, right: Matrix, _ map: FeatureMap) throws -> Parts {
    let width = map.count
    gram.mirrorUpper()

    // Coordinates that are zero for every sample (a zero coefficient, a constant pixel) drop out.
    let largest = (0..<width).map { gram[$0, $0] }.max()!
    let selected = (0..<width).filter { gram[$0, $0] > 1e-18 * largest }
    let reduced = selected.count == width ? gram : select(gram, selected)
    let nulls = structuralNullVectors(map, selected, reduced)
    let basis = FeatureBasis(width: width, selected: selected, nullVectors: nulls)
    // The matrix is usually well conditioned; if not (say because a bias column repeats the constant), the eigenvectors
    // show what the features span.
    let dense = nulls.isEmpty ? reduced : Matrix(copying: reduced)
    basis.reflect(dense)
    if let diagonal = factor(dense, basis.order) {
      return (basis, .dense(dense, diagonal: diagonal), project(right, basis))
    }
    return try eigenForm(select(gram, Array(0..<width)), right)
  }

  /// The Gram matrix over the coordinates `selected`.
  private static func select(_ gram: Matrix, _ selected: [Int]) -> Matrix {
    let result = Matrix(selected.count, selected.count)
    for (i, row) in selected.enumerated() {
      for (j, column) in selected.enumerated() { result[i, j] = gram[row, column] }
    }
    return result
  }

  private static func project(_ rows: Matrix, _ basis: FeatureBasis) -> Matrix {
    let result = Matrix(rows.rows, basis.order)
    for c in 0..<rows.rows { basis.project(rows.row(c), into: result.row(c)) }
    return result
  }

  /// The constants of the regions are a single feature: the differences of their directions svec(T⁻¹E₄₄T⁻ᵀ) are null
  /// vectors of G (if c = 0, the directions themselves). They are made orthonormal on the selected coordinates.
  private static func structuralNullVectors(
    _ map: FeatureMap, _ selected: [Int], _ gram: Matrix
  ) -> [[Double]] {
    let m = map.order
    let q = map.packing.count
    let full = Matrix(m, m)
    for i in 0..<m {
      for j in 0..<m {
        full[i, j] = map.inverseWhitening[i, m - 1] * map.inverseWhitening[j, m - 1]
      }
    }
    let direction = Matrix(1, q)
    map.packing.pack(full.base, into: direction.base)
    let first = map.activation.c == 0 ? 0 : 1
    var found: [[Double]] = []
    for region in first..<max(first, map.regions) {
      // Helmert's contrasts: region r against the regions before it.
      var whole = [Double](repeating: 0, count: map.count)
      for p in 0..<q {
        whole[region * q + p] = direction.base[p] * (first == 0 ? 1 : Double(region))
        if first == 1 { for r in 0..<region { whole[r * q + p] = -direction.base[p] } }
      }
      var vector = selected.map { whole[$0] }
      let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard length > 0 else { continue }
      for i in vector.indices { vector[i] /= length }
      let image = Matrix(1, vector.count)
      symvUpper(vector.count, gram.base, vector, image.base)
      let size = norm(vector.count, image.base)
      if size <= 1e-12 * (0..<gram.rows).reduce(0, { max($0, gram[$1, $1]) }) {
        found.append(vector)
      }
    }
    return found
  }

  /// Cholesky of the leading `order` × `order` block into the lower triangle; returns the diagonal of G, or nil if the
  /// matrix is singular to working precision: then the upper triangle is unchanged.
  private static func factor(_ matrix: Matrix, _ order: Int) -> [Double]? {
    let n = matrix.rows
    // The reflections changed the lower triangle: copy it to the upper one, which remains.
    matrix.mirrorLower()
    let diagonal = (0..<order).map { matrix[$0, $0] }
    if choleskyLower(order, matrix.base, lda: n) {
      // In a singular matrix rounding may leave pivots of any size, so the condition decides. The trace is at least the
      // largest eigenvalue.
      let condition = choleskyReciprocalCondition(
        order, matrix.base, lda: n, norm: diagonal.reduce(0, +))
      if condition > rankTolerance { return diagonal }
    }
    // The matrix may be the Gram matrix itself, which is still needed.
    for i in 0..<order { matrix[i, i] = diagonal[i] }
    return nil
  }

  private static func eigenForm(_ gram: Matrix, _ right: Matrix) throws -> Parts {
    let eigen = SymmetricEigensolver(order: gram.rows)
    guard eigen.decompose(gram.base) else { throw noConvergence }
    let first = firstAbove(rankTolerance, eigen)
    let rank = gram.rows - first
    let rows = Matrix(rank, gram.rows)
    rows.base.update(from: gram.row(first), count: rows.count)
    let basis = FeatureBasis(explicit: rows)
    return (
      basis, .diagonal((0..<rank).map { eigen.values[first + $0] }), project(right, basis)
    )
  }

  // MARK: Products

  /// Rows y = G x.
  func multiply(
    _ x: UnsafePointer<Double>, count: Int = 1, into y: UnsafeMutablePointer<Double>
  ) {
    switch form {
    case .dense(let matrix, let diagonal):
      if count == 1 {
        symvUpper(order, matrix.base, lda: matrix.columns, x, y)
      } else {
        symmUpper(order, matrix.base, lda: matrix.columns, x, count: count, y)
      }
      // The diagonal in the matrix is that of L.
      for c in 0..<count {
        for i in 0..<order {
          y[c * order + i] += (diagonal[i] - matrix[i, i]) * x[c * order + i]
        }
      }
    case .diagonal(let values):
      for c in 0..<count {
        for i in 0..<order { y[c * order + i] = values[i] * x[c * order + i] }
      }
    }
  }

  /// Rows x ← G⁻¹ x, with one step of refinement.
  func solve(_ x: UnsafeMutablePointer<Double>, count: Int = 1) {
    switch form {
    case .dense(let matrix, _):
      let right = Matrix(count, order)
      right.base.update(from: x, count: count * order)
      choleskySolve(order, matrix.base, lda: matrix.columns, x, count: count)
      let residual = Matrix(count, order)
      multiply(x, count: count, into: residual.base)
      for i in 0..<count * order { residual.base[i] = right.base[i] - residual.base[i] }
      choleskySolve(order, matrix.base, lda: matrix.columns, residual.base, count: count)
      axpy(count * order, 1, residual.base, x)
    case .diagonal(let values):
      for c in 0..<count { for i in 0..<order { x[c * order + i] /= values[i] } }
    }
  }

  /// G⁻¹, as its lower triangle or its diagonal.
  enum Inverse {
    case lower(Matrix)
    case diagonal([Double])

    /// y = G⁻¹ x.
    func multiply(
      _ order: Int, _ x: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>
    ) {
      switch self {
      case .lower(let inverse): symvLower(order, inverse.base, x, y)
      case .diagonal(let values): for i in 0..<order { y[i] = values[i] * x[i] }
      }
    }

    /// Lower triangle of `target` += G⁻¹.
    func add(to target: Matrix, order: Int) {
      switch self {
      case .lower(let inverse):
        Threads.split(order, grain: 256) { range in
          for i in range { axpy(i + 1, 1, inverse.row(i), target.row(i)) }
        }
      case .diagonal(let values):
        for i in 0..<order { target[i, i] += values[i] }
      }
    }
  }

  func inverse() -> Inverse {
    switch form {
    case .dense(let matrix, _):
      let result = Matrix(order, order)
      for i in 0..<order { result.row(i).update(from: matrix.row(i), count: i + 1) }
      choleskyInverseLower(order, result.base)
      return .lower(result)
    case .diagonal(let values): return .diagonal(values.map { 1 / $0 })
    }
  }

  /// G over all Q features (symmetric, both triangles), for algorithms that work on it directly.
  func expandedGram() -> Matrix {
    let q = basis.width
    let result = Matrix(q, q)
    switch form {
    case .dense(let matrix, let diagonal):
      let n = basis.selected.count
      let inner = n == q && basis.reflectors.isEmpty ? result : Matrix(n, n)
      for i in 0..<order {
        inner[i, i] = diagonal[i]
        for j in i + 1..<max(i + 1, order) { inner[j, i] = matrix[i, j] }
      }
      if !basis.reflectors.isEmpty { basis.reflectBack(inner) }
      inner.mirrorLower()
      if inner !== result {
        for (i, row) in basis.selected.enumerated() {
          for (j, column) in basis.selected.enumerated() { result[row, column] = inner[i, j] }
        }
      }
    case .diagonal(let values):
      let scaled = Matrix(copying: basis.explicit!)
      for k in 0..<order { scale(q, values[k].squareRoot(), scaled.row(k)) }
      syrkUpper(q, order, scaled.base, result.base)
      result.mirrorUpper()
    }
    return result
  }
}
