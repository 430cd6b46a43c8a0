import LinearAlgebra

/// Anderson's acceleration of a fixed-point iteration s ← g(s) (type II; Anderson 1965, Zhang, O'Donoghue and Boyd 2020
/// for splittings): it takes the combination of the last steps whose residuals f = g(s) − s would cancel best if g were
/// linear. If the residual grows after such a step, the plain step replaces it, and the remembered steps are forgotten.
///
/// The state lies in `MixingTrack`s. An iteration fills the residuals of all tracks, asks each for its share of the
/// inner products, calls `decide`, and lets each track `advance`.
final class AndersonMixing {
  /// Steps that are remembered.
  static let depth = 6
  /// How much the residual may grow.
  private static let growth = 1.5
  /// Relative to the trace of the normal equations.
  private static let ridge = 1e-10

  /// ΔFᵀΔF.
  private let gram = Matrix(depth, depth)
  private let system = Matrix(depth, depth)
  private let solution = Matrix(1, depth)
  /// The slot of the next difference, and the number of differences.
  private(set) var slot = 0
  private var count = 0
  private(set) var hasPrevious = false
  private var isMixed = false
  private var size = Double.infinity

  /// How the state moves.
  enum Move {
    /// s ← g.
    case plain
    /// s ← g − Σ γ_j Δg_j.
    case mixed([Double])
    /// s ← g of the step before.
    case back
  }

  /// The inner products that a step needs: ‖f‖², and the products of each remembered difference with f and with the
  /// newest difference.
  struct Products {
    var square = 0.0
    var withResidual = [Double](repeating: 0, count: depth)
    var withNewest = [Double](repeating: 0, count: depth)

    mutating func add(_ other: Products, times weight: Double) {
      square += weight * other.square
      for j in 0..<depth {
        withResidual[j] += weight * other.withResidual[j]
        withNewest[j] += weight * other.withNewest[j]
      }
    }
  }

  /// Slots that hold a difference, the newest among them.
  var used: Int { min(AndersonMixing.depth, count + (hasPrevious ? 1 : 0)) }

  func forget() { (count, slot, hasPrevious, isMixed) = (0, 0, false, false) }

  func decide(_ products: Products) -> Move {
    let norm = products.square.squareRoot()
    if isMixed, !(norm <= AndersonMixing.growth * size) {
      forget()
      return .back
    }
    let used = used
    if hasPrevious {
      for j in 0..<used {
        gram[slot, j] = products.withNewest[j]
        gram[j, slot] = products.withNewest[j]
      }
      count = used
      slot = (slot + 1) % AndersonMixing.depth
    }
    hasPrevious = true
    size = norm
    isMixed = false
    guard count >= 2 else { return .plain }
    var trace = 0.0
    for j in 0..<count { trace += gram[j, j] }
    for i in 0..<count {
      for j in 0..<count { system.base[i * count + j] = gram[i, j] }
      system.base[i * count + i] += AndersonMixing.ridge * trace
      solution.base[i] = products.withResidual[i]
    }
    guard trace > 0, trace.isFinite, choleskyLower(count, system.base) else { return .plain }
    choleskySolve(count, system.base, solution.base, count: 1)
    isMixed = true
    return .mixed((0..<count).map { solution.base[$0] })
  }
}

/// A part of an iteration's state, with its remembered steps.
final class MixingTrack {
  let state: Matrix
  /// f = g(s) − s, which the iteration fills.
  let residual: Matrix
  private let lastResidual: Matrix
  private let lastValue: Matrix
  /// Δf and Δg, a row each.
  private let residualChanges: Matrix
  private let valueChanges: Matrix

  /// A track that `isFollowing` takes part in no inner product.
  init(_ rows: Int, _ columns: Int, isFollowing: Bool = false) {
    state = Matrix(rows, columns)
    residual = Matrix(rows, columns)
    lastValue = Matrix(rows, columns)
    lastResidual = Matrix(isFollowing ? 0 : rows, columns)
    residualChanges = Matrix(isFollowing ? 0 : AndersonMixing.depth, rows * columns)
    valueChanges = Matrix(AndersonMixing.depth, rows * columns)
  }

  /// Bytes that tracks of `count` numbers take.
  static func memory(_ count: Double) -> Double {
    8 * (4 + 2 * Double(AndersonMixing.depth)) * count
  }

  /// The share of the inner products that belongs to `count` numbers from `first`.
  func products(
    _ mixing: AndersonMixing, _ first: Int, _ count: Int, into sum: inout AndersonMixing.Products
  ) {
    let f = residual.base + first
    sum.square += dot(count, f, f)
    guard mixing.hasPrevious else { return }
    let newest = residualChanges.row(mixing.slot) + first
    let last = lastResidual.base + first
    for k in 0..<count { newest[k] = f[k] - last[k] }
    for j in 0..<mixing.used {
      let change = residualChanges.row(j) + first
      sum.withResidual[j] += dot(count, change, f)
      sum.withNewest[j] += dot(count, change, newest)
    }
  }

  /// Moves `count` numbers from `first`; the newest difference, if there is one, goes to `slot`.
  func advance(_ move: AndersonMixing.Move, slot: Int?, _ first: Int, _ count: Int) {
    let (s, f, last) = (state.base + first, residual.base + first, lastValue.base + first)
    if case .back = move {
      s.update(from: last, count: count)
      return
    }
    for k in 0..<count { s[k] += f[k] }
    if let slot {
      let change = valueChanges.row(slot) + first
      for k in 0..<count { change[k] = s[k] - last[k] }
    }
    last.update(from: s, count: count)
    if lastResidual.rows > 0 { (lastResidual.base + first).update(from: f, count: count) }
    if case .mixed(let shares) = move {
      for (j, share) in shares.enumerated() {
        axpy(count, -share, valueChanges.row(j) + first, s)
      }
    }
  }
}
