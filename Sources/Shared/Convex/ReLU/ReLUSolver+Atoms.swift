import LinearAlgebra

/// Column generation: the best network of neurons each of which had the largest price in its block at some ν. A few rounds
/// come near an optimum of few neurons, and reach that of a large β.
extension ReLUSolver {
  /// The most rounds, and the blocks that enter in each.
  private static let (rounds, entering) = (10, 24)
  /// It goes on as long as a round lowers the objective by the share `leastGain`. If round `later` or one after it still
  /// lowers it by `mostGain`, the optimum has many neurons, and another start is better.
  private static let (leastGain, mostGain, later) = (0.003, 0.06, 5)

  /// Offers networks of the projections of ± Xᵀ D_i ν onto their cones, with the best lengths, to the outputs `open`: ν is
  /// first y, then the residual of the network so far. It takes at most three fifths of the time that is left. Returns
  /// the blocks of the last network, where it has come near the optimum.
  func offerAtoms(
    _ open: [Int], _ points: [PatternIncumbent], beta: Double, gap: Double, _ budget: Budget,
    report: () -> Void
  ) -> [Int: Beginning] {
    let end = budget.seconds + 0.6 * budget.secondsLeft
    var networks = open.map { c in AtomNetwork(outputs[c].y, dimension: data.dimension) }
    var result: [Int: Beginning] = [:]
    var left = Array(open.indices)
    for round in 1...ReLUSolver.rounds where !left.isEmpty && budget.exhausted == nil {
      budget.count()
      left = left.filter { place in
        guard budget.seconds < end, budget.exhausted == nil else { return false }
        let c = open[place]
        let problem = Problem(y: outputs[c].y, beta: beta, tolerance: 0, point: points[c])
        let before = points[c].primal
        extend(&networks[place], problem)
        let (weights, rows) = networks[place].weights
        offer(weights, rows, to: problem)
        let gain = (before - points[c].primal) / max(abs(before), .leastNonzeroMagnitude)
        if round >= ReLUSolver.later, gain > ReLUSolver.mostGain {
          result[c] = nil
          return false
        }
        result[c] = networks[place].beginning(beta)
        return points[c].gap > gap && gain > ReLUSolver.leastGain
      }
      report()
    }
    return result
  }

  /// Adds the neurons of the largest prices at the network's residual, which is offered as a dual point.
  private func extend(_ network: inout AtomNetwork, _ problem: Problem) {
    pricing.correlate(network.residual.base)
    let (bound, found) = pricing.price(above: problem.beta, limit: ReLUSolver.entering)
    offerDual(network.residual, bound: bound, to: problem.point)
    let rows = found.prefix(ReLUSolver.entering).map(\.row)
    guard !rows.isEmpty else { return }
    let vectors = Matrix(rows.count, data.dimension)
    let norms = pricing.project(rows, into: vectors)
    for k in rows.indices where norms[k] > 0 { scale(data.dimension, 1 / norms[k], vectors.row(k)) }
    let images = Matrix(rows.count, data.samples)
    pricing.images(of: vectors, rows.map(ConePricing.block), into: images)
    network.add(vectors, rows, images)
    network.fit(problem.beta)
  }
}

/// Neurons of unit length with lengths α ≥ 0: min ½ ‖Σ α_k h_k − y‖² + β Σ α_k.
private struct AtomNetwork {
  private let y: Matrix
  private let dimension: Int
  private var vectors: [[Double]] = []
  private var images: [[Double]] = []
  private var rows: [Int] = []
  private var lengths: [Double] = []
  /// y − Σ α_k h_k.
  private(set) var residual: Matrix

  init(_ y: Matrix, dimension: Int) {
    (self.y, self.dimension) = (y, dimension)
    residual = Matrix(copying: y)
  }

  /// The sums of the weights of each block that has some, and these blocks.
  var weights: (sums: Matrix, rows: [Int]) {
    let used = Set(rows.indices.filter { lengths[$0] > 0 }.map { rows[$0] }).sorted()
    let places = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
    let sums = Matrix(used.count, dimension)
    for k in rows.indices where lengths[k] > 0 {
      axpy(dimension, lengths[k], vectors[k], sums.row(places[rows[k]]!))
    }
    return (sums, used)
  }

  /// The blocks, η = ‖v‖/β, and ν.
  func beginning(_ beta: Double) -> ReLUSolver.Beginning {
    let (sums, used) = weights
    return (
      used.map(ConePricing.block), used.indices.map { norm(dimension, sums.row($0)) / beta },
      residual.values
    )
  }

  /// Neurons without length go, and new ones enter.
  mutating func add(_ new: Matrix, _ newRows: [Int], _ newImages: Matrix) {
    let kept = rows.indices.filter { lengths[$0] > 0 }
    (vectors, images) = (kept.map { vectors[$0] }, kept.map { images[$0] })
    (rows, lengths) = (kept.map { rows[$0] }, kept.map { lengths[$0] })
    for (k, row) in newRows.enumerated() {
      vectors.append(Array(UnsafeBufferPointer(start: new.row(k), count: dimension)))
      images.append(Array(UnsafeBufferPointer(start: newImages.row(k), count: y.count)))
      rows.append(row)
      lengths.append(0)
    }
  }

  /// The best lengths.
  mutating func fit(_ beta: Double) {
    let (m, n) = (rows.count, y.count)
    let all = Matrix(m, n, images.flatMap(\.self))
    let gram = product(all, .plain, all, .transposed)
    let squares = NonNegativeLeastSquares(capacity: max(1, m))
    for j in 0..<m {
      squares.setRight(j, dot(n, all.row(j), y.base) - beta)
      for k in 0...j { squares.setGram(j, k, gram[j, k] * (j == k ? 1 + 1e-10 : 1)) }
    }
    squares.solve(m, startingWith: lengths.indices.filter { lengths[$0] > 0 })
    residual.copy(from: y)
    for j in 0..<m {
      lengths[j] = squares.x[j]
      axpy(n, -lengths[j], all.row(j), residual.base)
    }
  }
}
