import LinearAlgebra

/// Non-negative least squares of a few variables: min ‖A x − b‖² over x ≥ 0, by the Gram matrix AᵀA and Aᵀb, with the
/// active-set method of Lawson and Hanson (1974). The caller must not rely on the answer's precision: it is a heuristic of
/// a bound that is checked afterwards.
struct SmallLeastSquares {
  private let capacity: Int
  private let gram: UnsafeMutablePointer<Double>
  private let factor: UnsafeMutablePointer<Double>
  private let right: UnsafeMutablePointer<Double>
  private let trial: UnsafeMutablePointer<Double>
  private var passive: [Int] = []
  private var isPassive: [Bool]
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
    isPassive = Array(repeating: false, count: capacity)
    passive.reserveCapacity(capacity)
  }

  /// (AᵀA)_ij for j ≤ i.
  func setGram(_ i: Int, _ j: Int, _ value: Double) {
    gram[i * capacity + j] = value
    gram[j * capacity + i] = value
  }

  /// (Aᵀb)_i.
  func setRight(_ i: Int, _ value: Double) { right[i] = value }

  /// Minimises over the first `count` variables, beginning with those of `first` free.
  mutating func solve(_ count: Int, startingWith first: [Int] = []) {
    passive.removeAll(keepingCapacity: true)
    for i in 0..<count { (x[i], isPassive[i]) = (0, false) }
    var largest = 0.0
    for i in 0..<count { largest = max(largest, abs(right[i])) }
    if !first.isEmpty {
      passive += first
      for i in first { isPassive[i] = true }
      settle()
    }
    for _ in 0..<3 * count + 10 {
      // The multiplier of each variable at 0: (Aᵀb − AᵀA x)_i.
      var (best, worst) = (-1, 1e-13 * largest)
      for i in 0..<count where !isPassive[i] {
        var value = right[i]
        for j in passive { value -= gram[i * capacity + j] * x[j] }
        if value > worst { (best, worst) = (i, value) }
      }
      guard best >= 0 else { return }
      passive.append(best)
      isPassive[best] = true
      if !settle() { return }
    }
  }

  /// Solves for the free variables and drops those that turn negative on the way. False if the last one that became free
  /// depends on the others.
  @discardableResult
  private mutating func settle() -> Bool {
    while !passive.isEmpty {
      guard solvePassive() else {
        let last = passive.removeLast()
        (isPassive[last], x[last]) = (false, 0)
        return false
      }
      var step = 1.0
      var leaving = -1
      for (k, i) in passive.enumerated() where trial[k] <= 0 {
        let length = x[i] / (x[i] - trial[k])
        if x[i] <= 0 || length < step { (step, leaving) = (x[i] <= 0 ? 0 : length, k) }
        if step == 0 { break }
      }
      for (k, i) in passive.enumerated() { x[i] += step * (trial[k] - x[i]) }
      guard leaving >= 0 else { return true }
      let gone = passive.remove(at: leaving)
      (isPassive[gone], x[gone]) = (false, 0)
    }
    return true
  }

  /// `trial` ← the minimiser over the free variables alone; false if their Gram matrix is singular.
  private func solvePassive() -> Bool {
    let m = passive.count
    for (a, i) in passive.enumerated() {
      for b in 0...a {
        var sum = gram[i * capacity + passive[b]]
        for c in 0..<b { sum -= factor[a * capacity + c] * factor[b * capacity + c] }
        if a == b {
          guard sum > 1e-14 * gram[i * capacity + i] else { return false }
          factor[a * capacity + a] = sum.squareRoot()
        } else {
          factor[a * capacity + b] = sum / factor[b * capacity + b]
        }
      }
    }
    for a in 0..<m {
      var sum = right[passive[a]]
      for c in 0..<a { sum -= factor[a * capacity + c] * trial[c] }
      trial[a] = sum / factor[a * capacity + a]
    }
    for a in (0..<m).reversed() {
      var sum = trial[a]
      for c in a + 1..<max(a + 1, m) { sum -= factor[c * capacity + a] * trial[c] }
      trial[a] = sum / factor[a * capacity + a]
    }
    return true
  }
}
