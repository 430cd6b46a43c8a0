import LinearAlgebra
import Tensors

/// The function of a polynomial network as a linear function of the pooled moments: ŷ_ic = Σ_r ⟨weights_rc, moments_ir⟩
/// + constant_c.
struct MomentFunctional {
  /// R(d(d+1)/2 + d) × C: for each region the symmetric matrix as its upper triangle, off-diagonals
  /// times √2, then the vector that multiplies the mean.
  let weights: Matrix
  let constants: [Double]

  /// n × C values. Throws if a feature is not a finite number.
  func values(on examples: Examples) throws -> Matrix {
    let (n, width, outputs) = (examples.count, weights.rows, weights.columns)
    let high = Matrix(n, outputs)
    let low = Matrix(n, outputs)
    try examples.forEachMomentBlock { _, rows in
      AccurateProduct(m: rows, n: outputs, k: AccurateProduct.innerLimit)
    } body: { product, samples, block in
      // Ŷ ← M H, a slice of the inner dimension at a time.
      for start in stride(from: 0, to: width, by: AccurateProduct.innerLimit) {
        let inner = min(AccurateProduct.innerLimit, width - start)
        product.add(
          samples.count, outputs, inner, block + start, lda: width, weights.row(start),
          ldb: outputs, high: high.row(samples.lowerBound), low: low.row(samples.lowerBound),
          ld: outputs)
      }
    }
    for i in 0..<n {
      for c in 0..<outputs {
        let (sum, error) = exactSum(high[i, c], constants[c])
        high[i, c] = sum + (error + low[i, c])
      }
    }
    return high
  }
}

/// Σ_i ν_ic · moments_i for every class: C × R(d(d+1)/2 + d). Throws if a feature is not finite.
func weightedMoments(_ weights: Matrix, of examples: Examples) throws -> Matrix {
  let outputs = weights.columns
  let width = examples.regionCount * momentCount(dimension: examples.dimension)
  let parts = examples.momentParts
  let high = (0..<parts).map { _ in Matrix(outputs, width) }
  let low = (0..<parts).map { _ in Matrix(outputs, width) }
  let transposed = weights.transposed
  let slice = AccurateProduct.innerLimit
  try examples.forEachMomentBlock { part, rows in
    (part: part, product: AccurateProduct(m: outputs, n: slice, k: rows))
  } body: { state, samples, block in
    // S ← S + νᵀ M, a slice of the columns at a time.
    for start in stride(from: 0, to: width, by: slice) {
      state.product.add(
        outputs, min(slice, width - start), samples.count, transposed.base + samples.lowerBound,
        lda: transposed.columns, block + start, ldb: width, high: high[state.part].base + start,
        low: low[state.part].base + start, ld: width)
    }
  }
  let result = Matrix(outputs, width)
  for k in 0..<result.count {
    var sum = CompensatedSum()
    for part in 0..<parts { sum.add(high[part].base[k]) }
    for part in 0..<parts { sum.add(low[part].base[k]) }
    result.base[k] = sum.value
  }
  return result
}

extension Examples {
  /// Into how many ranges the samples are split, one for each thread.
  var momentParts: Int { max(1, min(Threads.count, count / 16)) }

  /// Calls `body` with the moments of all samples, block by block, on all threads. Each thread has a state of its own,
  /// made with its number and the largest number of samples in a block.
  func forEachMomentBlock<State>(
    state: (_ part: Int, _ rows: Int) -> State,
    body: (_ state: State, _ samples: Range<Int>, _ block: UnsafeMutablePointer<Double>) -> Void
  ) throws {
    let width = regionCount * momentCount(dimension: dimension)
    // Blocks of some 4 MB: large enough for BLAS, small beside the data.
    let rows = max(1, min(128, count, (1 << 19) / width))
    let parts = momentParts
    var finite = [Bool](repeating: true, count: parts)
    finite.withUnsafeMutableBufferPointer { finite in
      nonisolated(unsafe) let finite = finite
      Threads.perform(parts) { part in
        let reader = MomentReader(features, limit: rows)
        let block = Matrix(rows, width)
        let own = state(part, rows)
        let end = count * (part + 1) / parts
        for start in stride(from: count * part / parts, to: end, by: rows) {
          let samples = start..<min(end, start + rows)
          if !reader.read(samples, into: block.base) {
            finite[part] = false
            return
          }
          body(own, samples, block.base)
        }
      }
    }
    if finite.contains(false) { throw nonFinite() }
  }

  /// The error for features of which some are not finite.
  func nonFinite() -> Failure {
    let (tensor, name) =
      switch features {
      case .patches(let source): (source.tensor, "x")
      case .moments(let source): (source.moments, "moments")
      }
    guard let tensor else { return .data("the patches of \(self.name) overflow") }
    do {
      try tensor.expectFinite(name)
    } catch let failure as Failure {
      return failure
    } catch {}
    return .data("tensor \(quoted(name)) holds values that overflow")
  }
}
