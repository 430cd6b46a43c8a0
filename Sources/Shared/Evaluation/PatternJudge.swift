import LinearAlgebra

/// The rows of data that the cones of ReLU networks are made of.
struct ConeRows {
  /// Patches, as many as patterns have bits, × d.
  let features: Matrix
  /// The length of each row.
  let lengths: [Double]
  /// Lists the patterns of these rows.
  let arrangements: Arrangements
  /// Products of the rows, if block pivoting can project on their cones.
  private let gram: Matrix?

  init(_ features: Matrix, lengths: [Double], _ arrangements: Arrangements) {
    self.features = features
    self.lengths = lengths
    self.arrangements = arrangements
    // With more numbers the active-set method has to do.
    let n = features.rows
    gram =
      n > 16 && n <= features.columns && n <= 6000
      ? BlockPivoting.gram(features, lengths: lengths) : nil
  }

  func projection() -> ConeProjection {
    ConeProjection(features: features, lengths: lengths, gram: gram)
  }
}

/// Bounds the dual constraint of a pattern from T_icr = (1/P_r) Σ_{k in r} X_kᵀ D_i^k ν_c, none of which may exceed β:
///
/// - group a class: the length of T_ic, of R·d numbers; group a pattern: that of T_i, of C·R·d;
/// - nuclear norm: the largest singular value of T_i, d × RC, or with a group for each class of T_ic, d × R; circular
///   networks: √d times the largest entry of its Fourier transform;
/// - ReLU: the same of the projections of all T_icr, and of all −T_icr, on (2 D_i − I) X u ≥ 0.
///
/// Each thread needs an object of its own.
final class PatternJudge {
  private let solution: PatternSolution
  private let parts, dimension: Int
  // Nuclear norm.
  private let eigensolver: SymmetricEigensolver?
  private let gram: Matrix
  /// The parts of each matrix of the nuclear norm.
  private let blocks: [Range<Int>]
  // Cones.
  private let rows: ConeRows?
  private let projection: ConeProjection?
  private let signs, opposite: Matrix
  /// The place of each pattern's weights among those of the solution.
  private let places: [Int: Int]

  /// `rows` are needed for ReLU networks.
  init(_ solution: PatternSolution, _ rows: ConeRows?) {
    self.solution = solution
    parts = solution.program.outputs * solution.regions
    dimension = solution.dimension
    let regions = solution.regions
    blocks = solution.blocks(of: solution.program.outputs)
      .map { $0.lowerBound * regions..<$0.upperBound * regions }
    let order = min(blocks[0].count, dimension)
    let isNuclear = solution.weightNorm == .nuclear && solution.program.kind != .circular
    eigensolver = isNuclear ? SymmetricEigensolver(order: order) : nil
    gram = isNuclear ? Matrix(order, order) : Matrix(0, 0)
    self.rows = rows
    projection = rows?.projection()
    signs = Matrix(1, rows?.features.rows ?? 0)
    opposite = Matrix(rows == nil ? 0 : parts, dimension)
    places = Dictionary(uniqueKeysWithValues: zip(solution.index, solution.index.indices))
  }

  /// An upper bound of the constraint of a pattern from its `sums`, C·R rows of d numbers, those of class 0 first:
  /// attained up to rounding if it is above `limit`, infinite if a sum overflows.
  func bound(_ pattern: Int, _ sums: UnsafePointer<Double>, limit: Double) -> Double {
    if solution.program.kind == .circular { return fourierNorm(sums) }
    if let eigensolver {
      return blocks.reduce(0) {
        max($0, spectralNorm(sums + $1.lowerBound * dimension, rows: $1.count, eigensolver))
      }
    }
    let (outputs, regions) = (solution.program.outputs, solution.regions)
    // A group is a run of consecutive parts.
    let size = solution.grouping == .perPattern ? parts : regions
    guard let rows, let projection else {
      return stride(from: 0, to: outputs * regions, by: size).reduce(0) {
        max($0, lengthRoundedUp(size * dimension, sums + $1 * dimension))
      }
    }
    var largest = limit
    var isExpanded = false
    for first in stride(from: 0, to: parts, by: size) {
      let group = sums + first * dimension
      // ‖P t‖ ≤ ‖t‖
      let length = lengthRoundedUp(size * dimension, group)
      if !(length > largest) { continue }
      guard length.isFinite else { return .infinity }
      if !isExpanded {
        rows.arrangements.expand(
          pattern, 0..<rows.features.rows, on: 1, off: -1, into: signs.base)
        isExpanded = true
      }
      for k in 0..<size * dimension { opposite.base[k] = -group[k] }
      for (target, weights) in [
        (group, solution.positive), (UnsafePointer(opposite.base), solution.negative ?? []),
      ] {
        // At the optimum P t is β v/‖v‖ if v is not zero: its facets are those of v.
        let bound = bound(
          target, parts: first..<first + size, projection, limit: largest,
          guesses: places[pattern].map { place in
            { part in
              UnsafePointer(weights[part / regions].row(place)) + part % regions * self.dimension
            }
          })
        largest = max(largest, bound)
      }
    }
    return largest
  }

  /// √Σ ‖P t_p‖² over the `parts`, whose t_p are the rows of `target`, exact if it is above the limit.
  private func bound(
    _ target: UnsafePointer<Double>, parts: Range<Int>, _ projection: ConeProjection, limit: Double,
    guesses: ((_ part: Int) -> UnsafePointer<Double>)?
  ) -> Double {
    if parts.count == 1 {
      return projection.bound(
        target, signs: signs.base, limit: limit, guess: guesses?(parts.lowerBound))
    }
    // One part after the other, the longest first, until the rest need not be known better.
    var lengths = parts.indices.map {
      lengthRoundedUp(dimension, target + ($0 - parts.lowerBound) * dimension)
    }
    for place in lengths.indices.sorted(by: { (lengths[$1], $0) < (lengths[$0], $1) }) {
      let total = norm(lengths.count, lengths)
      if total <= limit * (1 - 1e-14) { return total }
      let others = lengths.indices.reduce(0) {
        $0 + ($1 == place ? 0 : lengths[$1] * lengths[$1])
      }
      let share = max(0, limit * limit * (1 - 1e-13) - others).squareRoot()
      lengths[place] = min(
        lengths[place],
        projection.bound(
          target + place * dimension, signs: signs.base, limit: share,
          guess: guesses?(parts.lowerBound + place)))
    }
    return lengthRoundedUp(lengths.count, lengths)
  }

  /// √d max_k |(F T)_k|, F unitary.
  private func fourierNorm(_ sums: UnsafePointer<Double>) -> Double {
    let rows = (0..<parts).map { sums + $0 * dimension }
    let groups = solution.grouping == .perPattern ? [rows] : rows.map { [$0] }
    let lengths = groups.flatMap { fourierLengths($0, dimension: dimension) }
    guard lengths.allSatisfy(\.isFinite) else { return .infinity }
    let root = Double(dimension).squareRoot()
    return (lengths.max() ?? 0) * root * (1 + 4 * root * .ulpOfOne)
  }

  private func spectralNorm(
    _ sums: UnsafePointer<Double>, rows: Int, _ eigensolver: SymmetricEigensolver
  ) -> Double {
    // T Tᵀ or Tᵀ T: its largest eigenvalue is the square of the spectral norm.
    if rows <= dimension {
      syrkRowsUpper(rows, dimension, sums, gram.base)
    } else {
      syrkUpper(dimension, rows, sums, gram.base)
    }
    guard gram.isFinite, eigensolver.decompose(gram.base, vectors: false) else {
      return .infinity
    }
    let rounding = Double(dimension + rows + 8) * Double.ulpOfOne
    return (max(0, eigensolver.values[gram.rows - 1]) * (1 + rounding)).squareRoot()
  }
}
