import LinearAlgebra

/// The convex program of a polynomial-activation network (Bartan & Pilanci 2021):
///
///     min ℓ(ŷ) + β Σ (z₄ + z₄'),   ŷ_it = Σ_r ⟨Φ_ir, Z_rt − Z'_rt⟩,
///     Z, Z' ⪰ 0,  tr Z₁ = z₄ (the same for Z'),
///
/// per class t and pooling region r, with Z = [[Z₁, z₂], [z₂ᵀ, z₄]] of order m = d + 1. For squared loss the classes
/// are independent, and the samples enter only through a `GramSystem`.
package final class PolynomialProgram {
  let map: FeatureMap
  let gram: GramSystem
  /// m, R, C.
  let order: Int
  let regions: Int
  package let classes: Int
  /// J = diag(I, −1); TᵀJT and TᵀT, which give ⟨J, Z⟩ and tr Z in whitened coordinates.
  let traceForm: Matrix
  let identityForm: Matrix

  init(map: FeatureMap, gram: GramSystem, classes: Int) {
    self.map = map
    self.gram = gram
    self.classes = classes
    order = map.order
    regions = map.regions
    let m = map.order
    let signs = Matrix.identity(m)
    signs[m - 1, m - 1] = -1
    let scratch = Matrix(m, m)
    traceForm = Matrix(m, m)
    map.whiten.apply(full: signs.base, traceForm.base, scratch: scratch.base)
    identityForm = product(map.whitening, .transposed, map.whitening, .plain)
  }

  /// ½ yᵀy − Rᵀη + ½ ηᵀGη of class `c`; `scratch` has room for r numbers.
  func loss(
    _ c: Int, _ eta: UnsafePointer<Double>, scratch: UnsafeMutablePointer<Double>
  ) -> Double {
    gram.multiply(eta, into: scratch)
    return 0.5 * gram.squares[c] + 0.5 * dot(gram.order, eta, scratch)
      - dot(gram.order, gram.correlations.row(c), eta)
  }

  /// Changes Z_r − Z'_r of every region of a class to the packed matrices in `h`, and keeps the sums.
  func setDifference(_ h: UnsafePointer<Double>, of blocks: ConeBlocks) {
    let difference = Matrix(order, order)
    for r in 0..<regions {
      map.packing.unpack(h + r * map.packing.count, into: difference.base)
      let (plus, minus) = (blocks.row(r), blocks.row(regions + r))
      for i in 0..<difference.count {
        let sum = plus[i] + minus[i]
        plus[i] = 0.5 * (sum + difference.base[i])
        minus[i] = 0.5 * (sum - difference.base[i])
      }
    }
  }

  /// svec(Z_r − Z'_r) of every region of a class.
  func packDifference(_ blocks: ConeBlocks, into packed: UnsafeMutablePointer<Double>) {
    let difference = Matrix(order, order)
    for r in 0..<regions {
      let (plus, minus) = (blocks.row(r), blocks.row(regions + r))
      for i in 0..<difference.count { difference.base[i] = plus[i] - minus[i] }
      map.packing.pack(difference.base, into: packed + r * map.packing.count)
    }
  }
}

/// The variables of one class: 2R matrices of order m in raw coordinates, row by row: Z of every
/// region, then Z' of every region.
typealias ConeBlocks = Matrix

/// Makes points feasible and evaluates them, for one class at a time; it holds the workspaces, so each thread has its
/// own.
final class Judge {
  let program: PolynomialProgram
  private let bound: SphereBound
  private let eigen: SymmetricEigensolver
  private let difference: Matrix
  private let full: Matrix
  private let scratch: Matrix
  private let packed: Matrix
  private let eta: Matrix
  private let image: Matrix

  init(_ program: PolynomialProgram) {
    self.program = program
    let m = program.order
    bound = SphereBound(order: m)
    eigen = SymmetricEigensolver(order: m)
    difference = Matrix(m, m)
    full = Matrix(m, m)
    scratch = Matrix(m, m)
    packed = Matrix(1, program.map.count)
    eta = Matrix(1, program.gram.order)
    image = Matrix(1, program.gram.order)
  }

  /// Projects the blocks onto the feasible set: first Z − Z' onto ⟨J, ·⟩ = 0; then both are shifted by a multiple of I
  /// until they are positive semidefinite; then the trace is repaired at the corner or on the diagonal. Each step but
  /// the first adds the same to Z and Z'.
  func makeFeasible(_ blocks: ConeBlocks) {
    let m = program.order
    for r in 0..<program.regions {
      let plus = blocks.row(r)
      let minus = blocks.row(program.regions + r)
      // ⟨J, Z − Z'⟩ = 0; ⟨J, J⟩ = m.
      let excess = (form(plus) - form(minus)) / Double(m)
      for i in 0..<m {
        let sign = i == m - 1 ? -1.0 : 1.0
        plus[i * m + i] -= 0.5 * excess * sign
        minus[i * m + i] += 0.5 * excess * sign
      }
      var shift = 0.0
      for block in [plus, minus] {
        full.base.update(from: block, count: m * m)
        _ = eigen.decompose(full.base, vectors: false)
        shift = max(shift, -eigen.values[0])
      }
      if shift > 0 {
        shift *= 1 + 1e-12
        for i in 0..<m {
          plus[i * m + i] += shift
          minus[i * m + i] += shift
        }
      }
      let trace = form(minus)
      for block in [plus, minus] {
        if trace > 0 {
          block[m * m - 1] += trace
        } else {
          for i in 0..<m - 1 { block[i * m + i] -= trace / Double(m - 1) }
        }
      }
    }
  }

  /// ⟨J, Z⟩ = tr Z₁ − z₄.
  private func form(_ block: UnsafePointer<Double>) -> Double {
    let m = program.order
    var sum = -block[m * m - 1]
    for i in 0..<m - 1 { sum += block[i * m + i] }
    return sum
  }

  /// The objective of feasible blocks of class `c`.
  func objective(_ c: Int, _ blocks: ConeBlocks, beta: Double) -> Double {
    let m = program.order
    let map = program.map
    var regularizer = 0.0
    for r in 0..<program.regions {
      let plus = blocks.row(r)
      let minus = blocks.row(program.regions + r)
      regularizer += plus[m * m - 1] + minus[m * m - 1]
      for i in 0..<m * m { difference.base[i] = plus[i] - minus[i] }
      map.whitenVariable.apply(full: difference.base, full.base, scratch: scratch.base)
      map.packing.pack(full.base, into: packed.base + r * map.packing.count)
    }
    program.gram.basis.project(packed.base, into: eta.base)
    return program.loss(c, eta.base, scratch: image.base) + beta * regularizer
  }

  /// The largest dual constraint over the regions and both signs, for γ = Bᵀ svec(Σ ν Φ).
  func constraint(_ gamma: UnsafePointer<Double>) -> Double {
    program.gram.basis.expand(gamma, into: packed.base)
    return constraint(whitened: packed.base)
  }

  /// The same for whitened svec(S_r).
  func constraint(whitened vectors: UnsafePointer<Double>) -> Double {
    let map = program.map
    var largest = 0.0
    for r in 0..<program.regions {
      map.packing.unpack(vectors + r * map.packing.count, into: difference.base)
      map.unwhiten.apply(full: difference.base, full.base, scratch: scratch.base)
      largest = max(largest, bound.largest(full.base))
    }
    return largest
  }

  /// The same for raw svec(S_r).
  func constraint(raw vectors: UnsafePointer<Double>) -> Double {
    let map = program.map
    var largest = 0.0
    for r in 0..<program.regions {
      map.packing.unpack(vectors + r * map.packing.count, into: full.base)
      largest = max(largest, bound.largest(full.base))
    }
    return largest
  }

  /// Scales γ of class `c`, and with it `solved` = G⁻¹γ, into the dual feasible set and returns its value
  ///
  ///     D = ½ yᵀy − ½ (R − γ)ᵀ G⁻¹ (R − γ),
  ///
  /// with the dual point ν_LS + F G⁻¹ γ: only γ is scaled, not the residual, so that a tiny β does not destroy the
  /// value.
  func dualValue(
    _ c: Int, _ gamma: UnsafeMutablePointer<Double>, solved: UnsafeMutablePointer<Double>,
    beta: Double
  ) -> Double {
    let n = program.gram.order
    let largest = constraint(gamma)
    guard largest < .infinity else { return -.infinity }
    if largest > beta {
      scale(n, beta / largest, gamma)
      scale(n, beta / largest, solved)
    }
    let leastSquares = program.gram.leastSquares.row(c)
    let fit = dot(n, program.gram.correlations.row(c), leastSquares)
    return 0.5 * (program.gram.squares[c] - fit) + dot(n, gamma, leastSquares)
      - 0.5 * dot(n, gamma, solved)
  }

  /// The number of the blocks' eigenvalues above `tolerance` times the largest, which is the number of neurons.
  func rank(_ blocks: ConeBlocks, tolerance: Double = 1e-6) -> Int {
    let values = eigenvalues(blocks)
    let largest = values.max() ?? 0
    return largest > 0 ? values.count { $0 > tolerance * largest } : 0
  }

  private func eigenvalues(_ blocks: ConeBlocks) -> [Double] {
    let m = program.order
    var values: [Double] = []
    for b in 0..<blocks.rows {
      full.base.update(from: blocks.row(b), count: m * m)
      guard eigen.decompose(full.base, vectors: false) else { continue }
      values += (0..<m).map { eigen.values[$0] }
    }
    return values
  }
}

extension Judge {
  /// The largest eigenvalue of any block.
  func largestEigenvalue(_ blocks: ConeBlocks) -> Double { eigenvalues(blocks).max() ?? 0 }

  /// The number of neurons in the classes' best points.
  func rankSum(_ results: [ClassResult]) -> Int { results.reduce(0) { $0 + rank($1.blocks) } }
}

/// The best primal and the best dual point of one class so far.
struct ClassResult {
  var blocks: ConeBlocks
  var primal: Double
  /// γ = Bᵀ svec(Σ ν Φ), feasible.
  var gamma: Matrix
  var dual: Double

  /// Z = 0, and y scaled to be feasible.
  init(trivial c: Int, of program: PolynomialProgram, beta: Double, judge: Judge) {
    let n = program.gram.order
    blocks = ConeBlocks(2 * program.regions, program.order * program.order)
    primal = 0.5 * program.gram.squares[c]
    // ν = s y has γ = s R and the value s yᵀy − ½ s² yᵀy; the part of y outside the span of the features need not be
    // scaled, and `dualValue` does not scale it.
    gamma = Matrix(1, n)
    gamma.base.update(from: program.gram.correlations.row(c), count: n)
    let solved = Matrix(1, n)
    solved.base.update(from: program.gram.leastSquares.row(c), count: n)
    dual = judge.dualValue(c, gamma.base, solved: solved.base, beta: beta)
  }

  var gap: Double { relativeGap(primal: primal, dual: dual) }
}

extension [ClassResult] {
  var primal: Double { reduce(0) { $0 + $1.primal } }
  var dual: Double { reduce(0) { $0 + $1.dual } }
  /// The gap of all classes together.
  var gap: Double { relativeGap(primal: primal, dual: dual) }
}
