import LinearAlgebra

/// Neural decomposition (Bartan & Pilanci 2021, section 5; Sturm & Zhang 2003): Z ⪰ 0 with ⟨J, Z⟩ = 0,
/// J = diag(I, −1), is a sum of at most rank Z terms p pᵀ with pᵀJp = 0. With p = [q; s], ‖q‖ = |s|, a
/// term is a neuron with the unit-norm filter u = q/s and the weight s².
package enum NeuralDecomposition {
  /// A neuron of one block: ‖filter‖ = 1, weight > 0.
  package struct Neuron {
    package var filter: [Double]
    package var weight: Double
  }

  /// Decomposes Z (order × order, row-major). Eigenvalues of at most `cutoff` are dropped; scaling the last coordinate
  /// then restores the trace.
  package static func neurons(
    _ z: UnsafePointer<Double>, order m: Int, cutoff: Double
  ) -> [Neuron] {
    let vectors = Matrix(m, m)
    vectors.base.update(from: z, count: m * m)
    let eigen = SymmetricEigensolver(order: m)
    guard eigen.decompose(vectors.base) else { return [] }
    var terms: [[Double]] = []
    for k in 0..<m where eigen.values[k] > max(0, cutoff) {
      let root = eigen.values[k].squareRoot()
      terms.append((0..<m).map { root * vectors[k, $0] })
    }
    guard restoreTrace(&terms) else { return [] }
    return decompose(terms).compactMap(neuron)
  }

  /// Decomposes Z − Z' = `z` − `other` for an even activation, a t² + c. Of Z such a network has Z₁ alone: z₄ = tr Z₁, and z₂
  /// meets features that are zero. So the eigenvectors of Z₁ − Z₁', which are at most d and orthonormal, are its filters, and
  /// their eigenvalues its weights: Σ |λ| = ‖Z₁ − Z₁'‖_* ≤ z₄ + z₄'. Eigenvalues whose size is at most `cutoff` are dropped.
  package static func neurons(
    _ z: UnsafePointer<Double>, minus other: UnsafePointer<Double>, order m: Int, cutoff: Double
  ) -> (positive: [Neuron], negative: [Neuron]) {
    let d = m - 1
    let vectors = Matrix(d, d)
    for i in 0..<d { for j in 0..<d { vectors[i, j] = z[i * m + j] - other[i * m + j] } }
    let eigen = SymmetricEigensolver(order: d)
    guard eigen.decompose(vectors.base) else { return ([], []) }
    var (positive, negative): ([Neuron], [Neuron]) = ([], [])
    for k in 0..<d where abs(eigen.values[k]) > max(0, cutoff) {
      let neuron = Neuron(
        filter: (0..<d).map { vectors[k, $0] }, weight: abs(eigen.values[k]))
      if eigen.values[k] > 0 { positive.append(neuron) } else { negative.append(neuron) }
    }
    return (positive, negative)
  }

  /// Scales the last coordinates so that Σ pᵀJp = 0; false if there is nothing to scale.
  private static func restoreTrace(_ terms: inout [[Double]]) -> Bool {
    var first = 0.0
    var last = 0.0
    for p in terms {
      for x in p.dropLast() { first += x * x }
      last += p.last! * p.last!
    }
    guard first > 0, last > 0 else { return false }
    let factor = (first / last).squareRoot()
    for k in terms.indices { terms[k][terms[k].count - 1] *= factor }
    return true
  }

  /// xᵀ J y.
  private static func form(_ x: [Double], _ y: [Double]) -> Double {
    var sum = 0.0
    for i in 0..<x.count - 1 { sum += x[i] * y[i] }
    return sum - x.last! * y.last!
  }

  /// Rotates pairs with forms of opposite sign until every form is zero.
  private static func decompose(_ terms: [[Double]]) -> [[Double]] {
    var open = terms
    var values = open.map { form($0, $0) }
    var done: [[Double]] = []
    while open.count > 1 {
      let i = values.indices.max { values[$0] < values[$1] }!
      let k = values.indices.min { values[$0] < values[$1] }!
      // The forms add up to zero: if none is positive or none is negative, all are.
      guard values[i] > 0, values[k] < 0 else { break }
      // (p + t r)ᵀJ(p + t r) = f_pp + 2 t f_pr + t² f_rr = 0, f_pp > 0 > f_rr: take the root without cancellation.
      let (p, r) = (open[i], open[k])
      let cross = form(p, r)
      let root = (cross * cross - values[i] * values[k]).squareRoot()
      let t =
        cross >= 0
        ? (-cross - root) / values[k] : values[i] / (root - cross)
      let other =
        cross >= 0
        ? values[i] / (-cross - root) : (root - cross) / values[k]
      let s = abs(t) < abs(other) ? t : other
      let length = (1 + s * s).squareRoot()
      var zero = p
      var rest = r
      for x in p.indices {
        zero[x] = (p[x] + s * r[x]) / length
        rest[x] = (r[x] - s * p[x]) / length
      }
      done.append(zero)
      for index in [max(i, k), min(i, k)] {
        open.remove(at: index)
        values.remove(at: index)
      }
      open.append(rest)
      values.append(form(rest, rest))
    }
    return done + open
  }

  private static func neuron(_ p: [Double]) -> Neuron? {
    var square = 0.0
    for x in p.dropLast() { square += x * x }
    let length = square.squareRoot()
    let s = p.last!
    guard length > 0, s != 0 else { return nil }
    // s q = s² u with ‖u‖ = 1: the rounding in ‖q‖ = |s| is spread evenly over both.
    let sign = s < 0 ? -1.0 : 1.0
    return Neuron(filter: p.dropLast().map { sign * $0 / length }, weight: abs(s) * length)
  }

  /// Σ weight [u; 1][u; 1]ᵀ into `target` (order × order).
  package static func compose(
    _ neurons: [Neuron], order m: Int, into target: UnsafeMutablePointer<Double>
  ) {
    let terms = Matrix(max(1, neurons.count), m)
    for (k, neuron) in neurons.enumerated() {
      let root = neuron.weight.squareRoot()
      for i in 0..<m - 1 { terms[k, i] = root * neuron.filter[i] }
      terms[k, m - 1] = root
    }
    let full = Matrix(m, m)
    syrkUpper(m, neurons.count, terms.base, full.base)
    full.mirrorUpper()
    target.update(from: full.base, count: m * m)
  }

  /// Shares of the largest eigenvalue below which eigenvalues may be dropped, the largest share first.
  static let cutoffs = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-14]

  /// The blocks as sums of their neurons, without eigenvalues of at most `cutoff`. `isEven` tells whether the activation is.
  static func rebuild(
    _ blocks: ConeBlocks, order m: Int, cutoff: Double, isEven: Bool, into rebuilt: ConeBlocks
  ) {
    if isEven {
      let regions = blocks.rows / 2
      for r in 0..<regions {
        let own = neurons(
          blocks.row(r), minus: blocks.row(regions + r), order: m, cutoff: cutoff)
        compose(own.positive, order: m, into: rebuilt.row(r))
        compose(own.negative, order: m, into: rebuilt.row(regions + r))
      }
      return
    }
    for b in 0..<blocks.rows {
      compose(
        neurons(blocks.row(b), order: m, cutoff: cutoff), order: m, into: rebuilt.row(b))
    }
  }
}
