import Convex
import LinearAlgebra

/// With one patch per sample, only the active rows of a pattern are multiplied: half of the rows, a quarter of the
/// products.
extension ReLUFactors {
  /// Adds the part of output `c` of Σ F D⁻¹ Fᵀ over the groups `list` to the upper triangle. False if time ran out.
  func addRows(_ list: [Int], _ c: Int, to system: Matrix) -> Bool {
    guard let (x, masks) = cones.features.single else { return false }
    // The groups of a pattern follow each other.
    var parts: [[Int]] = []
    for j in list {
      if let last = parts.last?.last, groups[last].pattern == groups[j].pattern {
        parts[parts.count - 1].append(j)
      } else {
        parts.append([j])
      }
    }
    let count = max(1, min(workers.count, parts.count))
    Threads.perform(count) { number in
      let worker = workers[number]
      let sum = worker.sum ?? system
      if number > 0 { sum.fill(0) }
      for place in stride(from: number, to: parts.count, by: count) where proceed() {
        let part = parts[place]
        let width = part.count * d
        worker.take(masks.row(groups[part[0]].pattern))
        for (k, j) in part.enumerated() {
          let slot = j * slots + c - groups[j].outputs.lowerBound
          let (h, target) = (reflections.row(slot), worker.gathered.base + k * d)
          for (place, row) in worker.rows.enumerated() {
            (target + place * width).update(from: x.row(row), count: d)
            reflect(h, target + place * width)
          }
          triangularSolveRows(
            d, triangles.row(slot), target, ldb: width, count: worker.rows.count)
        }
        worker.spread(width, onto: sum)
      }
    }
    for worker in workers[1..<count] { axpy(n * n, 1, worker.sum!.base, system.base) }
    return proceed()
  }
}

/// One thread's memory for adding terms that have only the active rows of a pattern.
final class RowsWorker {
  private let n: Int
  /// The thread's share of the sum; that of the first thread is the system itself.
  let sum: Matrix?
  /// Rows of one term, to be filled.
  let gathered: Matrix
  private let product: Matrix
  private(set) var rows: [Int] = []

  init(_ n: Int, _ width: Int, isFirst: Bool) {
    self.n = n
    sum = isFirst ? nil : Matrix(n, n)
    gathered = Matrix(n, width)
    product = Matrix(n, n)
  }

  /// Takes the active rows.
  func take(_ mask: UnsafePointer<Double>) {
    rows.removeAll(keepingCapacity: true)
    for i in 0..<n where mask[i] != 0 { rows.append(i) }
  }

  /// Adds E Eᵀ to the upper triangle of `sum`; E is the first `width` gathered columns.
  func spread(_ width: Int, onto sum: Matrix) {
    let m = rows.count
    syrkRowsUpper(m, width, gathered.base, lda: width, beta: 0, product.base)
    rows.withUnsafeBufferPointer { rows in
      for a in 0..<m {
        let (target, values) = (sum.row(rows[a]), product.base + a * m)
        for b in a..<m { target[rows[b]] += values[b] }
      }
    }
  }
}
