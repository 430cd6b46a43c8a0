import LinearAlgebra
import Tensors

/// The system in the samples if n × n numbers are too many, for several right-hand sides at once: conjugate gradients
/// with products by M in single precision, preconditioned by the columns of some samples R.
///
/// With Y = M_R L⁻ᵀ, M_RR = L Lᵀ (Nyström), and the remaining diagonal in Λ = I + diag(M − Y Yᵀ), I + M is near Λ + Y
/// Yᵀ, whose inverse Λ⁻¹ − Λ⁻¹Y (I + YᵀΛ⁻¹Y)⁻¹ YᵀΛ⁻¹ also replaces (I + M)⁻¹ in the Hessian. (Snelson and Ghahramani
/// 2006 for Λ; Frangella, Tropp and Udell 2023 for the use.) `EtaNewton` computes in double precision the residual that
/// single precision leaves, and asks for its correction.
final class NystromSystem: EtaSystem {
  private let products: PatternProducts
  private let single: SingleProducts
  private let interruption: Interruption
  private let n: Int
  private let rank: Int
  /// R, and X X_Rᵀ, n × |R|.
  private let landmarks: [Int]
  private let kernel: Storage<Float>
  /// Λ^−½ Y, a row for each sample; Λ^−½; the factor of I + YᵀΛ⁻¹Y.
  private let columns: Storage<Float>
  private let roots: Matrix
  private let inner: Matrix
  private let corner: Matrix
  private let rowSquares: [Double]
  private var active: [Int] = []
  private var buffers: [Storage<Float>] = []

  private static let maximumIterations = 200
  /// The factor by which `solve` reduces a residual.
  private static let reduction = 1e-3
  /// The most landmarks: twice as many cost four times as much.
  private static let mostLandmarks = 1536

  init(_ products: PatternProducts, interruption: Interruption = Interruption()) {
    self.products = products
    self.interruption = interruption
    let (n, d) = (products.samples, products.dimension)
    self.n = n
    let single = SingleProducts(products)
    self.single = single
    var random = RandomSource(seed: 0, stream: 2)
    let rank = min(n, NystromSystem.mostLandmarks, max(256, n / 10))
    self.rank = rank
    landmarks = random.sample(rank, of: n)
    let selected = Storage<Float>(rank * d)
    for (k, j) in landmarks.enumerated() {
      (selected.base + k * d).update(from: single.x.base + j * d, count: d)
    }
    kernel = Storage(n * rank)
    gemm(n, rank, d, single.x.base, .plain, selected.base, .transposed, kernel.base)
    columns = Storage(n * rank)
    (inner, corner) = (Matrix(rank, rank), Matrix(rank, rank))
    roots = Matrix(1, n)
    rowSquares = (0..<n).map { dot(d, products.x.row($0), products.x.row($0)) }
  }

  /// Bytes that it takes.
  static func memory(samples: Double, dimension: Double) -> Double {
    4 * samples * (dimension + 2 * Double(mostLandmarks))
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    self.active = active
    single.take(active, eta)
    let (rank, count) = (rank, active.count)
    // M_R = (X X_Rᵀ) ∘ (D diag(η) D_Rᵀ).
    let scaled = Storage<Float>(count * rank)
    for (k, i) in active.enumerated() {
      for (r, j) in landmarks.enumerated() where products.isActive(i, j) {
        scaled.base[k * rank + r] = Float(eta[i])
      }
    }
    let masks = (0..<Threads.count).map { _ in Storage<Float>(count * SingleProducts.block) }
    let roots = roots.base
    single.forEachBlock { range, worker in
      let (mask, length) = (masks[worker].base, range.count)
      for j in range { roots[j] = 0 }
      for (k, i) in active.enumerated() {
        let row = mask + k * length
        self.single.expand(i, range, into: row)
        for j in 0..<length { roots[range.lowerBound + j] += Double(row[j]) * eta[i] }
      }
      // The diagonal of M.
      for j in range { roots[j] *= self.rowSquares[j] }
      let target = self.columns.base + range.lowerBound * rank
      gemm(length, rank, count, mask, .transposed, scaled.base, .plain, target)
      let kernel = self.kernel.base + range.lowerBound * rank
      for k in 0..<length * rank { target[k] *= kernel[k] }
    }
    guard !interruption.isOutOfTime, factorCorner() else { return false }
    let triangle = Storage<Float>(rank * rank)
    for k in 0..<rank * rank { triangle.base[k] = Float(corner.base[k]) }
    triangularSolveRows(rank, triangle.base, columns.base, count: n)
    single.forEachBlock { range, _ in
      for j in range {
        let row = self.columns.base + j * rank
        var square: Float = 0
        for k in 0..<rank { square += row[k] * row[k] }
        roots[j] = 1 / (1 + max(0, roots[j] - Double(square))).squareRoot()
        let root = Float(roots[j])
        for k in 0..<rank { row[k] *= root }
      }
    }
    guard !interruption.isOutOfTime else { return false }
    // In double precision, since directions that all samples share are far longer than the others.
    inner.fill(0)
    forEachDoubleBlock { block, range in
      syrkUpper(rank, range.count, block.base, beta: 1, inner.base)
    }
    inner.mirrorUpper()
    for r in 0..<rank { inner[r, r] += 1 }
    return !interruption.isOutOfTime && choleskyLower(rank, inner.base)
  }

  /// Factors the landmarks' own part of the columns, with a ridge: at first as large as the error of single precision,
  /// then larger if rounding has left the matrix indefinite.
  private func factorCorner() -> Bool {
    var ridge = 1e-6
    while ridge < 1 {
      var trace = 0.0
      for (r, j) in landmarks.enumerated() {
        for k in 0..<rank { corner[r, k] = Double(columns.base[j * rank + k]) }
        trace += corner[r, r]
      }
      guard trace.isFinite else { return false }
      // If there are no weights, the columns are zero, and any factor will do.
      let size = trace > 0 ? ridge * trace / Double(rank) : 1
      for r in 0..<rank { corner[r, r] += size }
      if choleskyLower(rank, corner.base) { return true }
      ridge *= 10
    }
    return false
  }

  /// Calls `body` with blocks of rows of Λ^−½ Y in double precision, as long as there is time.
  private func forEachDoubleBlock(_ body: (Matrix, Range<Int>) -> Void) {
    let size = 1024
    let block = Matrix(min(n, size), rank)
    for first in stride(from: 0, to: n, by: size) where !interruption.isOutOfTime {
      let range = first..<min(n, first + size)
      let source = columns.base + first * rank
      Threads.split(range.count * rank, grain: 1 << 16) { part in
        for k in part { block.base[k] = Double(source[k]) }
      }
      body(block, range)
    }
  }

  /// Rows of `target` ← (Λ + Y Yᵀ)⁻¹ times the rows of `source`.
  private func precondition(_ source: Matrix, into target: Matrix) {
    let count = source.rows
    let vectors = buffer(0, count * n)
    for c in 0..<count {
      for j in 0..<n { vectors[c * n + j] = Float(roots.base[j] * source[c, j]) }
    }
    let small = buffer(1, count * rank)
    gemm(count, rank, n, vectors, .plain, columns.base, .plain, small)
    let exact = Matrix(count, rank)
    for k in 0..<exact.count { exact.base[k] = Double(small[k]) }
    choleskySolve(rank, inner.base, exact.base, count: count)
    for k in 0..<exact.count { small[k] = Float(exact.base[k]) }
    let parts = buffer(2, count * n)
    gemm(count, n, rank, small, .plain, columns.base, .transposed, parts)
    for c in 0..<count {
      for j in 0..<n {
        target[c, j] = roots.base[j] * (roots.base[j] * source[c, j] - Double(parts[c * n + j]))
      }
    }
  }

  /// Rows of `target` ← (I + M) times the rows of `source`.
  private func multiply(_ source: Matrix, into target: Matrix) {
    let vectors = buffer(0, source.count)
    let products = buffer(2, source.count)
    for k in 0..<source.count { vectors[k] = Float(source.base[k]) }
    single.multiply(vectors, count: source.rows, into: products)
    for k in 0..<source.count { target.base[k] = source.base[k] + Double(products[k]) }
  }

  private func buffer(_ place: Int, _ count: Int) -> UnsafeMutablePointer<Float> {
    while buffers.count <= place { buffers.append(Storage(0)) }
    if buffers[place].count < count { buffers[place] = Storage(count) }
    return buffers[place].base
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) {
    let row = Matrix(1, n)
    row.base.update(from: nu, count: n)
    solve(rows: row)
    nu.update(from: row.base, count: n)
  }

  func solve(rows nu: Matrix) {
    let right = Matrix(copying: nu)
    nu.fill(0)
    improve(nu, toward: right, error: NystromSystem.reduction * norm(right.count, right.base))
  }

  /// Runs conjugate gradients for each row separately; the rows share the products.
  func improve(_ nu: Matrix, toward right: Matrix, error goal: Double) {
    let outputs = nu.rows
    if !nu.isFinite { nu.fill(0) }
    let (residual, conditioned) = (Matrix(copying: right), Matrix(outputs, n))
    let image = Matrix(outputs, n)
    if norm(nu.count, nu.base) > 0 {
      multiply(nu, into: image)
      axpy(nu.count, -1, image.base, residual.base)
    }
    guard norm(nu.count, residual.base) > goal else { return }
    precondition(residual, into: conditioned)
    let direction = Matrix(copying: conditioned)
    var sizes = (0..<outputs).map { dot(n, residual.row($0), conditioned.row($0)) }
    for _ in 0..<NystromSystem.maximumIterations {
      multiply(direction, into: image)
      for c in 0..<outputs {
        let curvature = dot(n, direction.row(c), image.row(c))
        let length = curvature > 0 ? sizes[c] / curvature : 0
        axpy(n, length, direction.row(c), nu.row(c))
        axpy(n, -length, image.row(c), residual.row(c))
      }
      if norm(nu.count, residual.base) <= goal || interruption.isOutOfTime { return }
      precondition(residual, into: conditioned)
      var isMoving = false
      for c in 0..<outputs {
        let next = dot(n, residual.row(c), conditioned.row(c))
        scale(n, sizes[c] > 0 ? next / sizes[c] : 0, direction.row(c))
        axpy(n, 1, conditioned.row(c), direction.row(c))
        sizes[c] = next
        isMoving = isMoving || next > 0
      }
      if !isMoving { return }
    }
  }

  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>
  ) {
    hessian(working, directions: [t], images: [u], into: h, scratch: h)
  }

  /// H = Σ_c Ũ_cᵀŨ_c − V_cᵀV_c, Ũ = Λ^−½ U, V = L⁻¹ Yᵀ Λ^−½ Ũ with I + YᵀΛ⁻¹Y = L Lᵀ.
  func hessian(
    _ working: [Int], directions: [Matrix], images: [Matrix],
    into h: UnsafeMutablePointer<Double>, scratch: UnsafeMutablePointer<Double>
  ) {
    let (count, outputs) = (working.count, images.count)
    let rows = outputs * count
    let projections = Matrix(rows, rank)
    let block = Matrix(rows, 1024)
    for k in 0..<count * count { h[k] = 0 }
    forEachDoubleBlock { columns, range in
      let length = range.count
      Threads.split(rows, grain: 8) { part in
        for row in part {
          let source = images[row / count].row(row % count) + range.lowerBound
          let target = block.base + row * length
          for j in 0..<length { target[j] = self.roots.base[range.lowerBound + j] * source[j] }
        }
      }
      for c in 0..<outputs {
        syrkRowsUpper(count, length, block.base + c * count * length, beta: 1, h)
      }
      gemm(
        rows, rank, length, block.base, .plain, lda: length, columns.base, .plain, beta: 1,
        projections.base)
    }
    triangularSolveRows(rank, inner.base, projections.base, count: rows)
    for c in 0..<outputs {
      syrkRowsUpper(count, rank, alpha: -1, projections.row(c * count), beta: 1, h)
    }
    for i in 0..<count { for j in 0..<i { h[i * count + j] = h[j * count + i] } }
  }

  var isIterative: Bool { true }
}
