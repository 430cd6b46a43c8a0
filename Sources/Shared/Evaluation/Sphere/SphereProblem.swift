/// f(u) = Σ_i w_i (x_i·u)_+ for the weights of one search, divided by its scale T = Σ_i |w_i| ‖x_i‖ >= |f|.
final class SphereProblem {
  typealias Numbers = UnsafeMutablePointer<Double>

  /// Half a unit in the last place of 1.
  static let rounding = 0.5 * Double.ulpOfOne

  let rows: SphereRows
  let weights: [Double]
  /// T, and the part of the positive weights, which bounds f.
  let scale: Double
  let positiveScale: Double
  /// ‖Σ_i |w_i| |x_i - its part on the hyperplane|‖ / T.
  let deviation: Double
  /// |f(u)| is exact up to this for a u of length at most 1.
  let valueError: Double
  /// The kinks that remain after merging: hyperplane, weight / T (its sign decides the kind).
  private(set) var kinks: [(plane: Int, weight: Double)] = []
  /// What is linear: f/T = linear·u + Σ weight (normal·u)_+.
  private(set) var linear: [Double]
  /// How much the weights of hyperplanes that were left out sum to.
  private(set) var omitted = 0.0

  init(rows: SphereRows, weights: [Double]) {
    self.rows = rows
    self.weights = weights
    var (positive, negative, deviation, weightSum) = (0.0, 0.0, 0.0, 0.0)
    let isComplete = rows.isFinite && weights.count == rows.count
    for i in 0..<rows.count where isComplete {
      let size = abs(weights[i]) * abs(rows.lengths[i])
      if weights[i] > 0 { positive += size } else { negative += size }
      deviation += abs(weights[i]) * rows.deviations[i]
      weightSum += abs(weights[i])
    }
    scale = isComplete ? positive + negative : .nan
    positiveScale = isComplete ? positive : .nan
    self.deviation = scale > 0 ? deviation / scale : 0
    let terms = Double(rows.count + 2 * rows.rank + 8)
    valueError = terms * Self.rounding * scale + weightSum * terms * Double.leastNonzeroMagnitude
    linear = [Double](repeating: 0, count: rows.rank)
    if isSearchable { merge() }
  }

  /// Whether numbers divided by T are as good as any.
  var isSearchable: Bool { scale.isFinite && scale > 1e-280 && scale < 1e300 }

  private func merge() {
    let r = rows.rank
    var ahead = [Double](repeating: 0, count: rows.planeCount)
    var behind = ahead
    for i in 0..<rows.count where rows.planes[i] >= 0 {
      // The product first: the length alone could overflow with 1 / T.
      let size = weights[i] * rows.lengths[i] / scale
      if rows.lengths[i] > 0 {
        ahead[rows.planes[i]] += size
      } else {
        behind[rows.planes[i]] -= size
      }
    }
    for plane in 0..<rows.planeCount {
      let weight = ahead[plane] + behind[plane]
      for k in 0..<r { linear[k] -= behind[plane] * rows.normals[plane * r + k] }
      // Where both sides cancel up to rounding there is no kink.
      if abs(weight) > 4 * Double.ulpOfOne * (abs(ahead[plane]) + abs(behind[plane])) {
        kinks.append((plane, weight))
      } else {
        omitted += abs(weight)
      }
    }
  }

  /// The room for rounding, relative to T, in the bound of any cone at most `depth` splits below a root.
  ///
  /// A ray at depth D and the products with it are combinations of those of the root, rounded D times; the vertices of
  /// the root's simplex are at most r times as long as its points, so that they are exact up to r (r + 4 D) u for a row
  /// of length 1 (u = 2^-53). Sums over n rows are exact up to n u times the sum of magnitudes, at most T; values that
  /// are carried from ray to ray in the same way, up to r (n + 4 D) u T. The merged weights are sums, too (n u T), and
  /// their normals, the bundle's mixture, p·r_k, ‖p‖ and the scale are exact up to a few r u T.
  func room(depth: Int) -> Double {
    let (r, n) = (Double(rows.rank), Double(rows.count))
    return Self.rounding * (r + 3) * (n + 4 * Double(depth) + 4 * r + 32) + deviation + omitted
  }

  /// f(u), not divided.
  func value(_ u: Numbers) -> Double {
    let r = rows.rank
    var sum = 0.0
    for i in 0..<rows.count {
      let product = SphereKernel.dot(rows.values + i &* r, u, r)
      if product > 0 { sum += weights[i] * product }
    }
    return sum
  }

  /// f(u) / T, and a (sub)gradient into `gradient`.
  private func slope(_ u: Numbers, _ gradient: Numbers) -> Double {
    let r = rows.rank
    for k in 0..<r { gradient[k] = 0 }
    for i in 0..<rows.count {
      let row = rows.values + i &* r
      guard SphereKernel.dot(row, u, r) > 0 else { continue }
      let weight = weights[i] / scale
      for k in 0..<r { gradient[k] += weight * row[k] }
    }
    return SphereKernel.dot(gradient, u, r)
  }

  /// Makes the length of u one, or slightly less: at most 1 whatever the rounding. False if it has none.
  func normalize(_ u: Numbers) -> Bool {
    let r = rows.rank
    let norm = SphereKernel.dot(u, u, r).squareRoot()
    guard norm.isFinite, norm > 1e-150 else { return false }
    let factor = (1 - Double(r + 8) * Self.rounding) / norm
    for k in 0..<r { u[k] *= factor }
    return true
  }

  /// Raises f from u along the sphere: to the direction of the gradient, or less far as long as f does not rise.
  /// Returns f(u) / T. `room` has 2 r numbers.
  func ascend(_ u: Numbers, room: Numbers) -> Double {
    let r = rows.rank
    let (gradient, trial) = (room, room + r)
    guard normalize(u) else { return -.infinity }
    var value = slope(u, gradient)
    for _ in 0..<60 {
      let norm = SphereKernel.dot(gradient, gradient, r).squareRoot()
      guard norm.isFinite, norm > 1e-100 else { return value }
      var share = 1.0
      var next = -Double.infinity
      let direction = (0..<r).map { gradient[$0] / norm }
      while share > 1e-6 {
        for k in 0..<r { trial[k] = u[k] + share * (direction[k] - u[k]) }
        if normalize(trial) { next = slope(trial, gradient) }
        if next > value { break }
        share *= 0.25
      }
      guard next > value else { return value }
      let isSmall = next - value < 1e-9 * abs(next)
      for k in 0..<r { u[k] = trial[k] }
      value = next
      if isSmall { return value }
    }
    return value
  }
}
