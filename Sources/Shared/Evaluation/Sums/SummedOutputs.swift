import LinearAlgebra
import Schema
import Tensors

/// Outputs and dual directions of functions that are linear in the features of sums, over the samples themselves.
protocol SummedOutputs {
  /// Judges W and ν = s Y − F U (Q × C each) on samples with targets Y (n × C). Throws if a feature is not finite.
  func judge(
    _ examples: Examples, weights: Matrix, dual: SummedDual, expected: Matrix
  ) throws -> JudgedOutputs
}

/// What such functions are on some samples.
struct JudgedOutputs {
  /// F W and ν, n × C.
  let outputs: Matrix
  let nu: Matrix
  /// Q × C, of polynomials svec(Σ_i ν_i Φ_i), in which no T can hide anything, else Fᵀν; and the sums of the squares of
  /// each feature, Q.
  let directions: Matrix
  let featureSquares: Matrix
}

/// The sums of one thread over blocks of features, added without rounding.
private final class BlockSums {
  private let high, low, product: Matrix
  private let squares: Matrix
  var isFinite = true

  init(order: Int, outputs: Int) {
    high = Matrix(order, outputs)
    low = Matrix(order, outputs)
    product = Matrix(order, outputs)
    squares = Matrix(1, order)
  }

  /// For a block of `count` rows of features: F [W U] into the rows `values` from `first` on, ν = s Y − F U there, and
  /// the products of ν with the rows of `judged` (F itself unless it is given) added.
  func add(
    _ count: Int, _ features: UnsafePointer<Double>, judged: UnsafePointer<Double>? = nil,
    first: Int, _ both: Matrix, into values: Matrix, nu: Matrix, scale s: [Double],
    expected: Matrix
  ) {
    let (q, c) = (high.rows, high.columns)
    gemm(count, 2 * c, q, features, .plain, both.base, .plain, values.row(first))
    for i in first..<first + count {
      for k in 0..<c { nu[i, k] = s[k] * expected[i, k] - values[i, c + k] }
    }
    gemm(
      q, c, count, judged ?? features, .transposed, lda: q, nu.row(first), .plain, product.base)
    for k in 0..<high.count {
      let (sum, error) = exactSum(high.base[k], product.base[k])
      high.base[k] = sum
      low.base[k] += error
    }
    for i in 0..<count {
      let row = features + i * q
      for j in 0..<q { squares.base[j] += row[j] * row[j] }
    }
  }

  /// Fᵀν and the squares of all threads.
  static func total(_ parts: [BlockSums]) -> (directions: Matrix, squares: Matrix) {
    let (result, squares) = (Matrix(copying: parts[0].high), Matrix(copying: parts[0].squares))
    for part in parts.dropFirst() { axpy(squares.count, 1, part.squares.base, squares.base) }
    for k in 0..<result.count {
      var sum = CompensatedSum()
      for part in parts { sum.add(part.high.base[k]) }
      for part in parts { sum.add(part.low.base[k]) }
      result.base[k] = sum.value
    }
    return (result, squares)
  }
}

/// W and U side by side, Q × 2C.
private func joined(_ weights: Matrix, _ dual: SummedDual) -> Matrix {
  let c = weights.columns
  let result = Matrix(weights.rows, 2 * c)
  result.setColumns(0..<c, to: weights)
  result.setColumns(c..<2 * c, to: dual.coefficients)
  return result
}

/// Polynomials: svec(TᵀΦT) of the moments.
struct MomentOutputs: SummedOutputs {
  let activation: PolynomialActivation
  /// T, m × m.
  let whitening: Matrix
  let regions: Int

  func judge(
    _ examples: Examples, weights: Matrix, dual: SummedDual, expected: Matrix
  ) throws -> JudgedOutputs {
    let (n, c, both) = (examples.count, expected.columns, joined(weights, dual))
    let (values, nu) = (Matrix(n, 2 * c), Matrix(n, c))
    let parts = (0..<examples.momentParts).map { _ in BlockSums(order: both.rows, outputs: c) }
    try examples.forEachMomentBlock { part, rows in
      (
        sums: parts[part], features: Matrix(rows, both.rows), plain: Matrix(rows, both.rows),
        whitener: Whitener(self)
      )
    } body: { state, samples, block in
      let width = regions * momentCount(dimension: whitening.rows - 1)
      for i in 0..<samples.count {
        state.whitener.features(
          block + i * width, into: state.features.row(i), plain: state.plain.row(i))
      }
      state.sums.add(
        samples.count, state.features.base, judged: state.plain.base, first: samples.lowerBound,
        both, into: values, nu: nu, scale: dual.scale, expected: expected)
    }
    let (directions, squares) = BlockSums.total(parts)
    return JudgedOutputs(
      outputs: values.columns(0..<c), nu: nu, directions: directions, featureSquares: squares)
  }

  /// Whitens the features of one sample at a time; each thread has its own.
  private final class Whitener {
    private let model: MomentOutputs
    /// Φ and what its entries round away; Φ T in two parts; TᵀΦT.
    private let (phi, error, half, low, full): (Matrix, Matrix, Matrix, Matrix, Matrix)
    /// a/√2 as the sum of two numbers.
    private let (factor, remainder): (Double, Double)
    private let product: AccurateProduct

    init(_ model: MomentOutputs) {
      self.model = model
      let m = model.whitening.rows
      func room() -> Matrix { Matrix(m, m) }
      (phi, error, half, low, full) = (room(), room(), room(), room(), room())
      // √½ = 0.7071067811865476 − 4.833646656726457e-17
      let (a, root) = (model.activation.a, 0.5.squareRoot())
      factor = a * root
      remainder = (-factor).addingProduct(a, root) - a * 4.833646656726457e-17
      product = AccurateProduct(m: m, n: m, k: min(m, AccurateProduct.innerLimit))
    }

    /// `half` ← Φ T, nearly exact: T may multiply its rounding errors, and those of Φ, by large numbers.
    private func multiply(_ t: Matrix) {
      let m = t.rows
      half.fill(0)
      gemm(m, m, m, error.base, .plain, t.base, .plain, low.base)
      for start in stride(from: 0, to: m, by: AccurateProduct.innerLimit) {
        product.add(
          m, m, min(AccurateProduct.innerLimit, m - start), phi.base + start, lda: m, t.row(start),
          ldb: m, high: half.base, low: low.base, ld: m)
      }
      axpy(m * m, 1, low.base, half.base)
    }

    /// svec(TᵀΦT) of each region, with Φ = [[a M, (b/2) μ], [(b/2) μᵀ, c]] from the moments; and svec(Φ) into `plain`.
    func features(
      _ moments: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>,
      plain: UnsafeMutablePointer<Double>
    ) {
      let (t, activation) = (model.whitening, model.activation)
      let m = t.rows
      let d = m - 1
      var (source, place, other) = (moments, target, plain)
      for _ in 0..<model.regions {
        for i in 0..<d {
          phi[i, i] = activation.a * source[0]
          error[i, i] = (-phi[i, i]).addingProduct(activation.a, source[0])
          for j in i + 1..<max(i + 1, d) {
            let value = factor * source[j - i]
            let rest =
              (-value).addingProduct(factor, source[j - i]) + remainder * source[j - i]
            (phi[i, j], phi[j, i], error[i, j], error[j, i]) = (value, value, rest, rest)
          }
          source += d - i
        }
        for i in 0..<d {
          let value = 0.5 * activation.b * source[i]
          let rest = (-value).addingProduct(0.5 * activation.b, source[i])
          (phi[i, d], phi[d, i], error[i, d], error[d, i]) = (value, value, rest, rest)
        }
        source += d
        phi[d, d] = activation.c
        multiply(t)
        gemm(m, m, m, t.base, .transposed, half.base, .plain, full.base)
        for i in 0..<m {
          (place[0], other[0]) = (full[i, i], phi[i, i])
          for j in i + 1..<max(i + 1, m) {
            place[j - i] = full[i, j] * 2.0.squareRoot()
            other[j - i] = phi[i, j] * 2.0.squareRoot()
          }
          place += m - i
          other += m - i
        }
      }
    }
  }
}

/// Gated and linear networks: the means of the patches that each gate takes.
struct PooledOutputs: SummedOutputs {
  let gates: Gates?

  func judge(
    _ examples: Examples, weights: Matrix, dual: SummedDual, expected: Matrix
  ) throws -> JudgedOutputs {
    guard case .patches(let patches) = examples.features else {
      throw Failure.data(
        "\(examples.name) is a bundle of kind \"moments\", from which the certificate cannot be told"
      )
    }
    let (n, c, both) = (examples.count, expected.columns, joined(weights, dual))
    let (values, nu) = (Matrix(n, 2 * c), Matrix(n, c))
    // Features are means over regions, and sums are formed.
    let (sizes, d) = (patches.pooling.sizes, patches.dimension)
    let shares = (0..<both.rows).map { 1 / Double(sizes[$0 / d % sizes.count]) }
    let parts = max(1, min(Threads.count, n / 4))
    let sums = (0..<parts).map { _ in BlockSums(order: both.rows, outputs: c) }
    Threads.perform(parts) { part in
      let features = PooledFeatures(patches, gates.map { .gates($0) } ?? .all)
      let end = n * (part + 1) / parts
      for start in stride(from: n * part / parts, to: end, by: features.limit) {
        let samples = start..<min(end, start + features.limit)
        guard features.update(samples) else {
          sums[part].isFinite = false
          return
        }
        for i in 0..<samples.count {
          let row = features.sums.row(i)
          for j in 0..<both.rows { row[j] *= shares[j] }
        }
        sums[part].add(
          samples.count, features.sums.base, first: start, both, into: values, nu: nu,
          scale: dual.scale, expected: expected)
      }
    }
    guard sums.allSatisfy(\.isFinite) else { throw examples.nonFinite() }
    let (directions, squares) = BlockSums.total(sums)
    return JudgedOutputs(
      outputs: values.columns(0..<c), nu: nu, directions: directions, featureSquares: squares)
  }
}
