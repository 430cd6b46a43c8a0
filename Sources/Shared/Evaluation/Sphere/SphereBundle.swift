/// A bundle of tangents of one cone, and the best bound that it gives.
///
/// On the cone K = {Rc : c >= 0} of the r rays in the columns of R, each tangent is a vector g of its values at the
/// rays with f(Rc) <= g·c, and so is every mixture of tangents. The mixture with the least bound has the point q = R^-T
/// (Σ λ_j g_j + μ) of least length, λ in the simplex and μ >= 0. It is found by an active-set method (Lawson and
/// Hanson, 1974) on λ and μ, where the rays with μ_k = 0 are the support and q lies in their span. Products of rays
/// with each other are never formed: the rays of a small cone are nearly parallel, and the triangular factor of the
/// rays themselves keeps twice as many digits.
final class SphereBundle {
  typealias Numbers = UnsafeMutablePointer<Double>
  typealias Indices = UnsafeMutablePointer<Int>

  let rank: Int
  let capacity: Int
  /// The rays (`rank` numbers each) of the present cone. They belong to it.
  private(set) var rays: Numbers
  /// Row j has the values of tangent j at the rays.
  let tangents: Numbers
  private(set) var count = 0

  /// The coefficients of the rays at the nearest point, zero off the support.
  let c: Numbers
  /// The nearest point p = Rc, and the values g of the mixture.
  let point: Numbers
  let mixture: Numbers
  /// ‖p‖.
  var length = 0.0
  /// ‖h‖ for an h with h·r_k >= 1 for all k.
  private var interior = Double.infinity

  /// The tangents with weights and their weights; a new one is last.
  let active: Indices
  var activeCount = 0
  let weights: Numbers
  let nextWeights: Numbers
  private let inactive: UnsafeMutablePointer<Bool>
  /// The rays of the support, in the order of the columns of `basis`.
  let support: Indices
  var supportCount = 0
  let isOff: UnsafeMutablePointer<Bool>
  /// What has been tried in vain and may not be tried again.
  private let isBarredRay: UnsafeMutablePointer<Bool>
  private let isBarredTangent: UnsafeMutablePointer<Bool>
  /// Whether `solve` has been called for the present support and active tangents.
  private var isSolved = false
  private let multipliers: Numbers
  let nextMultipliers: Numbers
  /// R_S = basis · triangle; `inverses` are those of the diagonal. `images` row j solves triangle^T y = g_j.
  let basis: Numbers
  let triangle: Numbers
  let inverses: Numbers
  let images: Numbers
  /// Room for the least-squares problem of the weights.
  let differences: Numbers
  let upper: Numbers
  let right: Numbers
  let image: Numbers
  private let pool: Numbers
  private let indexPool: Indices
  private let flagPool: UnsafeMutablePointer<Bool>

  init(rank: Int) {
    self.rank = rank
    capacity = rank + 6
    let size = 3 * rank * rank + capacity * (3 * rank + capacity + 4) + 8 * rank
    pool = .allocate(capacity: size)
    pool.initialize(repeating: 0, count: size)
    indexPool = .allocate(capacity: rank + capacity)
    indexPool.initialize(repeating: 0, count: rank + capacity)
    flagPool = .allocate(capacity: 2 * (rank + capacity))
    flagPool.initialize(repeating: false, count: 2 * (rank + capacity))
    var next = pool
    func take(_ count: Int) -> Numbers {
      defer { next += count }
      return next
    }
    rays = pool
    tangents = take(capacity * rank)
    (c, point, mixture) = (take(rank), take(rank), take(rank))
    (weights, nextWeights) = (take(capacity), take(capacity))
    (multipliers, nextMultipliers) = (take(rank), take(rank))
    (basis, triangle, inverses) = (take(rank * rank), take(rank * rank), take(rank))
    (images, differences) = (take(capacity * rank), take(capacity * rank))
    (upper, right, image) = (take(capacity * capacity), take(capacity), take(rank))
    (active, support) = (indexPool, indexPool + capacity)
    (isOff, isBarredRay) = (flagPool, flagPool + rank)
    (inactive, isBarredTangent) = (flagPool + 2 * rank, flagPool + 2 * rank + capacity)
  }

  deinit {
    pool.deallocate()
    indexPool.deallocate()
    flagPool.deallocate()
  }

  /// Begins a cone without tangents.
  func begin(rays: Numbers) {
    self.rays = rays
    count = 0
    activeCount = 0
    // h = Σ r_j / min_k r_k·Σ r_j, or that of the root: the vertices of the simplex have product 1 with -r times the
    // one left out, of length r, and a ray of length 1 is a sum of vertices with coefficients that sum to at least 1.
    for i in 0..<rank { image[i] = 0 }
    for k in 0..<rank {
      for i in 0..<rank { image[i] += rays[k &* rank &+ i] }
    }
    var least = Double.infinity
    for k in 0..<rank { least = min(least, product(k, image)) }
    let norm = SphereKernel.dot(image, image, rank).squareRoot()
    // The rounding of the rays and their products is far below a thousandth.
    interior = 1.001 * (least > 1e-9 ? min(norm / least, Double(rank)) : Double(rank))
  }

  /// r_k·x.
  @inline(__always)
  func product(_ k: Int, _ x: Numbers) -> Double { SphereKernel.dot(rays + k &* rank, x, rank) }

  /// A row for the values of one more tangent, or `nil` if there is no place even for it. Tangents without weight are
  /// forgotten if the place is short.
  func addTangent() -> Numbers? {
    if count == capacity {
      guard activeCount < capacity else { return nil }
      compact()
    }
    inactive[count] = true
    count &+= 1
    return tangents + (count &- 1) &* rank
  }

  /// Keeps only the tangents that have weights.
  private func compact() {
    var kept = 0
    for j in 0..<count where !inactive[j] {
      for a in 0..<activeCount where active[a] == j { active[a] = kept }
      for i in 0..<rank {
        tangents[kept &* rank &+ i] = tangents[j &* rank &+ i]
        images[kept &* rank &+ i] = images[j &* rank &+ i]
      }
      inactive[kept] = false
      kept &+= 1
    }
    count = kept
  }

  /// A bound of f on the part of the cone with ‖Rc‖ <= 1, for the mixture that `minimize` found:
  /// g·c <= p·Rc + max_k (g_k - p·r_k)_+ Σ c_k, and Σ c_k <= h·Rc <= ‖h‖. True for every p, however bad.
  func bound() -> Double {
    for k in 0..<rank { mixture[k] = 0 }
    var sum = 0.0
    for a in 0..<activeCount {
      sum += weights[a]
      for k in 0..<rank { mixture[k] += weights[a] * tangents[active[a] &* rank &+ k] }
    }
    guard sum > 0 else { return .infinity }
    var excess = 0.0
    for k in 0..<rank { excess = max(excess, mixture[k] / sum - product(k, point)) }
    return excess > 0 ? length + interior * excess : length
  }

  /// Puts the whole weight on the first tangent and finds the nearest point for it. The rays with negative coefficients
  /// leave the support and those with negative multipliers enter it, all at once, which as a rule soon ends (block
  /// pivoting). If not, the active set begins with all rays. The support is guessed: where `guess` is above a share.
  func start(guess: Numbers, above share: Double) {
    isSolved = false
    activeCount = 1
    active[0] = 0
    inactive[0] = false
    weights[0] = 1
    for k in 0..<rank {
      multipliers[k] = 0
      isOff[k] = !(guess[k] > share)
    }
    if exchange() { return }
    for k in 0..<rank {
      multipliers[k] = 0
      isOff[k] = false
    }
    _ = enterSupport()
  }

  /// Makes all rays that are not off the support.
  private func enterSupport() -> Bool {
    supportCount = 0
    for k in 0..<rank where !isOff[k] {
      support[supportCount] = k
      supportCount &+= 1
    }
    return factor(from: 0)
  }

  private func exchange() -> Bool {
    let tolerance = self.tolerance
    for _ in 0..<6 {
      guard enterSupport(), solve() else { return false }
      var largest = 0.0
      for k in 0..<rank { largest = max(largest, abs(c[k])) }
      var isDone = true
      for k in 0..<rank {
        let isWrong = isOff[k] ? nextMultipliers[k] < -tolerance : c[k] < -Self.negligible * largest
        if isWrong {
          isOff[k].toggle()
          isDone = false
        }
      }
      if isDone {
        for k in 0..<rank { multipliers[k] = isOff[k] ? max(0, nextMultipliers[k]) : 0 }
        isSolved = true
        return true
      }
    }
    return false
  }

  /// Coefficients are rounded to about that, relative to the largest.
  private static let negligible = 1e-13

  /// Values nearer to zero than this are rounding.
  private var tolerance: Double {
    var scale = 0.0
    for k in 0..<rank { scale = max(scale, abs(tangents[k])) }
    return 1e-14 * scale
  }

  // MARK: The active set

  /// Minimises ‖q‖ over the mixtures. A failure (rays that are dependent in double precision, or no end) leaves the
  /// last point, for which `bound` holds as for any other.
  func minimize() {
    let tolerance = self.tolerance
    for k in 0..<rank { isBarredRay[k] = false }
    for j in 0..<count { isBarredTangent[j] = false }
    // The newest tangent enters: it is there because it cuts off the present point.
    if count > 1, inactive[count &- 1] {
      enter(count &- 1)
      isSolved = false
    }
    var entered = -1
    for _ in 0..<(8 &* (rank &+ 4)) {
      if !isSolved, !solve() { return }
      isSolved = false
      if let step = blockedStep(tolerance) {
        if step.length <= 0 {
          if !step.isRay {
            isBarredTangent[active[step.index]] = true
          } else if step.index == entered {
            isBarredRay[step.index] = true
          }
        }
        guard move(step) else { return }
        continue
      }
      for a in 0..<activeCount { weights[a] = max(0, nextWeights[a]) }
      for k in 0..<rank { multipliers[k] = isOff[k] ? max(0, nextMultipliers[k]) : 0 }
      if let ray = mostNegativeRay() {
        entered = ray
        guard factor(from: removeFromSupport(ray)) else { return }
      } else if let tangent = mostViolatedTangent(tolerance) {
        enter(tangent)
      } else {
        return
      }
    }
  }

  private func enter(_ tangent: Int) {
    active[activeCount] = tangent
    weights[activeCount] = 0
    inactive[tangent] = false
    activeCount &+= 1
    substitute(tangent, from: 0)
  }

  private struct Step {
    var length: Double
    var isRay: Bool
    var index: Int
  }

  /// How far the weights and multipliers can move to the next ones, and which becomes zero first; `nil` if none does.
  private func blockedStep(_ tolerance: Double) -> Step? {
    var step = Step(length: 1, isRay: false, index: -1)
    for a in 0..<activeCount where nextWeights[a] < 0 {
      let length = weights[a] / (weights[a] - nextWeights[a])
      if step.index < 0 || length < step.length {
        step = Step(length: length, isRay: false, index: a)
      }
    }
    for k in 0..<rank where isOff[k] && nextMultipliers[k] < -tolerance {
      let length = multipliers[k] / (multipliers[k] - nextMultipliers[k])
      if step.index < 0 || length < step.length {
        step = Step(length: length, isRay: true, index: k)
      }
    }
    return step.index < 0 ? nil : step
  }

  /// Moves that far, and takes what became zero out. False if the factor fails.
  private func move(_ step: Step) -> Bool {
    let t = step.length
    for a in 0..<activeCount { weights[a] = max(0, weights[a] + t * (nextWeights[a] - weights[a])) }
    for k in 0..<rank where isOff[k] {
      multipliers[k] = max(0, multipliers[k] + t * (nextMultipliers[k] - multipliers[k]))
    }
    if step.isRay {
      isOff[step.index] = false
      multipliers[step.index] = 0
      support[supportCount] = step.index
      supportCount &+= 1
      return factor(from: supportCount &- 1)
    }
    drop(step.index)
    return activeCount > 0
  }

  /// Takes the tangent at this place out of the active ones.
  func drop(_ place: Int) {
    inactive[active[place]] = true
    activeCount &-= 1
    for a in place..<max(place, activeCount) {
      active[a] = active[a &+ 1]
      weights[a] = weights[a &+ 1]
    }
  }

  private func mostNegativeRay() -> Int? {
    var largest = 0.0
    for k in 0..<rank { largest = max(largest, abs(c[k])) }
    var worst: Int?
    var least = -Self.negligible * largest
    for i in 0..<supportCount where c[support[i]] < least && !isBarredRay[support[i]] {
      least = c[support[i]]
      worst = support[i]
    }
    return worst
  }

  /// Returns the place where it was.
  private func removeFromSupport(_ ray: Int) -> Int {
    var place = 0
    while place < supportCount &- 1, support[place] != ray { place &+= 1 }
    supportCount &-= 1
    for i in place..<max(place, supportCount) { support[i] = support[i &+ 1] }
    isOff[ray] = true
    multipliers[ray] = 0
    return place
  }

  /// The tangent without weight whose value at the point is lowest, if that is below the mixture's, ‖p‖².
  private func mostViolatedTangent(_ tolerance: Double) -> Int? {
    guard activeCount < supportCount else { return nil }
    var worst: Int?
    var least = length * length - 1e3 * tolerance * length
    for j in 0..<count where inactive[j] && !isBarredTangent[j] {
      let value = SphereKernel.dot(tangents + j &* rank, c, rank)
      if value < least {
        least = value
        worst = j
      }
    }
    return worst
  }
}
