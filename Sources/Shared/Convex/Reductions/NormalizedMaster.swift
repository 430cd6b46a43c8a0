import LinearAlgebra

/// A neuron of a cell: weights w with ‖C D_i X w‖ = 1, and ± C D_i X w.
struct NormalizedAtom {
  let cell: Int
  let sign: Double
  let weights: [Double]
  let image: [Double]
  /// ± (C D_i X w)ᵀ ν.
  let price: Double

  init(cell: Int, sign: Double, weights: [Double], image: [Double], price: Double) {
    (self.cell, self.sign, self.weights, self.image, self.price) = (
      cell, sign, weights, image, price
    )
  }

  /// The neuron of the largest price at ν, the direction of the projection of ± ν on the cone of the cell's images; nil if
  /// all prices are at most 0.
  init?(_ cell: NormalizedReLUSolver.CellImages, cell i: Int, sign: Double, nu: [Double]) {
    let (count, n) = (cell.images.rows, nu.count)
    let right = (0..<count).map { sign * dot(n, cell.images.row($0), nu) }
    guard right.contains(where: { $0 > 0 }) else { return nil }
    let squares = NonNegativeLeastSquares(capacity: count)
    for a in 0..<count {
      squares.setRight(a, right[a])
      for b in 0...a { squares.setGram(a, b, dot(n, cell.images.row(a), cell.images.row(b))) }
    }
    squares.solve(count)
    var image = [Double](repeating: 0, count: n)
    var weights = [Double](repeating: 0, count: cell.weights.columns)
    for k in 0..<count where squares.x[k] > 0 {
      axpy(n, squares.x[k], cell.images.row(k), &image)
      axpy(weights.count, squares.x[k], cell.weights.row(k), &weights)
    }
    let length = norm(n, image)
    guard length > 0 else { return nil }
    self.init(
      cell: i, sign: sign, weights: weights.map { $0 / length },
      image: image.map { sign * $0 / length }, price: sign * dot(n, image, nu) / length)
  }
}

/// min ½ ‖Σ γ_k h_k + a e − y‖² + β √((Σ γ_k)² + a²) over γ ≥ 0 and a, e = 1/√n orthogonal to all h_k.
///
/// For given λ = β Σγ/√((Σγ)² + a²), the weight that each γ_k has, the γ are a Lasso's; λ is found by bisection.
final class NormalizedMaster {
  private let y: [Double]
  private let beta: Double
  /// eᵀy.
  private let mean: Double
  private(set) var atoms: [NormalizedAtom] = []
  /// γ.
  private(set) var lengths: [Double] = []
  /// a.
  private(set) var constant = 0.0
  /// y − ŷ.
  private(set) var residual: [Double]
  /// λ: neurons of a larger price enter.
  private(set) var threshold = 0.0
  private(set) var primal: Double
  private(set) var dual: [Double]
  private(set) var dualValue = 0.0
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  init(_ y: [Double], beta: Double) {
    (self.y, self.beta, residual) = (y, beta, y)
    mean = y.reduce(0, +) / Double(y.count).squareRoot()
    dual = y.map { _ in 0 }
    primal = 0.5 * dot(y.count, y, y)
    fit()
  }

  func begin(with atoms: [NormalizedAtom]) {
    guard !atoms.isEmpty else { return }
    add(atoms[...])
    fit()
  }

  /// Takes the residual, scaled by the best factor for which `norm` times it is at most β, if it is a better dual point.
  func offerDual(_ norm: Double) {
    let square = dot(y.count, residual, residual)
    guard square > 0, norm > 0 else { return }
    let product = dot(y.count, residual, y)
    let s = max(-beta / norm, min(beta / norm, product / square))
    let value = s * product - 0.5 * s * s * square
    guard value > dualValue else { return }
    dualValue = value
    dual = residual.map { s * $0 }
  }

  /// Neurons without length go, those of a cell and sign become one, and new ones enter.
  func add(_ new: ArraySlice<NormalizedAtom>) {
    var sums: [(cell: Int, sign: Double, weights: [Double], image: [Double])] = []
    for (atom, length) in zip(atoms, lengths) where length > 0 {
      let place = sums.firstIndex { $0.cell == atom.cell && $0.sign == atom.sign } ?? sums.count
      if place == sums.count {
        sums.append((atom.cell, atom.sign, atom.weights.map { _ in 0 }, y.map { _ in 0 }))
      }
      axpy(atom.weights.count, length, atom.weights, &sums[place].weights)
      axpy(y.count, length, atom.image, &sums[place].image)
    }
    (atoms, lengths) = ([], [])
    for sum in sums {
      let length = norm(y.count, sum.image)
      atoms.append(
        NormalizedAtom(
          cell: sum.cell, sign: sum.sign, weights: sum.weights.map { $0 / length },
          image: sum.image.map { $0 / length }, price: 0))
      lengths.append(length)
    }
    atoms += new
    lengths += new.map { _ in 0 }
  }

  /// The best γ and a.
  func fit() {
    let (m, n) = (atoms.count, y.count)
    let gram = Matrix(m, m)
    let right = atoms.map { dot(n, $0.image, y) }
    for a in 0..<m {
      for b in 0...a { gram[a, b] = dot(n, atoms[a].image, atoms[b].image) }
    }
    /// With `more` on the diagonal, neurons that depend on each other can take each other's place.
    func solve(_ lambda: Double, _ more: Double, startingWith first: [Int]) -> [Double] {
      let squares = NonNegativeLeastSquares(capacity: max(1, m))
      for a in 0..<m {
        squares.setRight(a, right[a] - lambda)
        for b in 0...a { squares.setGram(a, b, gram[a, b] * (a == b ? 1 + more : 1)) }
      }
      squares.solve(m, startingWith: first)
      return (0..<m).map { squares.x[$0] }
    }
    func best(_ lambda: Double) -> [Double] {
      let rough = solve(
        lambda, 1e-9, startingWith: lengths.indices.filter { lengths[$0] > 0 })
      let order = rough.indices.filter { rough[$0] > 0 }.sorted { rough[$0] > rough[$1] }
      return solve(lambda, 0, startingWith: order)
    }
    var (low, high) = (0.0, beta)
    var found = best(high)
    for _ in 0..<60 {
      let middle = 0.5 * (low + high)
      let own = best(middle)
      let sum = own.reduce(0, +)
      let a = constant(sum)
      let size = (sum * sum + a * a).squareRoot()
      if size > 0, beta * sum / size > middle {
        low = middle
      } else {
        (high, found) = (middle, own)
      }
    }
    lengths = found
    let sum = lengths.reduce(0, +)
    constant = constant(sum)
    threshold = high
    residual = y
    for (atom, length) in zip(atoms, lengths) { axpy(n, -length, atom.image, &residual) }
    let e = 1 / Double(n).squareRoot()
    for j in 0..<n { residual[j] -= constant * e }
    primal =
      0.5 * dot(n, residual, residual) + beta * (sum * sum + constant * constant).squareRoot()
    keepUsed()
  }

  private func keepUsed() {
    let used = lengths.indices.filter { lengths[$0] > 0 }
    (atoms, lengths) = (used.map { atoms[$0] }, used.map { lengths[$0] })
  }

  /// argmin over a of ½ (a − eᵀy)² + β √(s² + a²).
  private func constant(_ s: Double) -> Double {
    if s == 0 { return mean > 0 ? max(0, mean - beta) : min(0, mean + beta) }
    var (low, high) = (0.0, abs(mean))
    for _ in 0..<200 where low < high {
      let a = 0.5 * (low + high)
      if a == low || a == high { break }
      if a - abs(mean) + beta * a / (s * s + a * a).squareRoot() < 0 { low = a } else { high = a }
    }
    return mean < 0 ? -high : high
  }
}
