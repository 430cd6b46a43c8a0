import LinearAlgebra
import Tensors

/// The patches of the samples as a `dataset` holds them: x, F32 or F64 [n, K, d], or [n, d] for K = 1;
/// and the pooling region of each patch, I32 [K].
package struct PatchFeatures: Sendable {
  package let tensor: Tensor
  package let count: Int
  package let patchCount: Int
  package let dimension: Int
  /// Patches of each region, P_r.
  package let regionSizes: [Int]
  /// Consecutive patches of one region, which are copied at once.
  private let runs: [(patch: Int, count: Int, region: Int, place: Int)]
  /// How many patches the regions before each one hold.
  let regionStarts: [Int]

  init(_ bundle: Bundle) throws {
    tensor = try bundle.require("x", [.f32, .f64], ["[n, K, d]", "[n, d]"])
    count = tensor.shape[0]
    patchCount = tensor.shape.count == 3 ? tensor.shape[1] : 1
    dimension = tensor.shape.last!
    guard count > 0, patchCount > 0, dimension > 0 else {
      throw Failure.data("tensor \"x\" of \(bundle.name) is \(tensor.summary): there is no data")
    }
    let pool = try bundle.optional("pool", [.i32], ["[K]"])
    let regions =
      pool.map { $0.withElements(of: Int32.self) { $0.map(Int.init) } }
      ?? Array(repeating: 0, count: patchCount)
    guard regions.count == patchCount else {
      throw Failure.data(
        "tensor \"pool\" is \(pool!.summary), but tensor \"x\" is \(tensor.summary): "
          + "expected a region for each of \(patchCount) patches")
    }
    if let bad = regions.first(where: { $0 < 0 || $0 >= regions.count }) {
      throw Failure.data(
        "tensor \"pool\" holds \(bad), expected regions from 0 to at most \(regions.count - 1)")
    }
    var sizes = [Int](repeating: 0, count: regions.max()! + 1)
    var runs: [(patch: Int, count: Int, region: Int, place: Int)] = []
    for (patch, region) in regions.enumerated() {
      if let last = runs.last, last.region == region {
        runs[runs.count - 1].count += 1
      } else {
        runs.append((patch, 1, region, sizes[region]))
      }
      sizes[region] += 1
    }
    if let empty = sizes.firstIndex(of: 0) {
      throw Failure.data(
        "tensor \"pool\" has no patch in region \(empty) of 0 to \(sizes.count - 1)")
    }
    self.runs = runs
    regionSizes = sizes
    regionStarts = sizes.indices.map { sizes[..<$0].reduce(0, +) }
  }

  /// Copies the patches of `samples` to `block`, region by region: for each region the patches of the
  /// first sample, of the second, and so on. Returns `false` where one is not a finite number.
  func read(_ samples: Range<Int>, into block: UnsafeMutablePointer<Double>) -> Bool {
    let (n, d) = (samples.count, dimension)
    if runs.count == 1 {
      let row = patchCount * d
      tensor.copyDoubles(samples.lowerBound * row..<samples.upperBound * row, into: block)
    } else {
      for i in 0..<n {
        for run in runs {
          let from = ((samples.lowerBound + i) * patchCount + run.patch) * d
          let slot = n * regionStarts[run.region] + i * regionSizes[run.region] + run.place
          tensor.copyDoubles(from..<from + run.count * d, into: block + slot * d)
        }
      }
    }
    return areFinite(block, n * patchCount * d)
  }
}

/// Whether all of `values` are finite numbers.
func areFinite(_ values: UnsafePointer<Double>, _ count: Int) -> Bool {
  // v · 0 is 0 for a finite v and NaN for all others; eight sums at once.
  var sums = SIMD8<Double>.zero
  let whole = count / 8 * 8
  for i in stride(from: 0, to: whole, by: 8) {
    sums += UnsafeRawPointer(values + i).loadUnaligned(as: SIMD8<Double>.self) * 0
  }
  var sum = sums.sum()
  for i in whole..<count { sum += values[i] * 0 }
  return sum == 0
}
