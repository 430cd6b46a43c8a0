import Convex
import LinearAlgebra
import Tensors

/// Searches for the neurons of the largest price s νᵀ(Xu)₊ (pooled: s Σ_i ν_i (1/K) Σ_k (x_ik·u)₊), ‖u‖ = 1: the dual
/// constraint of ReLU networks over all patterns is that none exceeds β.
///
/// Ascents begin at many directions at once; those that end highest climb on alone by L-BFGS, or, where the last digits do
/// not matter, together. The largest price found is an estimate from below, never a bound.
struct NeuronPricing {
  let pass: BlockPass

  /// A unit direction with its sign, output and price.
  struct Candidate {
    var direction: [Double]
    let sign: Double
    let output: Int
    var price: Double
  }

  /// Of few numbers hills are narrow, and rounds cheap.
  private var rounds: Int { pass.rows.isSmall ? 50 : 30 }
  /// The rounds if no ascent climbs on alone: a single direction costs as much as some of a batch.
  private static let roundsTogether = 60

  /// Local maxima from the directions of `starts` (of any length, each with its sign and output), the largest price
  /// first, without those that nearly equal a larger one. At most `polished` are climbed to the top.
  func maxima(
    _ nu: Matrix, from starts: Neurons, polished: Int, proceed: () -> Bool
  ) -> [Candidate] {
    var found = ascend(nu, starts, together: polished == 0, proceed)
    found.sort { $0.price > $1.price }
    var result: [Candidate] = []
    for candidate in found where candidate.price > 0 {
      let isKnown = result.contains { isSame($0, candidate, 1e-3) }
      if !isKnown { result.append(candidate) }
    }
    for k in result.indices.prefix(polished) where proceed() { climb(&result[k], nu) }
    return distinct(result)
  }

  private func isSame(_ a: Candidate, _ b: Candidate, _ distance: Double) -> Bool {
    a.sign == b.sign && a.output == b.output
      && dot(a.direction.count, a.direction, b.direction) > 1 - distance
  }

  /// Each ascent steps along the sphere in the direction of its gradient; a step that gains is taken and the next is
  /// longer, another is tried again shorter. Hills of few samples are narrow: steps to the gradient itself, the best u
  /// of a pattern, pass over them. The lower half of the ascents is given up now and then.
  private func ascend(
    _ nu: Matrix, _ starts: Neurons, together: Bool, _ proceed: () -> Bool
  ) -> [Candidate] {
    guard starts.count > 0 else { return [] }
    var climbers = Climbers(starts, dimension: pass.rows.dimension)
    let rounds = together ? NeuronPricing.roundsTogether : rounds
    for round in 0..<rounds where round == 0 || proceed() {
      differentiate(nu, climbers.tried, climbers.starts, into: climbers.gradient)
      climbers.step()
      if round % 10 == 9 || (together && round > 9 && round % 5 == 4) {
        climbers.keepBetterHalf(atLeast: 48)
      }
    }
    return climbers.candidates
  }

  /// `gradient` ← the gradients of the prices of the rows of `u`.
  private func differentiate(_ nu: Matrix, _ u: Matrix, _ starts: Neurons, into gradient: Matrix) {
    let (m, classes) = (starts.count, nu.columns)
    guard m > 0 else { return }
    _ = pass.prepare(m)
    pass.run(u.base, m, gradient: gradient.base) { _, samples, _, g in
      let count = samples.count
      for j in 0..<m {
        let (sign, target) = (starts.signs[j], g + j * count)
        let dual = nu.base + samples.lowerBound * classes + starts.outputs[j]
        for i in 0..<count { target[i] = sign * dual[i * classes] }
      }
    }
  }

  /// The largest price first, without directions that nearly equal another.
  func distinct(_ candidates: [Candidate]) -> [Candidate] {
    var result: [Candidate] = []
    for candidate in candidates.sorted(by: { $0.price > $1.price })
    where !result.contains(where: { isSame($0, candidate, 1e-10) }) {
      result.append(candidate)
    }
    return result
  }

  /// ‖Xᵀ D_j ν‖ (pooled) for output c of ν, where D_j is the pattern of direction j.
  func lengths(_ nu: Matrix, output c: Int, at directions: Matrix) -> [Double] {
    let (m, d) = (directions.rows, pass.rows.dimension)
    let gradient = Matrix(m, d)
    let starts = Neurons(
      filters: Matrix(0, d), signs: Array(repeating: 1, count: m),
      outputs: Array(repeating: c, count: m))
    differentiate(nu, directions, starts, into: gradient)
    return (0..<m).map { norm(d, gradient.row($0)) }
  }

  /// Climbs to the top of the hill of `candidate`.
  private func climb(_ candidate: inout Candidate, _ nu: Matrix) {
    let d = pass.rows.dimension
    let starts = Neurons(
      filters: Matrix(0, d), signs: [candidate.sign], outputs: [candidate.output])
    let slope = Matrix(1, d)
    // −price/‖u‖.
    func function(_ u: UnsafePointer<Double>, _ gradient: UnsafeMutablePointer<Double>) -> Double {
      let row = Matrix(1, d)
      row.base.update(from: u, count: d)
      let length = norm(d, u)
      guard length > 0 else { return .infinity }
      differentiate(nu, row, starts, into: slope)
      let price = dot(d, u, slope.base) / length
      for k in 0..<d { gradient[k] = -(slope.base[k] - price * u[k] / length) / length }
      return -price
    }
    let method = QuasiNewton(
      at: Matrix(1, d, candidate.direction), memory: min(40, 2 * d), function)
    var past = method.value
    for step in 1...80 {
      guard method.advance(function) else { break }
      if step % 8 == 0 {
        if past - method.value <= 1e-11 * abs(method.value) { break }
        past = method.value
      }
    }
    guard -method.value > candidate.price else { return }
    let length = norm(d, method.point.base)
    candidate.direction = method.point.values.map { $0 / length }
    candidate.price = -method.value
  }

}
