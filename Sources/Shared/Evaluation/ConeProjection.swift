import LinearAlgebra

/// Upper bounds of ‖P_K t‖, the length of the projection of t on the cone K = {u : b_j · u ≥ 0 for all j}
/// with b_j = ± x_j, that are attained up to rounding.
///
/// By Moreau's decomposition ‖P_K t‖ is the minimum over λ ≥ 0 of ‖t + Σ λ_j b_j‖, so that every λ ≥ 0 gives a bound,
/// however it was found. The minimum is found by the active-set method of Lawson and Hanson, "Solving least squares
/// problems", 1974, chapter 23, on a QR factorisation of the b_j with λ_j > 0 that is updated column by column: Daniel,
/// Gragg, Kaufman and Stewart, 1976.
///
/// Each thread needs an object of its own, which keeps its memory from one projection to the next.
final class ConeProjection {
  private let x: Matrix
  private let lengths: [Double]
  /// d, and the largest number of independent b_j.
  private let dimension, capacity: Int

  /// The b_j with λ_j > 0, in the order of the factorisation.
  private var passive: [Int] = []
  private var isPassive: [Bool]
  /// Rows that could not be used since the last change.
  private var isBanned: [Bool]
  private var banned: [Int] = []
  /// Rows are q_1 … q_p, orthonormal.
  private let q: Matrix
  /// Row k holds column k of R, where b_k/‖x_k‖ = Σ_i R_ik q_i.
  private let r: Matrix
  /// q_i · t; t + Σ λ_j b_j; x_j · residual.
  private let rotated, residual, products: Matrix
  /// λ_j ‖x_j‖ of the passive rows, and their values at the minimum over the passive rows.
  private let multipliers, wanted: Matrix
  private let room, low: Matrix

  /// If there are many rows: those that were last on the wrong side, copied together. Only when all of them are on the
  /// right side are the others looked at again.
  private var candidates: [Int] = []
  private var isCandidate: [Bool]
  private let packed, packedProducts: Matrix
  private static let manyRows = 2048
  private static let candidateLimit = 1024
  private static let entryLimit = 128

  /// Block pivoting on all rows at once, if they may be independent.
  private let pivoting: BlockPivoting?

  /// For b_j = ± x_j of `features`, n × d, whose rows have the given lengths. `gram` is `BlockPivoting.gram` of them if
  /// n ≤ d.
  init(features: Matrix, lengths: [Double], gram: Matrix? = nil) {
    pivoting = gram.map { BlockPivoting(gram: $0) }
    x = features
    self.lengths = lengths
    let (n, d) = (features.rows, features.columns)
    dimension = d
    capacity = min(n, d)
    isPassive = Array(repeating: false, count: n)
    isBanned = isPassive
    let isLong = n >= ConeProjection.manyRows
    isCandidate = Array(repeating: false, count: isLong ? n : 0)
    packed = Matrix(isLong ? ConeProjection.candidateLimit : 0, d)
    packedProducts = Matrix(1, ConeProjection.candidateLimit)
    q = Matrix(capacity + 1, d)
    r = Matrix(capacity + 1, capacity + 1)
    rotated = Matrix(1, capacity + 1)
    residual = Matrix(1, d)
    products = Matrix(1, n)
    multipliers = Matrix(1, capacity + 1)
    wanted = Matrix(1, capacity + 1)
    room = Matrix(1, max(n, d) + 1)
    low = Matrix(1, d)
  }

  /// An upper bound of ‖P_K t‖ that is tight if it is above `limit`. `signs` has ± 1 for each row of X: b_j = signs_j
  /// x_j. `guess`, a point of K or nil, only chooses the start: the b_j that are orthogonal to it, as they are if it is
  /// the projection.
  func bound(
    _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>, limit: Double,
    guess: UnsafePointer<Double>? = nil
  ) -> Double {
    for j in passive { isPassive[j] = false }
    passive.removeAll(keepingCapacity: true)
    dropCandidates()
    lift()
    // A value that is claimed to be below the limit must be below it when it is summed with care.
    let goal = limit * (1 - 1e-14)
    if let bound = boundByPivoting(t, signs: signs, limit: limit) { return bound }
    refresh(t)
    if norm(dimension, residual.base) > goal, let guess {
      begin(t, signs: signs, guess: guess)
      refresh(t)
    }
    var length = norm(dimension, residual.base)
    var stalls = 0
    for _ in 0..<10 * (capacity + x.rows) {
      guard length > goal, stalls < 8,
        let entering = mostViolated(signs: signs, tolerance: 1e-14 * length)
      else { break }
      guard append(entering, t, signs: signs) else {
        ban(entering)
        continue
      }
      multipliers.base[passive.count - 1] = 0
      settle()
      guard isPassive[entering] else {
        ban(entering)
        refresh(t)
        continue
      }
      lift()
      refresh(t)
      let next = norm(dimension, residual.base)
      stalls = next < length ? 0 : stalls + 1
      length = next
    }
    return certified(
      t, signs: signs,
      passive.indices.map { (row: passive[$0], multiplier: multipliers.base[$0]) })
  }

  /// The bound by block pivoting; `nil` if that found none.
  private func boundByPivoting(
    _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>, limit: Double
  ) -> Double? {
    guard let pivoting else { return nil }
    let length = norm(dimension, t)
    func project(_ vector: UnsafePointer<Double>) {
      gemv(x.rows, dimension, x.base, .plain, vector, products.base)
      for j in 0..<x.rows {
        products.base[j] *= lengths[j] > 0 ? signs[j] / lengths[j] : 0
      }
    }
    func certifiedByPivoting() -> Double {
      let rows = (0..<x.rows).filter { pivoting.multipliers.base[$0] > 0 }
      return certified(
        t, signs: signs, rows.map { (row: $0, multiplier: pivoting.multipliers.base[$0]) })
    }
    project(t)
    guard pivoting.minimize(products.base, signs: signs, length: length, limit: limit) else {
      return nil
    }
    let bound = certifiedByPivoting()
    guard bound > limit else { return bound }
    // The certified sum t + Σ λ b is still there.
    project(room.base)
    pivoting.refine(products.base, signs: signs)
    return min(bound, certifiedByPivoting())
  }

  // MARK: The method of Lawson and Hanson

  /// The row, neither passive nor banned, on whose wrong side the residual lies furthest.
  private func mostViolated(signs: UnsafePointer<Double>, tolerance: Double) -> Int? {
    if let found = mostViolatedCandidate(signs: signs, tolerance: tolerance) { return found }
    gemv(x.rows, dimension, x.base, .plain, residual.base, products.base)
    var worst = -tolerance
    var found: Int?
    for j in 0..<x.rows {
      let slack = signs[j] * products.base[j]
      if slack < worst * lengths[j], !isPassive[j], !isBanned[j] {
        worst = slack / lengths[j]
        found = j
      }
    }
    if !isCandidate.isEmpty, found != nil { addCandidates(signs: signs, worst: worst) }
    return found
  }

  /// The same among the candidates.
  private func mostViolatedCandidate(
    signs: UnsafePointer<Double>, tolerance: Double
  ) -> Int? {
    guard !candidates.isEmpty else { return nil }
    gemv(
      candidates.count, dimension, packed.base, .plain, residual.base, packedProducts.base)
    var worst = -tolerance
    var found: Int?
    for (place, j) in candidates.enumerated() {
      let slack = signs[j] * packedProducts.base[place]
      if slack < worst * lengths[j], !isPassive[j], !isBanned[j] {
        worst = slack / lengths[j]
        found = j
      }
    }
    return found
  }

  /// Makes candidates of the rows that are furthest on the wrong side by `products`, the worst by `worst`.
  private func addCandidates(signs: UnsafePointer<Double>, worst: Double) {
    var entering: [(row: Int, slack: Double)] = []
    for j in 0..<x.rows {
      let slack = signs[j] * products.base[j]
      if slack < 0.3 * worst * lengths[j], !isPassive[j], !isBanned[j], !isCandidate[j] {
        entering.append((j, slack / lengths[j]))
      }
    }
    entering.sort { $0.slack != $1.slack ? $0.slack < $1.slack : $0.row < $1.row }
    let room = ConeProjection.candidateLimit - ConeProjection.entryLimit
    if candidates.count > room { dropCandidates() }
    for (row, _) in entering.prefix(ConeProjection.entryLimit) {
      packed.row(candidates.count).update(from: x.row(row), count: dimension)
      isCandidate[row] = true
      candidates.append(row)
    }
  }

  private func dropCandidates() {
    for row in candidates { isCandidate[row] = false }
    candidates.removeAll(keepingCapacity: true)
  }

  /// Moves from feasible multipliers to those that are best for the passive rows, and drops rows whose multipliers
  /// would become negative.
  private func settle() {
    while !passive.isEmpty {
      solve()
      var step = 1.0
      var blocking: Int?
      for k in passive.indices where wanted.base[k] <= 0 {
        let ratio = multipliers.base[k] / (multipliers.base[k] - wanted.base[k])
        // If both are 0 the row has to go too.
        if !(ratio >= step) {
          step = ratio.isNaN ? 0 : ratio
          blocking = k
        }
      }
      guard let blocking else { break }
      for k in passive.indices {
        multipliers.base[k] += step * (wanted.base[k] - multipliers.base[k])
      }
      multipliers.base[blocking] = 0
      for k in passive.indices.reversed()
      where multipliers.base[k] <= 0 && wanted.base[k] <= 0 { remove(k) }
    }
    multipliers.base.update(from: wanted.base, count: passive.count)
  }

  /// Makes the rows that are nearly orthogonal to `guess` passive, except those that then pull.
  private func begin(
    _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>, guess: UnsafePointer<Double>
  ) {
    gemv(x.rows, dimension, x.base, .plain, guess, products.base)
    let length = norm(dimension, guess)
    guard length > 0 else { return }
    var facets: [(row: Int, slack: Double)] = []
    for j in 0..<x.rows where lengths[j] > 0 {
      let slack = abs(products.base[j]) / (lengths[j] * length)
      if slack <= 1e-6 { facets.append((j, slack)) }
    }
    facets.sort { $0.slack != $1.slack ? $0.slack < $1.slack : $0.row < $1.row }
    for (row, _) in facets { _ = append(row, t, signs: signs) }
    var isSettled = false
    while !isSettled {
      solve()
      isSettled = true
      for k in passive.indices.reversed() where !(wanted.base[k] > 0) {
        remove(k)
        isSettled = false
      }
    }
    multipliers.base.update(from: wanted.base, count: passive.count)
  }

  private func ban(_ row: Int) {
    isBanned[row] = true
    banned.append(row)
  }

  private func lift() {
    for row in banned { isBanned[row] = false }
    banned.removeAll(keepingCapacity: true)
  }

  // MARK: The factorisation

  /// Appends b_j/‖x_j‖ to the factorisation. Returns `false` if it depends on the rows that are there.
  private func append(
    _ row: Int, _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>
  ) -> Bool {
    let (p, d) = (passive.count, dimension)
    guard p < capacity, lengths[row] > 0 else { return false }
    let (new, column, part) = (q.row(p), r.row(p), room.base)
    let scale = signs[row] / lengths[row]
    let source = x.row(row)
    for k in 0..<d { new[k] = scale * source[k] }
    // Gram-Schmidt, twice: then the q are orthogonal to working precision.
    column.update(repeating: 0, count: p)
    for _ in 0..<2 {
      gemv(p, d, q.base, .plain, new, part)
      gemv(p, d, alpha: -1, q.base, .transposed, part, beta: 1, new)
      for i in 0..<p { column[i] += part[i] }
    }
    let length = norm(d, new)
    guard length > 1e-10 else { return false }
    LinearAlgebra.scale(d, 1 / length, new)
    column[p] = length
    rotated.base[p] = dot(d, new, t)
    passive.append(row)
    isPassive[row] = true
    return true
  }

  /// Drops the passive row `k`: Givens rotations bring R without its column k back to triangular form.
  private func remove(_ k: Int) {
    let (p, d) = (passive.count, dimension)
    isPassive[passive[k]] = false
    passive.remove(at: k)
    for i in k..<p - 1 {
      r.row(i).update(from: r.row(i + 1), count: i + 2)
      multipliers.base[i] = multipliers.base[i + 1]
      wanted.base[i] = wanted.base[i + 1]
    }
    for i in k..<p - 1 {
      let (a, b) = (r[i, i], r[i, i + 1])
      let length = (a * a + b * b).squareRoot()
      guard length > 0 else { continue }
      let (cosine, sine) = (a / length, b / length)
      func rotate(_ first: inout Double, _ second: inout Double) {
        (first, second) = (cosine * first + sine * second, cosine * second - sine * first)
      }
      for column in i..<p - 1 { rotate(&r.row(column)[i], &r.row(column)[i + 1]) }
      let (upper, lower) = (q.row(i), q.row(i + 1))
      for l in 0..<d { rotate(&upper[l], &lower[l]) }
      rotate(&rotated.base[i], &rotated.base[i + 1])
    }
  }

  /// R wanted = −Qᵀt: the multipliers that minimise ‖t + Σ λ_j b_j‖ over the passive rows.
  private func solve() {
    for k in passive.indices { wanted.base[k] = -rotated.base[k] }
    for k in passive.indices.reversed() {
      wanted.base[k] /= r[k, k]
      axpy(k, -wanted.base[k], r.row(k), wanted.base)
    }
  }

  /// residual ← t − Q Qᵀ t, which is t + Σ λ_j b_j for the multipliers of `solve`.
  private func refresh(_ t: UnsafePointer<Double>) {
    let (p, d) = (passive.count, dimension)
    residual.base.update(from: t, count: d)
    gemv(p, d, alpha: -1, q.base, .transposed, rotated.base, beta: 1, residual.base)
    // Once more: the residual may be far smaller than t.
    gemv(p, d, q.base, .plain, residual.base, room.base)
    gemv(p, d, alpha: -1, q.base, .transposed, room.base, beta: 1, residual.base)
  }

  // MARK: The bound

  /// ‖t + Σ λ_j b_j‖, rounded up, for the present multipliers; the proof does not rely on how they were found.
  private func certified(
    _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>,
    _ terms: [(row: Int, multiplier: Double)]
  ) -> Double {
    let d = dimension
    let (high, low) = (room.base, low.base)
    high.update(from: t, count: d)
    low.update(repeating: 0, count: d)
    for (row, multiplier) in terms {
      let factor = signs[row] * (max(0, multiplier) / lengths[row])
      let source = x.row(row)
      for l in 0..<d {
        let product = factor * source[l]
        let error = (-product).addingProduct(factor, source[l])
        let (sum, rounding) = exactSum(high[l], product)
        high[l] = sum
        low[l] += rounding + error
      }
    }
    for l in 0..<d { high[l] += low[l] }
    return lengthRoundedUp(d, high)
  }
}

/// ‖x‖ to within a unit in the last place, and not below it.
func lengthRoundedUp(_ n: Int, _ x: UnsafePointer<Double>) -> Double {
  // Powers of two keep squares from overflow and underflow.
  var largest = 0.0
  for k in 0..<n {
    if !x[k].isFinite { return .infinity }
    largest = max(largest, abs(x[k]))
  }
  guard largest > 0 else { return 0 }
  let unit = Double(sign: .plus, exponent: Int(largest.exponent), significand: 1)
  var sum = CompensatedSum()
  for k in 0..<n { sum.add(x[k] / unit, times: x[k] / unit) }
  return sum.value.squareRoot().nextUp * unit
}
