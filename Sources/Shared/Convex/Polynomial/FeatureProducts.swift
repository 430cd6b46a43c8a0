import LinearAlgebra

/// Products with the features svec(Φ) of all samples in raw coordinates: F h, Fᵀν, and both in one reading of the data,
/// with any work on a block of samples in between.
final class FeatureProducts {
  let map: FeatureMap
  /// C.
  let classes: Int
  /// n.
  var samples: Int { data.samples }
  /// The threads that read at once, each its own part of the samples.
  let workers: Int
  /// The most samples in a block: few enough to stay in the cache from one product to the other.
  static let blockRows = 128

  private let data: MomentData
  /// h as weights for a row of moments, C × row.
  private let weights: Matrix
  /// For each worker: Σ ν (row), C × row; Σ ν; and the outputs of a block.
  private let sums: [Matrix]
  private let totals: Matrix
  private let outputs: [Matrix]

  /// `data` should be `resident`, since every product reads them.
  init(_ data: MomentData, map: FeatureMap, classes: Int) {
    self.data = data
    self.map = map
    self.classes = classes
    workers = max(1, min(Threads.count, data.samples / FeatureProducts.blockRows))
    weights = Matrix(classes, data.rowLength)
    sums = (0..<workers).map { _ in Matrix(classes, data.rowLength) }
    totals = Matrix(workers, classes)
    outputs = (0..<workers).map { _ in Matrix(FeatureProducts.blockRows, classes) }
  }

  /// Calls `body(worker, rows, outputs)` for each block of samples with outputs = F h (rows × C), or with arbitrary
  /// contents if `h` (C × Q) is nil; `body` leaves ν in them. `adjoint` (C × Q) ← Fᵀν. Workers call at once, each for
  /// its own rows in ascending order.
  func pass(
    _ h: Matrix?, adjoint: Matrix? = nil, _ body: (_ worker: Int, Range<Int>, Matrix) -> Void
  ) {
    let length = data.rowLength
    var constants = [Double](repeating: 0, count: classes)
    if let h {
      for c in 0..<classes { constants[c] = map.momentWeights(h.row(c), into: weights.row(c)) }
    }
    if adjoint != nil {
      for sum in sums { sum.fill(0) }
      totals.fill(0)
    }
    let (classes, shifts) = (classes, constants)
    data.forEachBlock(workers: workers) { worker, range, rows in
      for first in stride(from: 0, to: range.count, by: FeatureProducts.blockRows) {
        let count = min(FeatureProducts.blockRows, range.count - first)
        let from = rows + first * length
        let start = range.lowerBound + first
        let block = self.outputs[worker].slice(0..<count)
        if h != nil {
          if classes == 1 {
            gemv(count, length, from, .plain, self.weights.base, block.base)
          } else {
            gemm(
              count, classes, length, from, .plain, self.weights.base, .transposed, block.base)
          }
          for i in 0..<count { for c in 0..<classes { block[i, c] += shifts[c] } }
        }
        body(worker, start..<start + count, block)
        guard adjoint != nil else { continue }
        let sum = self.sums[worker]
        if classes == 1 {
          gemv(count, length, from, .transposed, block.base, beta: 1, sum.base)
        } else {
          gemm(
            classes, length, count, block.base, .transposed, from, .plain, beta: 1, sum.base)
        }
        for i in 0..<count { axpy(classes, 1, block.row(i), self.totals.row(worker)) }
      }
    }
    guard let adjoint else { return }
    for worker in 1..<max(1, workers) {
      axpy(sums[0].count, 1, sums[worker].base, sums[0].base)
      axpy(classes, 1, totals.row(worker), totals.base)
    }
    for c in 0..<classes {
      map.dualMatrices(sums[0].row(c), total: totals[0, c], into: adjoint.row(c))
    }
  }

  /// F h (n × C).
  func predictions(_ h: Matrix, into result: Matrix) {
    pass(h) { _, range, outputs in
      result.row(range.lowerBound).update(from: outputs.base, count: outputs.count)
    }
  }

  /// Fᵀν (C × Q) for ν (n × C).
  func adjoint(_ dual: Matrix, into result: Matrix) {
    pass(nil, adjoint: result) { _, range, outputs in
      outputs.base.update(from: dual.row(range.lowerBound), count: outputs.count)
    }
  }

  /// The Gram matrix (its upper triangle) of the samples for which `includes` is true.
  func gram(_ includes: (Int) -> Bool) -> Matrix {
    let result = Matrix(map.count, map.count)
    let gathered = Matrix(256, map.count)
    var count = 0
    func add() {
      syrkUpper(map.count, count, gathered.base, beta: 1, result.base)
      count = 0
    }
    data.forEachBlock { range, rows in
      for i in range where includes(i) {
        map.features(
          rows + (i - range.lowerBound) * self.data.rowLength, into: gathered.row(count))
        count += 1
        if count == gathered.rows { add() }
      }
    }
    if count > 0 { add() }
    return result
  }
}
