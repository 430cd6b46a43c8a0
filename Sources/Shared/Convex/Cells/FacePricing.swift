import LinearAlgebra

/// A neuron of a cell: its pattern, and a unit vector of R^d.
struct CellNeuron {
  let cell: Int
  let direction: [Double]
  /// ‖Nᵀ (X u)₊‖.
  let price: Double
}

/// Prices neurons for several outputs at N (n × C): the largest ‖Nᵀ D_i X u‖ over u ∈ K_i with ‖u‖ ≤ 1, for cells of data of
/// rank at most 4, or of at most 8 independent rows.
///
/// A simplicial cone is its faces' insides. A maximiser inside a face is a local maximum of the form on the sphere of the
/// face's span, where all of these are global: so it is a top eigenvector there, and counts if its coordinates in the rays are of one
/// sign. If an eigenspace of several dimensions meets the face, it meets a smaller face too.
final class FacePricing {
  private let cells: LowRankCells
  private let patterns: Patterns
  private let samples: Int
  /// For each number of rays.
  private let solvers: [[SymmetricEigensolver]]

  init(_ cells: LowRankCells, patterns: Patterns) {
    (self.cells, self.patterns, samples) = (cells, patterns, cells.features.rows)
    solvers = (0..<Threads.count).map { _ in
      (0...ConeSplitting.maximumSimplicialRank).map { SymmetricEigensolver(order: $0) }
    }
  }

  /// The best neuron of every simplicial cone whose price exceeds `limit`, the dearest first, and the largest price, or
  /// `limit` if none exceeds it. `nu` is n × C.
  func neurons(_ nu: Matrix, above limit: Double) -> (found: [CellNeuron], largest: Double) {
    let count = patterns.count
    let parts = max(1, min(Threads.count, count / 16))
    var all = [[CellNeuron]](repeating: [], count: parts)
    all.withUnsafeMutableBufferPointer { all in
      nonisolated(unsafe) let all = all
      Threads.perform(parts) { part in
        let worker = Worker(self, nu, self.solvers[part])
        for cell in count * part / parts..<count * (part + 1) / parts {
          worker.price(cell, above: limit, into: &all[part])
        }
      }
    }
    let found = all.flatMap(\.self).sorted { ($1.price, $0.cell) < ($0.price, $1.cell) }
    return (found, max(limit, found.first?.price ?? 0))
  }

  private final class Worker {
    private let owner: FacePricing
    private let nu: Matrix
    private let solvers: [SymmetricEigensolver]
    private let masked: Matrix
    /// Y_iᵀ D_i N, r × C, and its square, r × r.
    private let sums, form: Matrix
    private var cells: LowRankCells { owner.cells }
    private var r: Int { cells.splitting.r }

    init(_ owner: FacePricing, _ nu: Matrix, _ solvers: [SymmetricEigensolver]) {
      (self.owner, self.nu, self.solvers) = (owner, nu, solvers)
      masked = Matrix(nu.rows, nu.columns)
      sums = Matrix(owner.cells.splitting.r, nu.columns)
      form = Matrix(sums.rows, sums.rows)
    }

    func price(_ cell: Int, above limit: Double, into found: inout [CellNeuron]) {
      masked.copy(from: nu)
      for j in 0..<nu.rows where !owner.patterns.isActive(cell, row: j) {
        masked.row(j).update(repeating: 0, count: nu.columns)
      }
      let unit = cells.unit
      gemm(
        r, nu.columns, nu.rows, alpha: unit, cells.features.base, .transposed, lda: r, masked.base,
        .plain, sums.base)
      gemm(r, r, nu.columns, sums.base, .plain, sums.base, .transposed, ldb: nu.columns, form.base)
      let whole = Matrix(copying: form)
      guard solvers[r].decompose(whole.base, vectors: false),
        max(0, solvers[r].values[r - 1]).squareRoot() > limit
      else { return }
      for simplex in cells.simplices(of: cell) {
        if let best = best(of: simplex), best.price > limit {
          var direction = [Double](repeating: 0, count: cells.basis.columns)
          gemv(r, direction.count, cells.basis.base, .transposed, best.direction, &direction)
          found.append(CellNeuron(cell: cell, direction: direction, price: best.price))
        }
      }
    }

    /// The unit vector of the cone of the largest price, in coordinates of the rows' space.
    private func best(of simplex: Int) -> (direction: [Double], price: Double)? {
      let rays = (0..<r).map { k in
        Array(cells.splitting.rays[(simplex * r + k) * r..<(simplex * r + k + 1) * r])
      }
      var best: (direction: [Double], price: Double)?
      for mask in 1..<1 << r {
        let face = rays.indices.filter { mask >> $0 & 1 == 1 }.map { rays[$0] }
        if let own = top(of: face), own.price > best?.price ?? 0 { best = own }
      }
      return best
    }

    /// The top eigenvector of the form on the span of `face`, if it lies in the cone of these rays.
    private func top(of face: [[Double]]) -> (direction: [Double], price: Double)? {
      let k = face.count
      // R F Rᵀ c = λ R Rᵀ c
      let gram = Matrix(k, k)
      let own = Matrix(k, k)
      for a in 0..<k {
        var image = [Double](repeating: 0, count: r)
        gemv(r, r, form.base, .plain, face[a], &image)
        for b in 0..<k {
          gram[a, b] = dot(r, face[a], face[b])
          own[a, b] = dot(r, image, face[b])
        }
      }
      guard choleskyLower(k, gram.base) else { return nil }
      // L⁻¹ (R F Rᵀ) L⁻ᵀ, from both sides.
      triangularSolveRows(k, gram.base, own.base, count: k)
      own.transpose()
      triangularSolveRows(k, gram.base, own.base, count: k)
      own.symmetrize()
      guard solvers[k].decompose(own.base), solvers[k].values[k - 1] > 0 else { return nil }
      var coordinates = Array(UnsafeBufferPointer(start: own.row(k - 1), count: k))
      // c = L⁻ᵀ z
      for a in stride(from: k - 1, through: 0, by: -1) {
        for b in a + 1..<max(a + 1, k) { coordinates[a] -= gram[b, a] * coordinates[b] }
        coordinates[a] /= gram[a, a]
      }
      let size = coordinates.reduce(0) { abs($1) > abs($0) ? $1 : $0 }
      guard coordinates.allSatisfy({ $0 / size >= -1e-12 }) else { return nil }
      var direction = [Double](repeating: 0, count: r)
      for (value, ray) in zip(coordinates, face) { axpy(r, max(0, value / size), ray, &direction) }
      let length = norm(r, direction)
      return (direction.map { $0 / length }, solvers[k].values[k - 1].squareRoot())
    }
  }
}
