import LinearAlgebra

/// Non-negative least squares of a few variables: min ‖A x − b‖² over x ≥ 0, by the Gram matrix AᵀA and Aᵀb, with the
/// active-set method of Lawson and Hanson (1974). The Cholesky factor of the free variables grows by a row with each of
/// them, and more variables can be added to a solved problem. The caller must not rely on the answer's precision: it is
/// a heuristic of a bound that is checked afterwards.
final class SmallLeastSquares {
  private let capacity: Int
  private let gram: UnsafeMutablePointer<Double>
  /// The lower Cholesky factor of the Gram matrix of the free variables, in their order.
  private let factor: UnsafeMutablePointer<Double>
  private let right: UnsafeMutablePointer<Double>
  private let trial: UnsafeMutablePointer<Double>
  /// The free variables, in the order in which they became free.
  private let free: UnsafeMutablePointer<Int>
  private var freeCount = 0
  private let isFree: UnsafeMutablePointer<Bool>
  /// x after `solve`.
  let x: UnsafeMutablePointer<Double>
  /// Keeps the memory of the pointers.
  private let storage: Matrix

  /// For at most `capacity` variables.
  init(capacity: Int) {
    self.capacity = capacity
    storage = Matrix(2 * capacity + 3, capacity)
    gram = storage.base
    factor = storage.row(capacity)
    right = storage.row(2 * capacity)
    trial = storage.row(2 * capacity + 1)
    x = storage.row(2 * capacity + 2)
    free = .allocate(capacity: capacity)
    isFree = .allocate(capacity: capacity)
    isFree.initialize(repeating: false, count: capacity)
  }

  deinit {
    free.deallocate()
    isFree.deallocate()
  }

  /// (AᵀA)_ij for j ≤ i.
  func setGram(_ i: Int, _ j: Int, _ value: Double) {
    gram[i * capacity + j] = value
    gram[j * capacity + i] = value
  }

  /// (Aᵀb)_i.
  func setRight(_ i: Int, _ value: Double) { right[i] = value }

  /// Minimises over the first `count` variables, beginning with those of `first` free.
  func solve(_ count: Int, startingWith first: [Int] = []) {
    clear(count)
    for i in first { release(i) }
    settle()
    improve(count)
  }

  /// All of the first `count` variables are 0 and held there.
  func clear(_ count: Int) {
    freeCount = 0
    for i in 0..<count { (x[i], isFree[i]) = (0, false) }
  }

  /// Adds variable i, at 0.
  func add(_ i: Int) { (x[i], isFree[i]) = (0, false) }

  /// Minimises over the first `count` variables from the present ones on.
  func improve(_ count: Int) {
    var largest = 0.0
    for i in 0..<count { largest = max(largest, abs(right[i])) }
    for _ in 0..<3 * count + 10 {
      // The multiplier of each variable at 0: (Aᵀb − AᵀA x)_i.
      var (best, worst) = (-1, 1e-13 * largest)
      for i in 0..<count where !isFree[i] {
        var value = right[i]
        let row = gram + i * capacity
        for k in 0..<freeCount { value -= row[free[k]] * x[free[k]] }
        if value > worst { (best, worst) = (i, value) }
      }
      guard best >= 0, release(best) else { return }
      settle()
    }
  }

  /// Frees variable i; false if it depends on those that are free.
  @discardableResult
  private func release(_ i: Int) -> Bool {
    free[freeCount] = i
    guard extend(to: freeCount) else { return false }
    isFree[i] = true
    freeCount += 1
    return true
  }

  /// Row a of the factor; false if the Gram matrix is singular there.
  private func extend(to a: Int) -> Bool {
    let (row, i) = (factor + a * capacity, free[a])
    for b in 0...a {
      let other = factor + b * capacity
      var sum = gram[i * capacity + free[b]]
      for c in 0..<b { sum -= row[c] * other[c] }
      if a == b {
        guard sum > 1e-14 * gram[i * capacity + i] else { return false }
        row[a] = sum.squareRoot()
      } else {
        row[b] = sum / other[b]
      }
    }
    return true
  }

  /// Solves for the free variables and drops those that turn negative on the way.
  private func settle() {
    while freeCount > 0 {
      solveFree()
      var step = 1.0
      var leaving = -1
      for k in 0..<freeCount where trial[k] <= 0 {
        let value = x[free[k]]
        let length = value <= 0 ? 0 : value / (value - trial[k])
        if leaving < 0 || length < step { (step, leaving) = (length, k) }
        if step == 0 { break }
      }
      for k in 0..<freeCount {
        let i = free[k]
        x[i] += step * (trial[k] - x[i])
      }
      guard leaving >= 0 else { return }
      drop(leaving)
    }
  }

  /// Holds the free variable number k at 0, and others that the rounding of a shorter factor makes dependent.
  private func drop(_ k: Int) {
    (x[free[k]], isFree[free[k]]) = (0, false)
    let after = freeCount
    freeCount = k
    for place in k + 1..<max(after, k + 1) {
      let i = free[place]
      free[freeCount] = i
      if extend(to: freeCount) {
        freeCount += 1
      } else {
        (x[i], isFree[i]) = (0, false)
      }
    }
  }

  /// `trial` ← the minimiser over the free variables alone.
  private func solveFree() {
    for a in 0..<freeCount {
      let row = factor + a * capacity
      var sum = right[free[a]]
      for c in 0..<a { sum -= row[c] * trial[c] }
      trial[a] = sum / row[a]
    }
    var a = freeCount - 1
    while a >= 0 {
      var sum = trial[a]
      for c in a + 1..<max(a + 1, freeCount) { sum -= factor[c * capacity + a] * trial[c] }
      trial[a] = sum / factor[a * capacity + a]
      a -= 1
    }
  }
}
