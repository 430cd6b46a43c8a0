import Glibc
import LinearAlgebra
import Tensors

/// The system in the samples where n × n numbers are too many: conjugate gradients on products with M,
/// preconditioned by the columns of some samples R.
///
/// With Y = M_R L⁻ᵀ, M_RR = L Lᵀ (Nyström), and what Y Yᵀ leaves of the diagonal, Λ = I + diag(M − Y Yᵀ),
/// I + M is near Λ + Y Yᵀ, whose inverse Λ⁻¹ − Λ⁻¹Y (I + YᵀΛ⁻¹Y)⁻¹ YᵀΛ⁻¹ also stands in for (I + M)⁻¹ in
/// the Hessian. (Snelson and Ghahramani 2006 for Λ; Frangella, Tropp and Udell 2023 for the use.)
final class NystromSystem: EtaSystem {
  private let products: PatternProducts
  private let interruption: Interruption
  private let n: Int
  /// R, and X X_Rᵀ, n × |R|.
  private let landmarks: [Int]
  private let kernel: Matrix
  /// Λ^−½ Y, a row a sample; Λ^−½; the factor of I + YᵀΛ⁻¹Y.
  private let columns: Matrix
  private let roots: Matrix
  private let inner: Matrix
  private let corner: Matrix
  private let rowSquares: [Double]
  private var active: [Int] = []
  private var eta: [Double] = []
  private let (residual, direction, image, solution): (Matrix, Matrix, Matrix, Matrix)
  private let conditioned: Matrix
  private let small: Matrix
  private var projections = Matrix(0, 0)

  /// How much smaller a solve makes its residual: `EtaNewton` asks for more where more is needed.
  private static let reduction = 1e-3
  /// Where a Cholesky factorisation is to be had, an eighth of what it would cost.
  private var maximumIterations: Int {
    guard n <= AutomaticSystem.largestFallback else { return 1000 }
    return max(50, n * n / (200 * products.dimension * max(1, active.count)))
  }

  init(_ products: PatternProducts, interruption: Interruption = Interruption()) {
    self.products = products
    self.interruption = interruption
    n = products.samples
    var random = RandomSource(seed: 0, stream: 2)
    let rank = min(n, max(200, min(1000, n / 50)))
    landmarks = random.sample(rank, of: n)
    let d = products.dimension
    let selected = Matrix(rank, d)
    for (k, j) in landmarks.enumerated() {
      selected.row(k).update(from: products.x.row(j), count: d)
    }
    kernel = product(products.x, .plain, selected, .transposed)
    columns = Matrix(n, rank)
    inner = Matrix(rank, rank)
    corner = Matrix(rank, rank)
    roots = Matrix(n, 1)
    rowSquares = (0..<n).map { dot(d, products.x.row($0), products.x.row($0)) }
    (residual, direction) = (Matrix(n, 1), Matrix(n, 1))
    (image, solution, conditioned) = (Matrix(n, 1), Matrix(n, 1), Matrix(n, 1))
    small = Matrix(rank, 1)
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    self.active = active
    self.eta = eta
    let rank = landmarks.count
    // M_R = (X X_Rᵀ) ∘ (D diag(η) D_Rᵀ), by blocks of samples.
    let scaled = Matrix(active.count, rank)
    for (k, i) in active.enumerated() {
      for (r, j) in landmarks.enumerated() where products.isActive(i, j) { scaled[k, r] = eta[i] }
    }
    let block = 512
    let blocks = (n + block - 1) / block
    let workers = min(Threads.count, blocks)
    Threads.perform(workers) { worker in
      let bits = Matrix(block, active.count)
      for first in stride(from: worker * block, to: self.n, by: workers * block)
      where !self.interruption.isOutOfTime {
        let count = min(block, self.n - first)
        for j in 0..<count {
          let row = bits.row(j)
          var sum = 0.0
          for (k, i) in active.enumerated() {
            let isActive = self.products.isActive(i, first + j)
            row[k] = isActive ? 1 : 0
            sum += isActive ? eta[i] : 0
          }
          // The diagonal of M.
          self.roots[first + j, 0] = sum * self.rowSquares[first + j]
        }
        let target = self.columns.row(first)
        gemm(count, rank, active.count, bits.base, .plain, scaled.base, .plain, target)
        let k = self.kernel.row(first)
        for l in 0..<count * rank { target[l] *= k[l] }
      }
    }
    var trace = 0.0
    for (r, j) in landmarks.enumerated() {
      corner.row(r).update(from: columns.row(j), count: rank)
      trace += corner[r, r]
    }
    for r in 0..<rank { corner[r, r] += 1e-10 * trace / Double(rank) + .leastNormalMagnitude }
    guard !interruption.isOutOfTime, trace.isFinite, choleskyLower(rank, corner.base) else {
      return false
    }
    triangularSolveRows(rank, corner.base, columns.base, count: n)
    Threads.split(n, grain: 1000) { range in
      for j in range {
        let row = self.columns.row(j)
        let root = 1 / (1 + max(0, self.roots[j, 0] - dot(rank, row, row))).squareRoot()
        self.roots[j, 0] = root
        scale(rank, root, row)
      }
    }
    guard !interruption.isOutOfTime else { return false }
    inner.fill(0)
    syrkUpper(rank, n, columns.base, inner.base)
    inner.mirrorUpper()
    for r in 0..<rank { inner[r, r] += 1 }
    return choleskyLower(rank, inner.base)
  }

  /// target ← (Λ + Y Yᵀ)⁻¹ source.
  private func precondition(_ source: Matrix, into target: Matrix) {
    let rank = landmarks.count
    for j in 0..<n { target.base[j] = roots.base[j] * source.base[j] }
    gemv(n, rank, columns.base, .transposed, target.base, small.base)
    choleskySolve(rank, inner.base, small.base, count: 1)
    gemv(n, rank, alpha: -1, columns.base, .plain, small.base, beta: 1, target.base)
    for j in 0..<n { target.base[j] *= roots.base[j] }
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) {
    residual.base.update(from: nu, count: n)
    solution.fill(0)
    precondition(residual, into: conditioned)
    direction.copy(from: conditioned)
    var product = dot(n, residual.base, conditioned.base)
    let goal = NystromSystem.reduction * norm(n, nu)
    for _ in 0..<maximumIterations
    where norm(n, residual.base) > goal && !interruption.isOutOfTime {
      image.copy(from: direction)
      products.addProduct(direction.base, active, eta, to: image.base)
      let curvature = dot(n, direction.base, image.base)
      guard curvature > 0, product > 0 else { break }
      let length = product / curvature
      axpy(n, length, direction.base, solution.base)
      axpy(n, -length, image.base, residual.base)
      precondition(residual, into: conditioned)
      let next = dot(n, residual.base, conditioned.base)
      scale(n, next / product, direction.base)
      axpy(n, 1, conditioned.base, direction.base)
      product = next
    }
    nu.update(from: solution.base, count: n)
  }

  /// An earlier ν is left as it is: how far off it is shows in double precision at no cost.
  func improve(_ nu: Matrix, toward right: Matrix, error: Double) {
    guard norm(nu.count, nu.base) == 0 else { return }
    nu.copy(from: right)
    solve(rows: nu)
  }

  /// H = ŨᵀŨ − VᵀV, Ũ = Λ^−½ U, V = L⁻¹ Yᵀ Λ^−½ Ũ with I + YᵀΛ⁻¹Y = L Lᵀ.
  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>
  ) {
    let (count, rank) = (working.count, landmarks.count)
    for k in 0..<count { for j in 0..<n { u.row(k)[j] *= roots.base[j] } }
    syrkRowsUpper(count, n, u.base, h)
    if projections.rows < count { projections = Matrix(count + 16, rank) }
    gemm(count, rank, n, u.base, .plain, columns.base, .plain, projections.base)
    triangularSolveRows(rank, inner.base, projections.base, count: count)
    gemm(
      count, count, rank, alpha: -1, projections.base, .plain, projections.base, .transposed,
      beta: 1, h)
    // U is needed still.
    for k in 0..<count { for j in 0..<n { u.row(k)[j] /= roots.base[j] } }
    for i in 0..<count { for j in 0..<i { h[i * count + j] = h[j * count + i] } }
  }

  var isIterative: Bool { true }
}
