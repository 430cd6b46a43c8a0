import Glibc
import LinearAlgebra

/// Finds unit vectors that span the same line, as far as rounding lets one tell.
enum ParallelRows {
  /// Two rows count as parallel if the angle between them is at most this many times the sum of their errors.
  static let factor = 4.0

  /// The number of the first row of each line, ascending. `rows` are unit vectors (count × r), known to within
  /// `errors`.
  static func representatives(
    _ rows: UnsafePointer<Double>, _ count: Int, _ r: Int, _ errors: [Double]
  ) -> [Int] {
    guard count > 1 else { return Array(0..<count) }
    let parent = chains(rows, count, r, errors)
    return (0..<count).filter { parent[$0] == $0 }
  }

  /// The numbers of the rows on each line, ascending, in the order of the first.
  static func classes(
    _ rows: UnsafePointer<Double>, _ count: Int, _ r: Int, _ errors: [Double]
  ) -> [[Int]] {
    let parent = count > 1 ? chains(rows, count, r, errors) : Array(0..<count)
    var members = [[Int]](repeating: [], count: count)
    for i in 0..<count { members[parent[i]].append(i) }
    return members.filter { !$0.isEmpty }
  }

  /// For each row the first row of its line.
  private static func chains(
    _ rows: UnsafePointer<Double>, _ count: Int, _ r: Int, _ errors: [Double]
  ) -> [Int] {
    // Parallel rows have the same product with any vector, up to its sign: sorted by it they are
    // neighbours. The vector has no symmetry that data could share.
    let probe = (0..<r).map { sin(1 + 1.7 * Double($0)) }
    let length = norm(r, probe)
    let keys = (0..<count).map { abs(dot(r, rows + $0 * r, probe)) / length }
    let order = (0..<count).sorted { keys[$0] < keys[$1] }
    let largest = errors.max()!
    // Chains of parallel rows are one line: the smallest number of a chain stands for it.
    var parent = Array(0..<count)
    func root(_ i: Int) -> Int {
      var i = i
      while parent[i] != i {
        parent[i] = parent[parent[i]]
        i = parent[i]
      }
      return i
    }
    for place in 0..<count {
      let i = order[place]
      var next = place + 1
      while next < count {
        let j = order[next]
        guard keys[j] - keys[i] <= factor * (errors[i] + largest) else { break }
        next += 1
        if areParallel(rows + i * r, rows + j * r, r, factor * (errors[i] + errors[j])) {
          let (a, b) = (root(i), root(j))
          parent[max(a, b)] = min(a, b)
        }
        // Many equal rows have equal keys: one neighbour is enough to be in their chain.
        if root(j) == root(i), errors[j] >= errors[i], keys[j] == keys[i] { break }
      }
    }
    return (0..<count).map(root)
  }

  /// Whether the angle between two lines is at most `tolerance`: min ‖x ∓ y‖, which does not cancel.
  private static func areParallel(
    _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ r: Int, _ tolerance: Double
  ) -> Bool {
    var (difference, sum) = (0.0, 0.0)
    for k in 0..<r {
      let (a, b) = (x[k] - y[k], x[k] + y[k])
      difference += a * a
      sum += b * b
    }
    return min(difference, sum) <= tolerance * tolerance
  }
}
