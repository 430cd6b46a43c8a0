import LinearAlgebra
import Schema
import Tensors

/// The program with batch normalisation after the ReLU, judged from the data: for each pattern the features C D_i X and
/// the constant 1/√n, weights (w, a) of length ‖(C D_i X w, a)‖, w in the cone (2 D_i − I) X w ≥ 0 of a ReLU network.
///
/// Its dual constraint is κ² = max_i ‖P_i (± Q_iᵀ ν)‖² + (1ᵀν)²/n ≤ β², Q_i an orthonormal basis of the columns of
/// C D_i X and P_i the projection on what the cone becomes in it.
struct NormalizedConstraints {
  private let x: Matrix
  /// ‖x_j‖.
  let lengths: [Double]
  private let arrangements: Arrangements
  private let isGated: Bool
  private let name: String
  /// An orthonormal basis of the space of the rows, r × d, and the rows in it, n × r.
  private let rows: Matrix
  /// The extreme rays of the arrangement's cells, if patterns need them.
  private let rays: ArrangementRays?

  private static let negligible = 1e-10
  /// The rows of a pattern are at least this share of all.
  private static let smallestPattern = 1e-8
  /// An image of less than this share of ‖X‖ is 0.
  private static let vanishing = 1e-12

  /// `x` is X, n × d. Throws if a pattern of a ReLU network lacks rank and there are too many rays to list.
  init(_ x: Matrix, _ arrangements: Arrangements, isGated: Bool) throws {
    self.x = x
    self.arrangements = arrangements
    self.isGated = isGated
    name = arrangements.name
    lengths = (0..<x.rows).map { norm(x.columns, x.row($0)) }
    let size = norm(x.count, x.base)
    let basis = CenteredFeatures.basis(
      of: x.transposed, limit: NormalizedConstraints.negligible * size)
    let rows = product(x, .plain, basis, .transposed)
    self.rows = rows
    try NormalizedConstraints.expectDistinct(x, rows, size: size, arrangements)
    let lacksRank =
      !isGated
      && (0..<arrangements.count).contains { i in
        let own = NormalizedConstraints.centered(rows, arrangements, i)
        let rank = CenteredFeatures.basis(of: own, limit: NormalizedConstraints.negligible * size)
          .rows
        return rank > 0 && rank < rows.columns
      }
    rays = lacksRank ? try ArrangementRays(rows, name: name) : nil
  }

  /// Throws unless it is plain which directions each pattern lets through: normalised, the smallest counts as much as the
  /// largest, and none may be lost in the rounding of another, or in that of rows that are much longer.
  private static func expectDistinct(
    _ x: Matrix, _ rows: Matrix, size: Double, _ arrangements: Arrangements
  ) throws {
    let rounding = 4 * Double(x.columns + 8) * Double.ulpOfOne * size
    func isPlain(_ matrix: Matrix) -> Bool {
      let ranks = [rounding, negligible * size].map {
        CenteredFeatures.basis(of: matrix, limit: $0).rows
      }
      return ranks[0] == ranks[1]
    }
    var isPlainEverywhere = isPlain(x.transposed)
    for i in 0..<arrangements.count where isPlainEverywhere {
      var square = 0.0
      for j in 0..<x.rows where arrangements.isActive(i, row: j) {
        let length = norm(x.columns, x.row(j))
        square += length * length
      }
      isPlainEverywhere =
        (square == 0 || square.squareRoot() >= smallestPattern * size)
        && isPlain(centered(rows, arrangements, i))
    }
    guard isPlainEverywhere else {
      throw Failure.data(
        "rows or features of \(arrangements.name) are so much smaller than others, or so nearly depend on one another, that rounding "
          + "hides what batch normalisation makes count as much as the rest: bring features to one size (tensor standardize), "
          + "or leave such rows or features out")
    }
  }

  /// C D_i of the rows of `features`.
  private static func centered(_ features: Matrix, _ arrangements: Arrangements, _ i: Int) -> Matrix
  {
    let result = Matrix(copying: features)
    let (n, d) = (features.rows, features.columns)
    for j in 0..<n where !arrangements.isActive(i, row: j) {
      result.row(j).update(repeating: 0, count: d)
    }
    for _ in 0..<2 {
      for k in 0..<d {
        var sum = CompensatedSum()
        for j in 0..<n { sum.add(result[j, k]) }
        let mean = sum.value / Double(n)
        for j in 0..<n { result[j, k] -= mean }
      }
    }
    return result
  }

  /// What a neuron (w, a) puts out.
  struct Image {
    /// C D_i X w + a/√n.
    let values: [Double]
    /// ‖(C D_i X w, a)‖.
    let length: Double
    /// How far w is from the cone, relative to ‖x_j‖ ‖w‖.
    let violation: Double
    /// The mean of D_i X w, its deviation, divided by n, and its largest entry.
    let mean, deviation, size: Double
  }

  func image(of weights: [Double], pattern i: Int) -> Image {
    let (n, d) = (x.rows, x.columns)
    let size = norm(d, weights)
    var products = [Double](repeating: 0, count: n)
    gemv(n, d, x.base, .plain, weights, &products)
    var violation = 0.0
    for j in 0..<n {
      let isActive = arrangements.isActive(i, row: j)
      let excess = isActive ? -products[j] : products[j]
      let scale = lengths[j] * size
      if !isGated, excess > violation * scale { violation = excess / scale }
      if !isActive { products[j] = 0 }
    }
    let largest = products.reduce(0) { max($0, abs($1)) }
    var center = 0.0
    for _ in 0..<2 {
      var sum = CompensatedSum()
      for value in products { sum.add(value) }
      let mean = sum.value / Double(n)
      for j in 0..<n { products[j] -= mean }
      center += mean
    }
    let a = weights[d]
    let gamma = norm(n, products)
    return Image(
      values: products.map { $0 + a / Double(n).squareRoot() },
      length: (gamma * gamma + a * a).squareRoot(), violation: violation, mean: center,
      deviation: gamma / Double(n).squareRoot(), size: largest)
  }

  /// An upper bound of the dual constraint at ν, a column of n numbers.
  func largestConstraint(_ nu: [Double]) throws -> Double {
    var sum = CompensatedSum()
    for value in nu { sum.add(value) }
    let constant = sum.value * sum.value / Double(nu.count)
    var largest = 0.0
    for i in 0..<arrangements.count { largest = max(largest, try price(nu, pattern: i)) }
    let rounding = Double(nu.count + 8) * Double.ulpOfOne
    return (largest * largest + constant).squareRoot() * (1 + rounding)
  }

  /// An upper bound of max ‖P_i(± Q_iᵀ ν)‖.
  private func price(_ nu: [Double], pattern i: Int) throws -> Double {
    let own = NormalizedConstraints.centered(rows, arrangements, i)
    let basis = CenteredFeatures.basis(
      of: own, limit: NormalizedConstraints.negligible * norm(x.count, x.base))
    let rank = basis.rows
    guard rank > 0 else { return 0 }
    var target = [Double](repeating: 0, count: rank)
    gemv(rank, nu.count, basis.base, .plain, nu, &target)
    if isGated { return norm(rank, target) }
    let opposite = target.map { -$0 }
    if rank < rows.columns {
      guard let rays else { preconditionFailure("listed") }
      // The image of a ray that the pattern lets nothing through of is rounding, and has no direction.
      let limit = NormalizedConstraints.vanishing * norm(x.count, x.base)
      let images = try rays.cell(arrangements, i, name: name).map { ray in
        let values = (0..<own.rows).map { dot(ray.count, own.row($0), ray) }
        return (0..<rank).map { dot(values.count, basis.row($0), values) }
      }
      return max(
        NormalizedConstraints.projection(target, on: images, above: limit),
        NormalizedConstraints.projection(opposite, on: images, above: limit))
    }
    return try halfSpaceProjection([target, opposite], basis: basis, own, pattern: i)
  }

  /// The larger of the projections of `targets` on {q : (2 D_i − I) X R⁻¹ q ≥ 0}, C D_i X = Q R.
  private func halfSpaceProjection(
    _ targets: [[Double]], basis: Matrix, _ own: Matrix, pattern i: Int
  ) throws -> Double {
    let (n, r) = (rows.rows, rows.columns)
    // R, r × r; the rows in these coordinates solve Rᵀ z = x.
    let factor = product(basis, .plain, own, .plain)
    let walls = Matrix(n, r)
    for j in 0..<n {
      let transposed = factor.transposed
      var row = Array(UnsafeBufferPointer(start: rows.row(j), count: r))
      guard solveGeneral(r, transposed.base, &row) else {
        throw Failure.data("pattern \(i) of \(name) is too near to lacking rank to be judged")
      }
      walls.row(j).update(from: row, count: r)
    }
    let wallLengths = (0..<n).map { norm(r, walls.row($0)) }
    let projection = ConeProjection(features: walls, lengths: wallLengths)
    let signs = (0..<n).map { arrangements.isActive(i, row: $0) ? 1.0 : -1 }
    return targets.reduce(0) { max($0, projection.bound($1, signs: signs, limit: 0)) }
  }

  /// The length of the projection of `target` on the cone of those `images` that are longer than `limit`, at most three of which span the face it lies in: the
  /// largest projection on the span of such a face that is inside it, up to rounding.
  static func projection(_ target: [Double], on images: [[Double]], above limit: Double) -> Double {
    let rank = target.count
    let all = images.compactMap { image -> [Double]? in
      let length = norm(rank, image)
      return length > limit ? image.map { $0 / length } : nil
    }
    var largest = 0.0
    func visit(_ chosen: [Int], from start: Int) {
      if !chosen.isEmpty {
        largest = max(largest, faceProjection(target, chosen.map { all[$0] }) ?? 0)
      }
      guard chosen.count < rank else { return }
      for k in start..<max(start, all.count) { visit(chosen + [k], from: k + 1) }
    }
    visit([], from: 0)
    return largest
  }

  /// The projection on the span of `face` if its coefficients are not below 0, up to rounding.
  private static func faceProjection(_ target: [Double], _ face: [[Double]]) -> Double? {
    let (k, rank) = (face.count, target.count)
    let gram = Matrix(k, k)
    var right = face.map { dot(rank, $0, target) }
    for i in 0..<k { for j in 0..<k { gram[i, j] = dot(rank, face[i], face[j]) } }
    let inner = right
    guard solveGeneral(k, gram.base, &right), right.allSatisfy(\.isFinite) else { return nil }
    let scale = right.reduce(0) { max($0, abs($1)) }
    guard right.allSatisfy({ $0 >= -1e-9 * scale }) else { return nil }
    return max(0, zip(right, inner).reduce(0) { $0 + $1.0 * $1.1 }).squareRoot()
  }
}
