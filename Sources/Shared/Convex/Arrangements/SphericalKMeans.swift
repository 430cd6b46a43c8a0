import LinearAlgebra
import Tensors

/// Centroids of directions: rows are assigned to the centroid with which they have the largest cosine, and
/// a centroid is the direction of the sum of its rows' directions (Dhillon & Modha, "Concept decompositions
/// for large sparse text data using clustering", 2001; for patches Coates & Ng, "Learning feature
/// representations with k-means", 2012).
///
/// The result does not depend on the number of threads.
struct SphericalKMeans {
  /// The largest number of iterations; assignments of many rows never come to rest altogether.
  static let limit = 30
  /// How many rows are assigned at once.
  private static let block = 4096

  /// Unit rows.
  private let rows: Matrix
  private let count: Int
  private let centroids: Matrix
  private var assignment: [Int32]
  private var cosines: [Double]

  /// At most `count` centroids of unit length, fewer if the rows have fewer directions. `rows` are overwritten; rows of
  /// zeros belong to no centroid.
  static func centroids(
    _ count: Int, of rows: Matrix, seed: Int, progress: (_ iteration: Int) -> Void = { _ in }
  ) -> Matrix {
    let d = rows.columns
    var nonzero: [Int] = []
    for i in 0..<rows.rows {
      let length = norm(d, rows.row(i))
      guard length > 0, length.isFinite else { continue }
      scale(d, 1 / length, rows.row(i))
      nonzero.append(i)
    }
    let kept = nonzero.count == rows.rows ? rows : rows.selecting(nonzero)
    guard kept.rows > 0 else { return Matrix(0, d) }
    var means = SphericalKMeans(kept, min(count, kept.rows), seed)
    for iteration in 0..<limit {
      let changed = means.assign()
      progress(iteration + 1)
      // The centroids stay those that the assignment was made for.
      if changed == 0 || iteration == limit - 1 { break }
      means.update()
    }
    return means.result
  }

  private init(_ rows: Matrix, _ count: Int, _ seed: Int) {
    self.rows = rows
    self.count = count
    var random = RandomSource(seed: seed, stream: 1)
    // Rows drawn at random, without repetition.
    centroids = rows.selecting(random.sample(count, of: rows.rows))
    assignment = Array(repeating: -1, count: rows.rows)
    cosines = Array(repeating: 0, count: rows.rows)
  }

  /// Assigns every row to its centroid, the first of equals; returns how many assignments changed.
  private mutating func assign() -> Int {
    let (m, d, count) = (rows.rows, rows.columns, self.count)
    let blocks = (m + SphericalKMeans.block - 1) / SphericalKMeans.block
    var changes = [Int](repeating: 0, count: blocks)
    assignment.withUnsafeMutableBufferPointer { assignment in
      cosines.withUnsafeMutableBufferPointer { cosines in
        changes.withUnsafeMutableBufferPointer { changes in
          // Blocks write to places of their own.
          nonisolated(unsafe) let (assignment, cosines, changes) = (assignment, cosines, changes)
          Threads.perform(blocks) { part in
            let first = part * SphericalKMeans.block
            let height = min(SphericalKMeans.block, m - first)
            let products = UnsafeMutablePointer<Double>.allocate(capacity: height * count)
            defer { products.deallocate() }
            gemm(
              height, count, d, rows.row(first), .plain, centroids.base, .transposed, products)
            for i in 0..<height {
              let row = products + i * count
              var (best, place) = (row[0], 0)
              for k in 1..<max(1, count) where row[k] > best { (best, place) = (row[k], k) }
              if assignment[first + i] != Int32(place) { changes[part] += 1 }
              assignment[first + i] = Int32(place)
              cosines[first + i] = best
            }
          }
        }
      }
    }
    return changes.reduce(0, +)
  }

  /// Moves the centroids to the directions of their rows' sums. One that has no row, or rows that cancel,
  /// begins anew at a row that fits its own centroid badly.
  private func update() {
    let (m, d) = (rows.rows, rows.columns)
    // The members of each centroid follow one another, so that each thread sums centroids of its own.
    var starts = [Int](repeating: 0, count: count + 1)
    for k in assignment { starts[Int(k) + 1] += 1 }
    for k in 0..<count { starts[k + 1] += starts[k] }
    var next = starts
    var members = [Int](repeating: 0, count: m)
    for i in 0..<m {
      let k = Int(assignment[i])
      members[next[k]] = i
      next[k] += 1
    }
    let lengths = Matrix(1, count)
    Threads.split(count) { range in
      for k in range {
        let centroid = centroids.row(k)
        for j in 0..<d { centroid[j] = 0 }
        for place in starts[k]..<starts[k + 1] { axpy(d, 1, rows.row(members[place]), centroid) }
        let length = norm(d, centroid)
        lengths.base[k] = length
        if length > 0 { scale(d, 1 / length, centroid) }
      }
    }
    let lost = (0..<count).filter { lengths.base[$0] <= 1e-9 * Double(starts[$0 + 1] - starts[$0]) }
    guard !lost.isEmpty else { return }
    let worst = (0..<m).sorted { (cosines[$0], $0) < (cosines[$1], $1) }
    var candidates = worst[...]
    var chosen: [Int] = []
    for k in lost {
      // Equal rows would make equal centroids.
      while let i = candidates.popFirst() {
        guard 1 - cosines[i] > 1e-12 else { return }
        if chosen.contains(where: { dot(d, rows.row($0), rows.row(i)) > 1 - 1e-12 }) { continue }
        chosen.append(i)
        centroids.row(k).update(from: rows.row(i), count: d)
        break
      }
    }
  }

  /// The centroids that have rows.
  private var result: Matrix {
    var hasRows = [Bool](repeating: false, count: count)
    for k in assignment { hasRows[Int(k)] = true }
    return centroids.selecting((0..<count).filter { hasRows[$0] })
  }
}
