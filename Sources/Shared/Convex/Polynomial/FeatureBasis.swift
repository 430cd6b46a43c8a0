import LinearAlgebra

/// An orthonormal basis B (Q × r) of the space that the samples' whitened features span.
///
/// Usually it is a selection of coordinates (those that are not zero for every sample) followed by a few Householder
/// reflections that turn known null vectors into the last coordinates; if the features span a much smaller space, the
/// basis is explicit.
final class FeatureBasis {
  /// Q.
  let width: Int
  /// r.
  let order: Int
  /// The selected coordinates, ascending; all of them for an explicit basis.
  let selected: [Int]
  /// Unit vectors v of reflections I − 2 v vᵀ on the selected coordinates, applied from first to last.
  let reflectors: [[Double]]
  /// Bᵀ (r × Q), if it is explicit.
  let explicit: Matrix?

  /// Selection and reflections. `nullVectors` are orthonormal vectors on the selected coordinates.
  init(width: Int, selected: [Int], nullVectors: [[Double]]) {
    self.width = width
    self.selected = selected
    explicit = nil
    order = selected.count - nullVectors.count
    var reflectors: [[Double]] = []
    for (k, vector) in nullVectors.enumerated() {
      var v = vector
      for reflector in reflectors { FeatureBasis.reflect(reflector, &v) }
      // Reflect v onto the axis `last`; the axes beyond it belong to the previous vectors.
      let last = selected.count - 1 - k
      for i in last + 1..<max(last + 1, selected.count) { v[i] = 0 }
      let length = v.reduce(0) { $0 + $1 * $1 }.squareRoot()
      v[last] += v[last] < 0 ? -length : length
      let scale = 1 / v.reduce(0) { $0 + $1 * $1 }.squareRoot()
      reflectors.append(v.map { $0 * scale })
    }
    self.reflectors = reflectors
  }

  /// An explicit basis, `rows` = Bᵀ.
  init(explicit rows: Matrix) {
    width = rows.columns
    order = rows.rows
    selected = Array(0..<rows.columns)
    reflectors = []
    explicit = rows
  }

  private static func reflect(_ v: [Double], _ x: inout [Double]) {
    let s = 2 * zip(v, x).reduce(0) { $0 + $1.0 * $1.1 }
    for i in x.indices { x[i] -= s * v[i] }
  }

  private static func reflect(_ v: [Double], _ x: UnsafeMutablePointer<Double>) {
    let s = -2 * dot(v.count, v, x)
    axpy(v.count, s, v, x)
  }

  /// g = B γ.
  func expand(_ gamma: UnsafePointer<Double>, into g: UnsafeMutablePointer<Double>) {
    if let explicit {
      gemv(order, width, explicit.base, .transposed, gamma, g)
      return
    }
    if selected.count == width && reflectors.isEmpty {
      g.update(from: gamma, count: order)
      return
    }
    let x = Matrix(1, selected.count)
    x.base.update(from: gamma, count: order)
    for v in reflectors.reversed() { FeatureBasis.reflect(v, x.base) }
    g.update(repeating: 0, count: width)
    for (i, coordinate) in selected.enumerated() { g[coordinate] = x.base[i] }
  }

  /// γ = Bᵀ g.
  func project(_ g: UnsafePointer<Double>, into gamma: UnsafeMutablePointer<Double>) {
    if let explicit {
      gemv(order, width, explicit.base, .plain, g, gamma)
      return
    }
    if selected.count == width && reflectors.isEmpty {
      gamma.update(from: g, count: order)
      return
    }
    let x = Matrix(1, selected.count)
    for (i, coordinate) in selected.enumerated() { x.base[i] = g[coordinate] }
    for v in reflectors { FeatureBasis.reflect(v, x.base) }
    gamma.update(from: x.base, count: order)
  }

  /// Computes H A H in place for the lower triangle of a symmetric A on the selected coordinates, with H the product of
  /// the reflections: rank-two updates A − v wᵀ − w vᵀ.
  func reflect(_ a: Matrix) { apply(reflectors, to: a) }

  /// The inverse of `reflect`: the same reflections, from last to first.
  func reflectBack(_ a: Matrix) { apply(reflectors.reversed(), to: a) }

  private func apply(_ reflectors: [[Double]], to a: Matrix) {
    let n = selected.count
    let w = Matrix(1, n)
    for v in reflectors {
      symvLower(n, a.base, v, w.base)
      let s = dot(n, v, w.base)
      // w = 2 (A v − (vᵀ A v) v)
      axpy(n, -s, v, w.base)
      scale(n, 2, w.base)
      syr2Lower(n, -1, v, w.base, a.base)
    }
  }
}
