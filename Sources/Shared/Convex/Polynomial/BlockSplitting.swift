import Glibc
import LinearAlgebra

/// The cones' half of the alternating direction method, in raw coordinates, all classes at once.
///
/// X± satisfies the linear constraints, Z± the cones, and Λ± are the scaled multipliers. With V± = Z± − Λ±, P the
/// projection off J, ρ the penalty, and h = X₊ − X₋ from the losses' half,
///
///     s = P(V₊ + V₋) − (β/ρ) P svec I,  X± = (s ± h)/2,
///     H± = α X± + (1 − α) Z± + Λ±,  Z± = H± made positive semidefinite,  Λ± = H± − Z±.
final class BlockSplitting {
  /// ρ, or 0 before it is set.
  private(set) var rho = 0.0

  private let packing: SymmetricVectors
  private let m: Int
  private let q: Int
  private let regions: Int
  private let classes: Int
  private let width: Int
  /// svec J / ‖J‖ of one region, and svec I minus its part along J.
  private let j: [Double]
  private let identity: [Double]
  /// One for each thread, as far as decompositions of this size are worth waking threads for.
  private let projections: [SemidefiniteProjection]
  /// For each class: the two signs of all regions, one after the other (C × 2Q).
  private let z, multiplier: Matrix
  private let v, x: Matrix

  /// Over-relaxation.
  static let alpha = 1.7
  /// ρ = κ β / z₄.
  private let kappa = 30.0

  init(_ program: PolynomialProgram) {
    packing = program.map.packing
    m = program.order
    q = packing.count
    regions = program.regions
    classes = program.classes
    width = program.map.count
    let j = ConstrainedRidge.direction(program)
    var identity = [Double](repeating: 0, count: q)
    for i in 0..<m { identity[packing.diagonal(i)] = 1 }
    let along = zip(j, identity).reduce(0) { $0 + $1.0 * $1.1 }
    for p in 0..<q { identity[p] -= along * j[p] }
    self.j = j
    self.identity = identity
    let perThread = max(1, 500_000 / (m * m * m))
    projections = (0..<max(1, min(Threads.count, classes * 2 * regions / perThread))).map {
      [order = m] _ in SemidefiniteProjection(order: order)
    }
    z = Matrix(classes, 2 * width)
    multiplier = Matrix(classes, 2 * width)
    v = Matrix(classes, 2 * width)
    x = Matrix(classes, 2 * width)
  }

  // MARK: The start

  /// Takes Z from blocks that another method or run found.
  func start(from blocks: [ConeBlocks]) {
    multiplier.fill(0)
    for c in 0..<classes {
      for block in 0..<2 * regions {
        packing.pack(blocks[c].row(block), into: z.row(c) + block * q)
      }
    }
  }

  /// Z± ← h (C × Q) split by sign, with at most `limits[c]` of the norm for class c.
  func start(splitting h: Matrix, limits: [Double]) {
    multiplier.fill(0)
    for c in 0..<classes {
      for i in 0..<width {
        v[c, i] = h[c, i]
        v[c, width + i] = -h[c, i]
      }
    }
    project(v, into: z, keepingMultipliers: false)
    for c in 0..<classes {
      let size = corner(c)
      if size > limits[c] { scale(2 * width, limits[c] / size, z.row(c)) }
    }
  }

  // MARK: The penalty

  /// ½ tr(Z + Z') of a class over its regions: its share of the norm.
  private func corner(_ c: Int) -> Double {
    var sum = 0.0
    for block in 0..<2 * regions {
      for i in 0..<m { sum += 0.5 * z.row(c)[block * q + packing.diagonal(i)] }
    }
    return sum
  }

  /// κ β / geometric mean of the classes' z₄; nil if all are zero.
  func wantedPenalty(beta: Double) -> Double? {
    // A class with almost zero weight must not set the scale of the others.
    let corners = (0..<classes).map(corner)
    let floor = 1e-2 * corners.max()!
    guard floor > 0 else { return nil }
    let counted = corners.filter { $0 > floor }
    let logarithm = counted.reduce(0) { $0 + log($1) } / Double(counted.count)
    return kappa * beta / exp(logarithm)
  }

  /// Sets ρ; the multipliers ρΛ stay unchanged.
  func set(penalty: Double) {
    if rho > 0 { scale(multiplier.count, rho / penalty, multiplier.base) }
    rho = penalty
  }

  /// Sets ρ for a β that is `ratio` times the one before: the slacks ρΛ shrink with β, and Λ stays unchanged.
  func scalePenalty(_ ratio: Double) { rho *= ratio }

  // MARK: A step

  /// V±, and V₊ − V₋ into `difference` (C × Q).
  func prepare(difference: Matrix) {
    for c in 0..<classes {
      let (zc, lc, vc, hc) = (z.row(c), multiplier.row(c), v.row(c), difference.row(c))
      for i in 0..<2 * width { vc[i] = zc[i] - lc[i] }
      for i in 0..<width { hc[i] = vc[i] - vc[width + i] }
    }
  }

  /// Z± and Λ± for h (C × Q), from the prepared V±.
  func step(_ h: Matrix, beta: Double) {
    Threads.split(classes) { part in
      for c in part { self.relax(c, h.row(c), beta: beta) }
    }
    project(x, into: z, keepingMultipliers: true)
  }

  /// H± of one class, into `x`.
  private func relax(_ c: Int, _ h: UnsafePointer<Double>, beta: Double) {
    let total = width
    let alpha = BlockSplitting.alpha
    let (vc, xc, zc, lc) = (v.row(c), x.row(c), z.row(c), multiplier.row(c))
    let shift = beta / rho
    for r in 0..<regions {
      let o = r * q
      var along = 0.0
      for p in 0..<q { along += j[p] * (vc[o + p] + vc[total + o + p]) }
      for p in 0..<q {
        let sum = vc[o + p] + vc[total + o + p] - along * j[p] - shift * identity[p]
        let (i, k) = (o + p, total + o + p)
        xc[i] = alpha * 0.5 * (sum + h[i]) + (1 - alpha) * zc[i] + lc[i]
        xc[k] = alpha * 0.5 * (sum - h[i]) + (1 - alpha) * zc[k] + lc[k]
      }
    }
  }

  /// Writes the positive semidefinite parts of all blocks of `source` into `target`; the remainder becomes Λ.
  private func project(_ source: Matrix, into target: Matrix, keepingMultipliers: Bool) {
    let total = classes * 2 * regions
    let workers = projections.count
    Threads.perform(workers) { worker in
      for block in total * worker / workers..<total * (worker + 1) / workers {
        let from = source.base + block * self.q
        let to = target.base + block * self.q
        self.projections[worker].apply(from, into: to)
        if keepingMultipliers {
          let lambda = self.multiplier.base + block * self.q
          for p in 0..<self.q { lambda[p] = from[p] - to[p] }
        }
      }
    }
  }

  /// Z and Z' of class `c` as 2R rows of m × m.
  func unpack(_ c: Int, into blocks: ConeBlocks) {
    for block in 0..<2 * regions { packing.unpack(z.row(c) + block * q, into: blocks.row(block)) }
  }
}
