import LinearAlgebra
import Patches
import Schema
import Tensors

/// What ReLU neurons with weight decay on both layers are trained on: the K patches of n samples, averaged over R regions, as
/// rows of one matrix with its patterns. A neuron has a weight for each region and output: R·C numbers, region 0 first.
package struct FaceData {
  /// n·K × d in the order of `x`, with the patterns.
  package let rows: ArrangementData
  /// n and R.
  package let samples, regions: Int
  /// The region of each of the K patches, and one over the patches of it.
  private let region: [Int]
  private let shares: [Double]

  private var patches: Int { region.count }

  /// Reads a bundle of kind `arrangements`.
  package init(_ bundle: Bundle) throws {
    let source = try PatchSource(bundle)
    let pooling = try PoolingRegions(bundle, patches: source.patchCount)
    (samples, regions) = (source.count, source.regions)
    var region = [Int](repeating: 0, count: source.patchCount)
    for r in 0..<pooling.sizes.count {
      for place in pooling.starts[r]..<pooling.starts[r + 1] { region[pooling.order[place]] = r }
    }
    self.region = region
    shares = region.map { 1 / Double(pooling.sizes[$0]) }
    rows =
      source.patchCount == 1
      ? try ArrangementData(bundle) : try FaceData.rows(of: bundle, source)
  }

  private static func rows(of bundle: Bundle, _ source: PatchSource) throws -> ArrangementData {
    try bundle.expect(.arrangements)
    let x = try matrix(of: source)
    let listed = try PatternTensors(
      bundle, samples: source.count, patches: source.patchCount, dimension: source.dimension,
      gatesImplyPatterns: source.isDeferred)
    if listed.patterns != nil { return ArrangementData(features: x, listed) }
    let gates = listed.gates
    let patterns = Patterns.signs(
      of: DataRows(x), gates: Matrix(gates.vectors), thresholds: gates.thresholds?.doubles)
    return ArrangementData(
      features: x,
      PatternTensors(gates: gates, patterns: patterns.tensor, isExact: listed.isExact))
  }

  /// All patches of all samples as rows, in the order of `x`.
  package static func matrix(of source: PatchSource) throws -> Matrix {
    let (n, k, d) = (source.count, source.patchCount, source.dimension)
    try expectMemory(
      8 * Double(n) * Double(k) * Double(d), for: "\(n * k) patches of \(d) features")
    let x = Matrix(n * k, d)
    Threads.split(n) { range in
      source.reader(.asCut).read(range, into: x.row(range.lowerBound * k))
    }
    return x
  }

  /// What a dual point `nu` (n × C) is for each row: n·K × R·C, ν_ic/P_r in the columns of the patch's region and 0 elsewhere.
  func spread(_ nu: Matrix) -> Matrix {
    guard patches > 1 || regions > 1 else { return nu }
    let outputs = nu.columns
    let result = Matrix(nu.rows * patches, regions * outputs)
    for i in 0..<nu.rows {
      for k in 0..<patches {
        let row = result.row(i * patches + k) + region[k] * outputs
        for c in 0..<outputs { row[c] = shares[k] * nu[i, c] }
      }
    }
    return result
  }

  /// The means over each region of `values`, a number for each row of any samples: R numbers a sample, which `store` takes.
  func pool(_ values: [Double], store: (_ sample: Int, _ region: Int, _ mean: Double) -> Void) {
    for i in 0..<values.count / patches {
      var means = [Double](repeating: 0, count: regions)
      for k in 0..<patches { means[region[k]] += shares[k] * values[i * patches + k] }
      for r in 0..<regions { store(i, r, means[r]) }
    }
  }
}
