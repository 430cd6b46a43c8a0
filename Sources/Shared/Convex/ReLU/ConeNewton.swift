import Glibc
import LinearAlgebra

/// Newton's method in the weights η of the ReLU program with scalar output.
///
/// With β‖v‖ = min over η > 0 of ½ (‖v‖²/η + β²η) the program is
///
///   min over η ≥ 0 of f(η) = max over ν of νᵀy − ½‖ν‖² − ½ Σ η_j ‖P_j‖² + ½ β² Σ η_j,
///
/// with P_j the projection of ± Xᵀ D_i ν onto K_i. Semismooth Newton steps in ν find the inner maximum; their matrix is
/// I + Σ η_j D_i X Q_j Xᵀ D_i with the orthogonal projector Q_j onto the face of the cone that P_j lies in; v_j = η_j
/// P_j is in its cone by construction. The outer step is that of the gated program: the bounded quadratic with H = ZᵀZ,
/// Z = L⁻¹U, U_j = ± D_i X P_j.
final class ConeNewton {
  let x: Matrix
  let y: [Double]
  let beta: Double
  let pricing: ConePricing
  let patterns: Patterns
  let n: Int
  let d: Int
  let sum: ActiveRowsSum
  let factors: [OrthogonalFactor]
  /// X Xᵀ, if there are few samples.
  let kernel: Matrix?
  /// Whether there is time to go on.
  let proceed: () -> Bool

  /// Blocks that carry weight and their η.
  var blocks: [ConeBlock]
  var eta: [Double]
  var current: Evaluation
  var iterations = 0

  /// The dual function at a ν: projections, their images, value and gradient.
  final class Evaluation {
    var nu: [Double]
    var points: Matrix
    var images: Matrix
    var norms: [Double] = []
    var supports: [[Int32]] = []
    var value = 0.0
    var gradient: [Double]
    /// Σ η U.
    var outputs: [Double]
    init(_ n: Int, _ d: Int, _ blocks: Int) {
      nu = Array(repeating: 0, count: n)
      gradient = nu
      outputs = nu
      points = Matrix(blocks, d)
      images = Matrix(blocks, n)
    }
  }

  init(
    _ x: Matrix, y: [Double], beta: Double, pricing: ConePricing, patterns: Patterns,
    blocks: [ConeBlock], eta: [Double], nu: [Double], proceed: @escaping () -> Bool = { true }
  ) {
    self.proceed = proceed
    self.x = x
    self.y = y
    self.beta = beta
    self.pricing = pricing
    self.patterns = patterns
    self.blocks = blocks
    self.eta = eta
    (n, d) = (x.rows, x.columns)
    sum = ActiveRowsSum(x.rows, width: x.columns, scratch: x.rows + x.columns)
    factors = (0..<Threads.count).map { _ in OrthogonalFactor(x.columns) }
    if n <= ConeNewton.largestKernel {
      let kernel = Matrix(n, n)
      syrkRowsUpper(n, d, x.base, kernel.base)
      kernel.mirrorUpper()
      self.kernel = kernel
    } else {
      kernel = nil
    }
    current = Evaluation(n, d, 0)
    current.nu = nu
  }

  var nu: [Double] { current.nu }
  var points: Matrix { current.points }
  var norms: [Double] { current.norms }
  var outputs: [Double] { current.outputs }

  /// The objective of v_j = η_j P_j, which is feasible.
  var primal: Double {
    var sum = 0.0
    for i in 0..<n {
      let residual = y[i] - current.outputs[i]
      sum += 0.5 * residual * residual
    }
    for j in blocks.indices { sum += beta * eta[j] * current.norms[j] }
    return sum
  }

  /// The most samples for which products with K cost less than those with the features.
  private static let largestKernel = 1000

  let quadratic = BoundedQuadratic()

  // MARK: The dual function

  func evaluate(_ blocks: [ConeBlock], _ eta: [Double], at nu: [Double]) -> Evaluation {
    let result = Evaluation(n, d, blocks.count)
    result.nu = nu
    var seen = Set<Int>()
    let chosen = blocks.map(\.pattern).filter { seen.insert($0).inserted }
    pricing.correlate(nu, chosen)
    let rows = blocks.map(ConePricing.row)
    result.norms = pricing.project(rows, into: result.points)
    result.supports = rows.map { pricing.support($0) }
    pricing.images(of: result.points, blocks, into: result.images)
    var value = 0.0
    for i in 0..<n { value += nu[i] * (0.5 * nu[i] - y[i]) }
    for j in blocks.indices {
      value += 0.5 * eta[j] * result.norms[j] * result.norms[j]
      axpy(n, eta[j], result.images.row(j), &result.outputs)
    }
    result.value = value
    for i in 0..<n { result.gradient[i] = nu[i] - y[i] + result.outputs[i] }
    return result
  }

  /// Factors I + Σ η D X Q Xᵀ D at an evaluation.
  func factor(_ at: Evaluation, _ blocks: [ConeBlock], _ eta: [Double]) -> Bool {
    // Both signs of a pattern have the same active rows.
    var groups: [[Int]] = []
    var places: [Int: Int] = [:]
    for j in blocks.indices where eta[j] > 0 {
      if let place = places[blocks[j].pattern] {
        groups[place].append(j)
      } else {
        places[blocks[j].pattern] = groups.count
        groups.append([j])
      }
    }
    return sum.build(groups.count) { k, worker, number in
      guard self.proceed() else { return false }
      worker.take(rows: self.patterns, blocks[groups[k][0]].pattern)
      if let kernel = self.kernel {
        self.addByKernel(kernel, groups[k], at, eta, worker)
        return true
      }
      return self.addByFeatures(groups[k], at, eta, worker, self.factors[number])
    }
  }

  /// D X Q Xᵀ D = D K D − E Eᵀ with E = D K_a L⁻ᵀ: K = X Xᵀ, K_a its columns for the rows a that are zero on the face,
  /// and L the factor of K_aa.
  func addByKernel(
    _ kernel: Matrix, _ group: [Int], _ at: Evaluation, _ eta: [Double],
    _ worker: ActiveRowsSum.Worker
  ) {
    worker.take(kernel: kernel, times: group.reduce(0) { $0 + eta[$1] })
    let source = pricing.cone.source
    let gathered = worker.gathered.base
    for j in group {
      let face = at.supports[j].map { source[Int($0)] }
      let a = face.count
      guard a > 0 else { continue }
      let factor = gathered + worker.rows.count * a
      for (k, row) in face.enumerated() {
        let values = kernel.row(row)
        for i in 0...k { factor[k * a + i] = values[face[i]] }
      }
      // Dependent rows add nothing; the step is then slightly worse.
      guard choleskyLower(a, factor) else { continue }
      for (k, row) in worker.rows.enumerated() {
        let (values, target) = (kernel.row(row), gathered + k * a)
        for i in 0..<a { target[i] = values[face[i]] }
      }
      triangularSolveRows(a, factor, gathered, count: worker.rows.count)
      worker.multiply(columns: 0..<a, stride: a, times: -eta[j], adding: true)
    }
    worker.spread()
  }

  /// The same by an orthonormal basis of the face.
  func addByFeatures(
    _ group: [Int], _ at: Evaluation, _ eta: [Double], _ worker: ActiveRowsSum.Worker,
    _ factor: OrthogonalFactor
  ) -> Bool {
    for (place, j) in group.enumerated() {
      let active = at.supports[j]
      for (row, number) in active.enumerated() {
        (worker.gathered.base + row * d).update(
          from: pricing.cone.rows.row(Int(number)), count: d)
      }
      guard factor.factor(worker.gathered.base, count: active.count) else { return false }
      // The coordinates within the face are in the last columns after Qᵀ.
      worker.gather(x, times: eta[j].squareRoot())
      factor.apply(worker.gathered.base, count: worker.rows.count)
      worker.multiply(columns: active.count..<d, stride: d, adding: place > 0)
    }
    worker.spread()
    return true
  }

  // MARK: A step in ν

  /// The faces of an evaluation: for each block an orthonormal basis of the span of the active rows.
  func faces(_ at: Evaluation, _ blocks: [ConeBlock]) -> [Matrix] {
    var bases = blocks.indices.map { Matrix(at.supports[$0].count, d) }
    bases.withUnsafeMutableBufferPointer { bases in
      nonisolated(unsafe) let bases = bases
      let workers = max(1, min(factors.count, blocks.count))
      Threads.perform(workers) { worker in
        let factor = self.factors[worker]
        for j in Swift.stride(from: worker, to: blocks.count, by: workers) {
          let basis = bases[j]
          for (row, number) in at.supports[j].enumerated() {
            basis.row(row).update(from: self.pricing.cone.rows.row(Int(number)), count: self.d)
          }
          if factor.factor(basis.base, count: basis.rows) { factor.basis(into: basis.base) }
        }
      }
    }
    return bases
  }

  /// (I + Σ η D X Q Xᵀ D) z.
  func multiply(
    _ z: [Double], _ blocks: [ConeBlock], _ eta: [Double], _ bases: [Matrix]
  ) -> [Double] {
    var seen = Set<Int>()
    let chosen = blocks.map(\.pattern).filter { seen.insert($0).inserted }
    pricing.correlate(z, chosen)
    let points = Matrix(blocks.count, d)
    Threads.split(blocks.count, grain: 8) { range in
      var inner = [Double](repeating: 0, count: self.d)
      for j in range {
        let (row, basis) = (points.row(j), bases[j])
        row.update(from: self.pricing.features.row(blocks[j].pattern), count: self.d)
        if basis.rows > 0 {
          // Q t = t − Vᵀ V t.
          gemv(basis.rows, self.d, basis.base, .plain, row, &inner)
          gemv(basis.rows, self.d, alpha: -1, basis.base, .transposed, inner, beta: 1, row)
        }
        // The sign of the block applies on the way in and on the way out.
        scale(self.d, eta[j] * blocks[j].sign, row)
      }
    }
    let images = Matrix(blocks.count, n)
    pricing.images(of: points, blocks, into: images)
    var result = z
    for j in blocks.indices { axpy(n, 1, images.row(j), &result) }
    return result
  }

  /// −M⁻¹ g for the matrix M of an evaluation: by conjugate gradients preconditioned with the last factor, of a matrix
  /// near M, or by a new factor if that takes too many steps.
  func direction(
    _ at: Evaluation, _ blocks: [ConeBlock], _ eta: [Double]
  ) -> [Double]? {
    if sum.isFactored, n > ConeNewton.smallest {
      let bases = faces(at, blocks)
      var x = [Double](repeating: 0, count: n)
      var r = at.gradient.map { -$0 }
      let goal = 1e-3 * norm(n, r)
      var z = r
      sum.solve(&z)
      var p = z
      var rz = dot(n, r, z)
      for _ in 0..<ConeNewton.mostSteps where proceed() {
        let mp = multiply(p, blocks, eta, bases)
        let alpha = rz / dot(n, p, mp)
        guard alpha.isFinite, alpha > 0 else { break }
        axpy(n, alpha, p, &x)
        axpy(n, -alpha, mp, &r)
        if norm(n, r) <= goal { return x }
        z = r
        sum.solve(&z)
        let next = dot(n, r, z)
        for i in 0..<n { p[i] = z[i] + next / rz * p[i] }
        rz = next
      }
    }
    guard factor(at, blocks, eta) else { return nil }
    var result = at.gradient.map { -$0 }
    sum.solve(&result)
    return result
  }

  /// The most samples for which a factor costs less than a few steps of conjugate gradients.
  private static let smallest = 400
  /// The most steps of conjugate gradients that cost less than a factor.
  private static let mostSteps = 25

  /// The maximum over ν for given blocks and η, starting at `nu`, to a gradient of norm `tolerance`. Returns nil if the
  /// numbers fail.
  func maximize(
    _ blocks: [ConeBlock], _ eta: [Double], from nu: [Double], tolerance: Double
  ) -> Evaluation? {
    var at = evaluate(blocks, eta, at: nu)
    for _ in 0..<60 {
      guard norm(n, at.gradient) > tolerance, proceed() else { return at }
      guard let direction = direction(at, blocks, eta) else { return proceed() ? nil : at }
      let slope = dot(n, at.gradient, direction)
      guard slope.isFinite, -slope > 1e-15 * abs(at.value) else { return at }
      // Safeguarded secant steps reduce the slope along the direction to a tenth.
      var (low, lowSlope) = (0.0, slope)
      var high: (t: Double, slope: Double)?
      var t = 1.0
      var next = at
      for attempt in 0..<25 where proceed() {
        var moved = at.nu
        axpy(n, t, direction, &moved)
        next = evaluate(blocks, eta, at: moved)
        let here = dot(n, next.gradient, direction)
        guard here.isFinite else { return nil }
        if here <= 0.1 * abs(slope) && (t >= 1 || here >= 0.5 * slope) { break }
        if here > 0 { high = (t, here) } else { (low, lowSlope) = (t, here) }
        guard let high else { break }
        let width = high.t - low
        let secant = low + width * -lowSlope / (high.slope - lowSlope)
        t =
          attempt % 3 < 2
          ? min(max(secant, low + 0.02 * width), high.t - 0.02 * width) : 0.5 * (low + high.t)
      }
      at = next
    }
    return at
  }
}
