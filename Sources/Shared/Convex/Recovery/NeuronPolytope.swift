import LinearAlgebra

/// The polytope {γ ≥ 0 : H γ = ŷ} of the weights of optimal networks, for columns of H that are what neurons of unit weight
/// put out. The simplex method goes from vertex to vertex of it.
package struct NeuronPolytope {
  /// The number of columns.
  package let count: Int
  /// The rank of H.
  package let rank: Int
  /// B⁻¹H and B⁻¹ŷ of the present basis in independent coordinates of the rows, rank × count and rank.
  private var tableau: Matrix
  private var values: [Double]
  private var basis: [Int]

  /// A value below this share of the largest counts as 0.
  private static let tolerance = 1e-9
  /// A direction in which columns extend less than this share of the largest counts as none.
  private static let negligible = 1e-8

  /// `columns` are those of H. Returns nil if ŷ = `image` is no combination of them with γ ≥ 0, up to rounding.
  package init?(columns: [[Double]], image: [Double]) {
    let n = image.count
    count = columns.count
    let all = Matrix(count, n, columns.flatMap(\.self))
    guard let values = SingularValues(all) else { return nil }
    let limit = NeuronPolytope.negligible * (values.values.first ?? 0)
    rank = values.values.prefix { $0 > limit }.count
    // The columns in an orthonormal basis of their space.
    let space = values.right.slice(0..<rank)
    let coordinates = product(all, .plain, space, .transposed)
    var target = [Double](repeating: 0, count: rank)
    gemv(rank, n, space.base, .plain, image, &target)
    let squares = NonNegativeLeastSquares(capacity: max(1, count))
    for i in 0..<count {
      squares.setRight(i, dot(rank, coordinates.row(i), target))
      for j in 0...i { squares.setGram(i, j, dot(rank, coordinates.row(i), coordinates.row(j))) }
    }
    squares.solve(count)
    let start = (0..<count).filter { squares.x[$0] > 0 }.sorted { squares.x[$0] > squares.x[$1] }
    tableau = Matrix(rank, count)
    self.values = target
    basis = []
    for k in 0..<count { for r in 0..<rank { tableau[r, k] = coordinates[k, r] } }
    guard eliminate(start + (0..<count).filter { !start.contains($0) }) else { return nil }
    let size = self.values.reduce(0) { max($0, abs($1)) }
    guard self.values.allSatisfy({ $0 >= -NeuronPolytope.tolerance * size }) else { return nil }
    for r in 0..<rank where self.values[r] < NeuronPolytope.tolerance * size { self.values[r] = 0 }
  }

  /// Gauss and Jordan's elimination with the first `rank` independent columns of `order` as basis.
  private mutating func eliminate(_ order: [Int]) -> Bool {
    for column in order where basis.count < rank {
      let own = basis.count
      let row = (own..<rank).max { abs(tableau[$0, column]) < abs(tableau[$1, column]) }!
      guard abs(tableau[row, column]) > NeuronPolytope.negligible else { continue }
      if row != own {
        for k in 0..<count {
          (tableau[row, k], tableau[own, k]) = (tableau[own, k], tableau[row, k])
        }
        values.swapAt(row, own)
      }
      basis.append(column)
      reduce(own, column)
    }
    return basis.count == rank
  }

  /// Makes `column` the unit vector of `row`.
  private mutating func reduce(_ row: Int, _ column: Int) {
    let pivot = tableau[row, column]
    for k in 0..<count { tableau[row, k] /= pivot }
    values[row] /= pivot
    for r in 0..<rank where r != row {
      let factor = tableau[r, column]
      guard factor != 0 else { continue }
      axpy(count, -factor, tableau.row(row), tableau.row(r))
      tableau[r, column] = 0
      values[r] -= factor * values[row]
    }
  }

  /// A copy with memory of its own.
  private var copy: NeuronPolytope {
    var result = self
    result.tableau = Matrix(copying: tableau)
    return result
  }

  /// γ of the present vertex.
  package var vertex: [Double] {
    var result = [Double](repeating: 0, count: count)
    for (row, column) in basis.enumerated() { result[column] = max(0, values[row]) }
    return result
  }

  /// Lets `column` into the basis; false if no row limits it.
  private mutating func enter(_ column: Int) -> Bool {
    let size = values.reduce(0) { max($0, abs($1)) }
    var best: (row: Int, ratio: Double)?
    for row in 0..<rank where tableau[row, column] > NeuronPolytope.tolerance {
      let ratio = max(0, values[row]) / tableau[row, column]
      guard let other = best else {
        best = (row, ratio)
        continue
      }
      // Of equal ratios the first column leaves: Bland's rule, which cannot cycle.
      let isEqual = abs(ratio - other.ratio) <= NeuronPolytope.tolerance * size
      if isEqual ? basis[row] < basis[other.row] : ratio < other.ratio { best = (row, ratio) }
    }
    guard let row = best?.row else { return false }
    reduce(row, column)
    basis[row] = column
    for r in 0..<rank where abs(values[r]) < NeuronPolytope.tolerance * size { values[r] = 0 }
    return true
  }

  /// The largest value of Σ weights_k γ_k on the polytope, which is bounded.
  package func largest(_ weights: [Double]) -> Double {
    var point = copy
    for _ in 0..<50 * (count + 10) {
      let prices = (0..<rank).map { weights[point.basis[$0]] }
      let entering = (0..<count).first { k in
        guard !point.basis.contains(k) else { return false }
        let own = (0..<rank).reduce(weights[k]) { $0 - prices[$1] * point.tableau[$1, k] }
        return own > NeuronPolytope.tolerance
      }
      guard let entering, point.enter(entering) else { break }
    }
    return zip(point.vertex, weights).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// The least and the largest value of each γ_k.
  package var ranges: [ClosedRange<Double>] {
    (0..<count).map { k in
      let unit = (0..<count).map { $0 == k ? 1.0 : 0 }
      let (low, high) = (0 - largest(unit.map { -$0 }), largest(unit))
      return max(0, low)...max(0, low, high)
    }
  }

  /// Bases that are looked at before the search for further vertices ends.
  private static let limit = 20_000

  /// Up to `number` vertices, each once, those next to one another first.
  package func vertices(_ number: Int) -> [[Double]] {
    var found: [[Double]] = []
    var supports = Set<[Int]>()
    var seen: Set<[Int]> = [basis.sorted()]
    var queue = [copy]
    var next = 0
    while next < queue.count, found.count < number {
      let point = queue[next]
      next += 1
      let vertex = point.vertex
      let size = vertex.reduce(0, max)
      let support = vertex.indices.filter { vertex[$0] > NeuronPolytope.tolerance * size }
      if supports.insert(support).inserted { found.append(vertex) }
      for column in 0..<count where !point.basis.contains(column) {
        guard queue.count < NeuronPolytope.limit else { break }
        var other = point.copy
        guard other.enter(column), seen.insert(other.basis.sorted()).inserted else { continue }
        queue.append(other)
      }
    }
    return found
  }
}
