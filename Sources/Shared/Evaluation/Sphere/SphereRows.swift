/// The rows of a search, by the hyperplanes to which they are normal.
///
/// Rows on one line through the origin have one kink: a (z)_+ + b (-z)_+ = (a + b)(z)_+ - b z. They are found once,
/// since they do not depend on the weights.
final class SphereRows {
  let count: Int
  let rank: Int
  /// The rows themselves.
  let values: UnsafeMutablePointer<Double>
  private(set) var planeCount = 0
  /// The unit normals, `rank` numbers for each hyperplane.
  let normals: UnsafeMutablePointer<Double>
  /// The hyperplane of each row, or -1 if the row is zero.
  let planes: UnsafeMutablePointer<Int>
  /// Each row is about `lengths` (negative if it points the other way) times the normal, up to `deviations`.
  let lengths: UnsafeMutablePointer<Double>
  let deviations: UnsafeMutablePointer<Double>
  /// False if a number or a length is not finite: then nothing can be said.
  private(set) var isFinite = true

  /// Rows whose directions differ by less in each coordinate are taken as parallel.
  private static let tolerance = 1e-13

  init(_ rows: UnsafeBufferPointer<Double>, count: Int, rank: Int) {
    let isValid = rank > 0 && count > 0 && rows.count / rank >= count
    self.count = isValid ? count : 0
    self.rank = max(0, rank)
    isFinite = isValid || count <= 0 || rank <= 0
    let size = self.count * self.rank
    values = .allocate(capacity: size)
    normals = .allocate(capacity: size)
    planes = .allocate(capacity: self.count)
    lengths = .allocate(capacity: self.count)
    deviations = .allocate(capacity: self.count)
    for i in 0..<size { values[i] = rows[i] }
    if self.count > 0 { findPlanes() }
  }

  deinit {
    values.deallocate()
    normals.deallocate()
    planes.deallocate()
    lengths.deallocate()
    deviations.deallocate()
  }

  /// The direction of row i (into `target`) and its length, zero for a zero row.
  private func direction(_ i: Int, into target: UnsafeMutablePointer<Double>) -> Double {
    let row = values + i * rank
    var scale = 0.0
    for k in 0..<rank {
      if !row[k].isFinite { isFinite = false }
      scale = max(scale, abs(row[k]))
    }
    guard scale > 0, isFinite else { return 0 }
    // Neither overflow nor underflow spoils the squares.
    var square = 0.0
    for k in 0..<rank {
      target[k] = row[k] / scale
      square += target[k] * target[k]
    }
    let norm = square.squareRoot()
    for k in 0..<rank { target[k] /= norm }
    if !(scale * norm).isFinite { isFinite = false }
    return scale * norm
  }

  /// Rows are sorted by the magnitude of the product of their direction with one fixed vector, which parallel rows
  /// share, and compared with their neighbours in that order.
  private func findPlanes() {
    let directions = UnsafeMutablePointer<Double>.allocate(capacity: count * rank)
    defer { directions.deallocate() }
    // Irrational multiples: no direction of simple data is orthogonal to it, or as far from it as another.
    let probe = (0..<rank).map { k in
      0.5 + (Double(k + 1) * 0.618_033_988_749_895).truncatingRemainder(dividingBy: 1)
    }
    var products = [Double](repeating: 0, count: count)
    for i in 0..<count {
      lengths[i] = direction(i, into: directions + i * rank)
      deviations[i] = 0
      planes[i] = -1
      guard lengths[i] > 0 else { continue }
      products[i] = abs((0..<rank).reduce(0) { $0 + probe[$1] * directions[i * rank + $1] })
    }
    guard isFinite else { return }
    let order = (0..<count).filter { lengths[$0] > 0 }.sorted {
      (products[$0], $0) < (products[$1], $1)
    }
    let reach = 2 * Self.tolerance * probe.reduce(0, +)
    for (place, head) in order.enumerated() where planes[head] < 0 {
      let normal = directions + head * rank
      (normals + planeCount * rank).initialize(from: normal, count: rank)
      planes[head] = planeCount
      for other in order[(place + 1)...] {
        if products[other] - products[head] > reach { break }
        if planes[other] < 0 { join(other, directions + other * rank, normal) }
      }
      planeCount += 1
    }
  }

  /// Puts a row on the newest hyperplane if its direction is the normal's or the opposite one.
  private func join(
    _ row: Int, _ direction: UnsafeMutablePointer<Double>, _ normal: UnsafeMutablePointer<Double>
  ) {
    for sign in [1.0, -1.0] {
      var largest = 0.0
      var square = 0.0
      for k in 0..<rank {
        let difference = direction[k] - sign * normal[k]
        largest = max(largest, abs(difference))
        square += difference * difference
      }
      guard largest <= Self.tolerance else { continue }
      planes[row] = planeCount
      deviations[row] = lengths[row] * square.squareRoot()
      lengths[row] *= sign
      return
    }
  }
}
