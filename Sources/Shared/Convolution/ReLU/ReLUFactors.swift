import Convex
import Glibc
import LinearAlgebra

/// The factors of one iteration of `ReLUInteriorPoint`: those of the Newton matrix H_j of every group, and of the
/// matrix of ν.
final class ReLUFactors {
  let cones: WorkingCones
  private(set) var groups: [ReLUGroup] = []
  private let outputs: Int
  let regions: Int
  let (n, d): (Int, Int)
  let slots: Int
  /// A row for each slot: the factor of D in the coordinates of `reflections`. Their last axis is the direction of the
  /// weight, the only one in which D is small: since it is factored last, it keeps its digits.
  private(set) var triangles = Matrix(0, 0)
  private(set) var reflections = Matrix(0, 0)
  /// q = D⁻¹w of each group, and the γ of H⁻¹ = D⁻¹ + γ q qᵀ.
  private var directions = Matrix(0, 0)
  private var gamma: [Double] = []
  /// For each output the factor of W⁻¹ + Σ F D⁻¹ Fᵀ; with a single output it includes the rank-one terms.
  private let systems: [Matrix]
  /// U: √γ F q, a row per group; the systems' solutions for it; and the factor of I + U M⁻¹ Uᵀ.
  private var images = Matrix(0, 0)
  private var solved = Matrix(0, 0)
  private var capacitance = Matrix(0, 0)
  /// The factor of Σ_c M_cc⁻¹, used if the sum of the outputs' dν must be 0.
  private let shared: Matrix?
  /// Whether there is time to go on.
  let proceed: () -> Bool
  /// D^(−½) Fᵀ of some groups; with one patch per sample, each thread's memory for those of a pattern.
  private var terms = Matrix(0, 0)
  lazy var workers = (0..<Threads.count).map { RowsWorker(n, 2 * d, isFirst: $0 == 0) }

  /// `isCoupled` keeps the sum of the outputs' dν at 0.
  init(
    _ cones: WorkingCones, groups: [ReLUGroup], outputs: Int, isCoupled: Bool,
    proceed: @escaping () -> Bool
  ) {
    self.proceed = proceed
    self.cones = cones
    self.outputs = outputs
    regions = cones.features.regions
    (n, d) = (cones.features.samples, cones.features.dimension)
    slots = (groups.first?.outputs.count ?? 1) * regions
    let n = n
    systems = (0..<outputs).map { _ in Matrix(n, n) }
    shared = isCoupled ? Matrix(n, n) : nil
    take(groups)
  }

  /// Makes room for other groups with as many outputs each.
  func take(_ groups: [ReLUGroup]) {
    self.groups = groups
    let width = slots / regions
    triangles = Matrix(groups.count * slots, d * d)
    reflections = Matrix(groups.count * slots, d)
    directions = Matrix(groups.count, slots * d)
    gamma = Array(repeating: 0, count: groups.count)
    images = Matrix(groups.count, width * n)
    let coupled = width > 1 ? groups.count : 0
    solved = Matrix(coupled, outputs * n)
    capacitance = Matrix(coupled, coupled)
  }

  /// Factors at ratios λ/s and scalings; `inverse` is W⁻¹. False if a matrix is not positive definite.
  func factor(
    ratio: [Matrix], v: Matrix, scalings: [SecondOrderScaling], inverse: Matrix
  ) -> Bool {
    let lock = Lock()
    var isSound = true
    let workers = max(1, min(Threads.count, groups.count))
    gamma.withUnsafeMutableBufferPointer { gamma in
      nonisolated(unsafe) let gamma = gamma
      Threads.perform(workers) { worker in
        var scratch = Matrix(0, self.d)
        for j in stride(from: worker, to: self.groups.count, by: workers) {
          let rows = self.cones.cones[self.groups[j].pattern].matrix
          guard self.proceed() else {
            lock.locked { isSound = false }
            return
          }
          if scratch.rows < rows.rows { scratch = Matrix(2 * rows.rows, self.d) }
          for k in 0..<self.slots {
            let isDefinite = self.factorSlot(
              j * self.slots + k, rows, ratio[j].row(k), v.row(j) + k * self.d,
              scalings[j].diagonal, scratch)
            if !isDefinite { lock.locked { isSound = false } }
          }
          let (w, q) = (scalings[j].vector, self.directions.row(j))
          let length = self.slots * self.d
          q.update(from: w, count: length)
          for k in 0..<self.slots { self.solveSlot(j * self.slots + k, q + k * self.d) }
          // 1 − ρ wᵀD⁻¹w = (1 + 2e)/(1 + 2‖w‖²) for e = wᵀ(I − η⁻²D⁻¹)w, the part that the rows hold.
          var held = 0.0
          for i in 0..<length { held += w[i] * (w[i] - scalings[j].diagonal * q[i]) }
          gamma[j] = 2 * scalings[j].diagonal / (1 + 2 * max(0, held))
        }
      }
    }
    guard isSound else { return false }
    imageDirections()
    for c in 0..<outputs { guard build(c, inverse.row(c)) else { return false } }
    return (capacitance.rows == 0 || couple()) && share()
  }

  /// B̃ᵀ diag(λ/s) B̃ + η⁻² I, with B̃ the reflected rows.
  private func factorSlot(
    _ slot: Int, _ rows: Matrix, _ ratio: UnsafePointer<Double>, _ v: UnsafePointer<Double>,
    _ diagonal: Double, _ scratch: Matrix
  ) -> Bool {
    let h = reflections.row(slot)
    let size = norm(d, v)
    for k in 0..<d { h[k] = size > 0 ? v[k] / size : 0 }
    if size > 0 {
      h[d - 1] += h[d - 1] < 0 ? -1 : 1
      LinearAlgebra.scale(d, 1 / norm(d, h), h)
    }
    for i in 0..<rows.rows {
      let (from, to) = (rows.row(i), scratch.row(i))
      let root = ratio[i].squareRoot()
      let inner = 2 * dot(d, from, h)
      for k in 0..<d { to[k] = root * (from[k] - inner * h[k]) }
    }
    let triangle = triangles.row(slot)
    syrkUpper(d, rows.rows, scratch.base, triangle)
    for i in 0..<d {
      triangle[i * d + i] += diagonal
      for k in 0..<i { triangle[i * d + k] = triangle[k * d + i] }
    }
    return choleskyLower(d, triangle)
  }

  func reflect(_ h: UnsafePointer<Double>, _ z: UnsafeMutablePointer<Double>) {
    axpy(d, -2 * dot(d, h, z), h, z)
  }

  /// z ← D⁻¹ z of a slot.
  private func solveSlot(_ slot: Int, _ z: UnsafeMutablePointer<Double>) {
    reflect(reflections.row(slot), z)
    choleskySolve(d, triangles.row(slot), z, count: 1)
    reflect(reflections.row(slot), z)
  }

  /// z_j ← H_j⁻¹ z_j.
  func applyInverse(_ z: Matrix) {
    Threads.perform(groups.count) { j in
      let (row, q) = (z.row(j), self.directions.row(j))
      let inner = self.gamma[j] * dot(z.columns, q, row)
      for k in 0..<self.slots { self.solveSlot(j * self.slots + k, row + k * self.d) }
      axpy(z.columns, inner, q, row)
    }
  }

  /// images_j ← √γ F q, output by output.
  private func imageDirections() {
    Threads.perform(groups.count) { j in
      let count = self.groups[j].outputs.count
      self.cones.features.image(
        self.directions.row(j), of: self.groups[j].pattern, outputs: count,
        into: self.images.row(j))
      LinearAlgebra.scale(count * self.n, self.gamma[j].squareRoot(), self.images.row(j))
    }
  }

  /// Factors the system of output `c`.
  private func build(_ c: Int, _ inverse: UnsafePointer<Double>) -> Bool {
    let system = systems[c]
    system.fill(0)
    let list = groups.indices.filter { groups[$0].outputs.contains(c) }
    let isBuilt =
      cones.features.single == nil ? addPooled(list, c, to: system) : addRows(list, c, to: system)
    guard isBuilt else { return false }
    if capacitance.rows == 0 {
      let own = Matrix(list.count, n)
      for (k, j) in list.enumerated() { own.row(k).update(from: images.row(j), count: n) }
      syrkUpper(n, list.count, own.base, beta: 1, system.base)
    }
    for i in 0..<n { system[i, i] += inverse[i] }
    system.mirrorUpper()
    return choleskyLower(n, system.base)
  }

  /// Adds the part of output `c` of Σ F D⁻¹ Fᵀ over the groups `list` to the upper triangle. False if time ran out.
  private func addPooled(_ list: [Int], _ c: Int, to system: Matrix) -> Bool {
    let width = regions * d
    // As many groups at once as make the product large but keep its factor small.
    let chunk = max(1, min(list.count, 40_000_000 / (n * width)))
    if terms.columns != chunk * width { terms = Matrix(n, chunk * width) }
    let terms = terms
    for first in stride(from: 0, to: list.count, by: chunk) {
      let count = min(chunk, list.count - first)
      let stride = terms.columns
      guard proceed() else { return false }
      Threads.perform(count) { place in
        let j = list[first + place]
        let own = c - self.groups[j].outputs.lowerBound
        let f = self.cones.features.features[self.groups[j].pattern]
        for r in 0..<self.regions {
          let slot = j * self.slots + own * self.regions + r
          let h = self.reflections.row(slot)
          let target = terms.base + place * width + r * self.d
          for i in 0..<self.n {
            let row = target + i * stride
            row.update(from: f.row(i) + r * self.d, count: self.d)
            self.reflect(h, row)
          }
          triangularSolveRows(
            self.d, self.triangles.row(slot), target, ldb: stride, count: self.n)
        }
      }
      syrkRowsUpper(n, count * width, terms.base, lda: stride, beta: 1, system.base)
    }
    return true
  }

  /// Factors I + U M⁻¹ Uᵀ.
  private func couple() -> Bool {
    solved.copy(from: images)
    solveSystems(solved)
    let count = groups.count
    gemm(
      count, count, images.columns, images.base, .plain, solved.base, .transposed, capacitance.base)
    capacitance.symmetrize()
    for j in 0..<count { capacitance[j, j] += 1 }
    return choleskyLower(count, capacitance.base)
  }

  /// Factors Σ_c of the blocks of M⁻¹ over all outputs.
  private func share() -> Bool {
    guard let shared else { return true }
    shared.fill(0)
    let inverse = Matrix(n, n)
    for c in 0..<outputs {
      inverse.copy(from: systems[c])
      choleskyInverseLower(n, inverse.base)
      axpy(shared.count, 1, inverse.base, shared.base)
    }
    if capacitance.rows > 0 {
      let sums = Matrix(solved.rows, n)
      for j in 0..<solved.rows {
        for c in 0..<outputs { axpy(n, 1, solved.row(j) + c * n, sums.row(j)) }
      }
      // Vᵀ cap⁻¹ V of the summed rows: multiplies the columns of V by L⁻¹.
      solveLower(solved.rows, capacitance.base, sums.base, columns: n)
      let product = Matrix(n, n)
      syrkUpper(n, solved.rows, sums.base, product.base)
      product.mirrorUpper()
      axpy(shared.count, -1, product.base, shared.base)
    }
    return choleskyLower(n, shared.base)
  }

  /// Solves for rows of outputs × n, each part by the system of its output.
  private func solveSystems(_ rows: Matrix) {
    let total = rows.columns
    let gathered = Matrix(rows.rows, n)
    for c in 0..<outputs {
      for i in 0..<rows.rows {
        gathered.row(i).update(from: rows.base + i * total + c * n, count: n)
      }
      choleskySolve(n, systems[c].base, gathered.base, count: rows.rows)
      for i in 0..<rows.rows {
        (rows.base + i * total + c * n).update(from: gathered.row(i), count: n)
      }
    }
  }

  /// ν ← M⁻¹ ν for a C × n ν. If the outputs are coupled, a vector common to them is subtracted from ν first, such that
  /// the sum of the result over them becomes 0.
  func solve(_ nu: Matrix) {
    solveUncoupled(nu)
    guard let shared else { return }
    let common = Matrix(1, n)
    for c in 0..<outputs { axpy(n, -1, nu.row(c), common.base) }
    choleskySolve(n, shared.base, common.base, count: 1)
    let more = Matrix(outputs, n)
    for c in 0..<outputs { more.row(c).update(from: common.base, count: n) }
    solveUncoupled(more)
    axpy(nu.count, 1, more.base, nu.base)
  }

  private func solveUncoupled(_ nu: Matrix) {
    for c in 0..<outputs { choleskySolve(n, systems[c].base, nu.row(c), count: 1) }
    let count = capacitance.rows
    guard count > 0 else { return }
    var inner = [Double](repeating: 0, count: count)
    gemv(count, nu.count, images.base, .plain, nu.base, &inner)
    choleskySolve(count, capacitance.base, &inner, count: 1)
    gemv(count, nu.count, alpha: -1, solved.base, .transposed, inner, beta: 1, nu.base)
  }
}
