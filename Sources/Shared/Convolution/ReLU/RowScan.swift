import Convex
import Glibc
import LinearAlgebra

/// Passes over the rows of all patches that find those nearest to the boundary of a cone, or beyond it.
extension ReLUFeatures {
  /// A row, and how far a vector is on its side.
  struct RowDepth {
    let row: Int
    let depth: Double
  }

  /// For each row v of `vectors`, up to `limit` unit rows b, signed as in pattern `list[k]`, with the smallest depths
  /// below `level[k]`, ascending. The depth is b·v, or with `centres` (a row per pattern, inside its cone)
  /// (b·v)/(b·centre); v minus its smallest such depth times the centre is in the cone.
  func shallowest(
    _ vectors: Matrix, of list: [Int], below level: [Double], limit: Int,
    relativeTo centres: Matrix? = nil
  ) -> [[RowDepth]] {
    let (m, d, size) = (vectors.rows, dimension, rowsOfBlock)
    guard m > 0 else { return [] }
    let workers = max(1, min(Threads.count, blocks))
    var found = [[Collector]](
      repeating: level.map { Collector(below: $0, limit: limit) }, count: workers)
    let lock = Lock()
    Threads.perform(workers) { worker in
      var own = level.map { Collector(below: $0, limit: limit) }
      let room = Matrix(size, d)
      let products = Matrix(m, size)
      let depths = Matrix(centres == nil ? 0 : patterns, size)
      for block in Swift.stride(from: worker, to: blocks, by: workers) {
        withUnitRows(block, room: room.base) { first, count, rows in
          gemm(m, count, d, vectors.base, .plain, rows, .transposed, products.base, ldc: size)
          if let centres {
            gemm(
              patterns, count, d, centres.base, .plain, rows, .transposed, depths.base, ldc: size)
            for k in 0..<m {
              own[k].take(products.row(k), over: depths.row(list[k]), first, count)
            }
          } else {
            for k in 0..<m { take(products.row(k), list[k], first, count, &own[k]) }
          }
        }
      }
      lock.locked { found[worker] = own }
    }
    return (0..<m).map { k in
      var all = found[0][k]
      for worker in 1..<max(1, workers) { all.merge(found[worker][k]) }
      return all.sorted
    }
  }

  /// Takes the signed products that are below the level.
  @inline(__always)
  private func take(
    _ products: UnsafePointer<Double>, _ pattern: Int, _ first: Int, _ count: Int,
    _ collector: inout Collector
  ) {
    let bits = self.bits + pattern * stride
    for j in 0..<count {
      let row = first + j
      let isActive = bits[row >> 3] >> UInt8(row & 7) & 1 == 1
      let depth = isActive ? products[j] : -products[j]
      if depth < collector.level, lengths[row] > 0 { collector.add(row, depth) }
    }
  }

  /// Collects the smallest depths.
  private struct Collector {
    private(set) var level: Double
    private let limit: Int
    private var entries: [RowDepth] = []

    init(below level: Double, limit: Int) {
      self.level = level
      self.limit = limit
    }

    /// Takes ratios of products; a row whose second product is not positive on its own side is no boundary.
    mutating func take(
      _ products: UnsafePointer<Double>, over depths: UnsafePointer<Double>, _ first: Int,
      _ count: Int
    ) {
      // The signs of both cancel; a zero row gives NaN, which is not below any level.
      for j in 0..<count {
        let depth = products[j] / depths[j]
        if depth < level { add(first + j, depth) }
      }
    }

    mutating func add(_ row: Int, _ depth: Double) {
      entries.append(RowDepth(row: row, depth: depth))
      if entries.count >= 4 * limit + 64 { cut() }
    }

    mutating func merge(_ other: Collector) {
      entries += other.entries
      cut()
    }

    private mutating func cut() {
      entries.sort { $0.depth == $1.depth ? $0.row < $1.row : $0.depth < $1.depth }
      if entries.count > limit {
        entries.removeLast(entries.count - limit)
        level = min(level, entries.last!.depth.nextUp)
      }
    }

    var sorted: [RowDepth] {
      var copy = self
      copy.cut()
      return copy.entries
    }
  }
}
