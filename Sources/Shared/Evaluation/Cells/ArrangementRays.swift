import LinearAlgebra
import Tensors

/// The directions in which r − 1 independent hyperplanes {u : x_j · u = 0} of R^r meet, each with its opposite: the extreme
/// rays of all cells are among them. They are found by trying every choice of hyperplanes.
struct ArrangementRays {
  private let rows: Matrix
  private let lengths: [Double]
  private let rays: [[Double]]

  /// The most choices of hyperplanes that are tried.
  private static let limit = 3_000_000
  /// A direction lies on the right side of a hyperplane up to this share of ‖x_j‖.
  private static let tolerance = 1e-9

  /// `rows` are n × r. Throws if there are too many choices.
  init(_ rows: Matrix, name: String) throws {
    self.rows = rows
    let (n, r) = (rows.rows, rows.columns)
    let lengths = (0..<n).map { norm(r, rows.row($0)) }
    self.lengths = lengths
    // One of several parallel rows is enough.
    var distinct: [[Double]] = []
    for j in 0..<n where lengths[j] > 0 {
      let unit = (0..<r).map { rows[j, $0] / lengths[j] }
      let distances = distinct.map { norm(r, ArrangementRays.rest(of: unit, [$0])) }
      guard let nearest = distances.min(), nearest < 1e-6 else {
        distinct.append(unit)
        continue
      }
      guard nearest <= 1e-10 else {
        throw Failure.data(
          "sample \(j) of \(name) is parallel to another but for an angle of \(nearest): cells between them are too thin to "
            + "be judged")
      }
    }
    var choices = 1.0
    for k in 0..<max(0, r - 1) { choices *= Double(distinct.count - k) / Double(k + 1) }
    // The cells of r hyperplanes have r rays each.
    guard r <= 4 || (r <= 8 && distinct.count == r), choices <= Double(ArrangementRays.limit) else {
      throw Failure.data(
        "patterns of \(name) lack rank, and \(n) samples in \(r) dimensions have too many rays to judge them: batch "
          + "normalisation after the ReLU is certified where all patterns have full rank, or in up to 4 dimensions (8, if rows are "
          + "independent)"
      )
    }
    var found: [[Double]] = r == 1 ? [[1], [-1]] : []
    func visit(_ basis: [[Double]], from start: Int) {
      if basis.count == r - 1 {
        if let ray = ArrangementRays.orthogonal(to: basis, r) {
          found.append(ray)
          found.append(ray.map { -$0 })
        }
        return
      }
      for j in start..<max(start, distinct.count) {
        let rest = ArrangementRays.rest(of: distinct[j], basis)
        let length = norm(r, rest)
        if length > 1e-9 { visit(basis + [rest.map { $0 / length }], from: j + 1) }
      }
    }
    if r > 1 { visit([], from: 0) }
    rays = found
  }

  /// `vector` without its components along the orthonormal `basis`.
  private static func rest(of vector: [Double], _ basis: [[Double]]) -> [Double] {
    var result = vector
    for _ in 0..<2 {
      for direction in basis {
        axpy(result.count, -dot(result.count, direction, result), direction, &result)
      }
    }
    return result
  }

  /// The unit vector that is orthogonal to r − 1 orthonormal ones.
  private static func orthogonal(to basis: [[Double]], _ r: Int) -> [Double]? {
    let candidates = (0..<r).map { k in rest(of: (0..<r).map { $0 == k ? 1 : 0 }, basis) }
    guard let best = candidates.max(by: { norm(r, $0) < norm(r, $1) }) else { return nil }
    let length = norm(r, best)
    return length > 0 ? best.map { $0 / length } : nil
  }

  /// The rays that lie in the closed cell of pattern `i`. Throws if they do not span it.
  func cell(_ arrangements: Arrangements, _ i: Int, name: String) throws -> [[Double]] {
    let r = rows.columns
    let signs = (0..<rows.rows).map { arrangements.isActive(i, row: $0) ? 1.0 : -1 }
    let own = rays.filter { ray in
      (0..<rows.rows).allSatisfy { j in
        signs[j] * dot(r, rows.row(j), ray) >= -ArrangementRays.tolerance * lengths[j]
      }
    }
    var basis: [[Double]] = []
    for ray in own {
      let rest = ArrangementRays.rest(of: ray, basis)
      let length = norm(r, rest)
      if length > 1e-7 { basis.append(rest.map { $0 / length }) }
    }
    guard basis.count == r else {
      throw Failure.data(
        "pattern \(i) of \(name) is no cell of full dimension: a gate does not attain it, or it is too thin to be judged"
      )
    }
    return own
  }
}
