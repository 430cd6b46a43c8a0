/// An upper bound of a quadratic on the unit sphere that is attained up to rounding.
///
/// The maximum over ‖u‖ = 1 of uᵀA u + 2 gᵀu equals, by strong duality of the trust-region problem,
/// the minimum over μ > λ_max of μ + Σ (vᵢᵀg)²/(μ − λᵢ), and every such μ gives an upper bound. With
/// δ = μ − λ_max and the gaps λ_max − λᵢ no digits cancel, and the hard case (g orthogonal to the top
/// eigenspace) is the boundary δ = 0. Moré and Sorensen, "Computing a trust region step", 1983.
package struct SphereBound {
  /// An upper bound of the maximum.
  package let value: Double
  /// μ − λ_max at the minimum.
  package let shift: Double

  /// `top` is λ_max, `gaps` are the λ_max − λᵢ ≥ 0, `weights` the vᵢᵀg.
  package init(top: Double, gaps: [Double], weights: [Double]) {
    precondition(gaps.count == weights.count && !gaps.isEmpty)
    // The shift δ solves Σ (wᵢ/(δ + gᵢ))² = 1, or is 0 if that sum is at most 1 for δ = 0.
    func slope(_ shift: Double) -> (sum: Double, derivative: Double) {
      var sum = 0.0
      var derivative = 0.0
      for (gap, weight) in zip(gaps, weights) where weight != 0 {
        let ratio = weight / (shift + gap)
        sum += ratio * ratio
        derivative += ratio * ratio / (shift + gap)
      }
      return (sum, derivative)
    }
    let length = weights.reduce(0) { $0 + $1 * $1 }.squareRoot()
    // No term may exceed 1, and at δ = ‖w‖ the sum is at most 1.
    var low = zip(gaps, weights).reduce(0) { max($0, abs($1.1) - $1.0) }
    var high = max(low, length)
    var shift = low
    if length > 0, low > 0 || slope(0).sum > 1 {
      for _ in 0..<100 {
        let (sum, derivative) = slope(shift)
        if sum > 1 { low = shift } else { high = shift }
        // Newton on 1/√sum, which is nearly linear in δ; bisection if it leaves the bracket.
        var next = shift + sum * (sum.squareRoot() - 1) / derivative
        if !(next > low && next < high) { next = 0.5 * (low + high) }
        if abs(next - shift) <= 1e-15 * next { break }
        shift = next
      }
    }
    var bound = top + shift
    for (gap, weight) in zip(gaps, weights) where weight != 0 {
      bound += weight * (weight / (shift + gap))
    }
    // The rounding of the eigendecomposition and of these sums.
    let scale = abs(top) + (gaps.max() ?? 0) + length
    value = bound + Double(gaps.count + 8) * 0.5 * Double.ulpOfOne * scale
    self.shift = shift
  }
}
