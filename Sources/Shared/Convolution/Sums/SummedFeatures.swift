import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The features of a design, of bundle after bundle.
protocol SummedFeatures {
  var design: FeatureDesign { get }
  /// R and d.
  var regions: Int { get }
  var dimension: Int { get }

  /// Adds the samples of `bundle` and their targets (n × C) to `sums`, in blocks; `tell` receives how many are done.
  func add(
    _ bundle: Bundle, targets: Matrix, to sums: any SampleSums, tell: (Int) -> Void) throws

  /// The number of samples of `bundle`. Throws unless its features are those of the design.
  func samples(of bundle: Bundle) throws -> Int

  /// The mean features of the first samples of `bundle`, 1 × Q.
  func centre(of bundle: Bundle) throws -> Matrix
}

extension SummedFeatures {
  /// How many samples a centre is the mean of.
  static var centred: Int { 256 }

  func expect(regions r: Int, features d: Int, of bundle: Bundle) throws {
    guard r == regions, d == dimension else {
      throw Failure.data(
        "\(bundle.name) has \(r) region\(r == 1 ? "" : "s") of \(d) features, expected \(regions) of \(dimension)"
      )
    }
  }
}

/// svec(TᵀΦT) of the moments of samples.
struct SummedMoments: SummedFeatures {
  private let map: FeatureMap
  let design: FeatureDesign
  var regions: Int { map.regions }
  var dimension: Int { map.order - 1 }

  /// The rows that T is fitted on are among so many.
  private static let fitted = 2048

  /// Fits T on the first samples of `bundle`. Throws if they hold a number that is not finite.
  init(_ bundle: Bundle, _ activation: PolynomialActivation) throws {
    let data = try MomentData(bundle)
    try data.expectFinite()
    self.init(FeatureMap(data, activation: activation, among: SummedMoments.fitted))
  }

  /// With the T of an earlier bundle, whose `name` messages tell.
  init(
    _ activation: PolynomialActivation, whitening: Tensor, regions: Int, name: String
  ) throws {
    guard
      let map = FeatureMap(
        whitening: Matrix(whitening), regions: regions, activation: activation)
    else { throw Failure.data("tensor \"whitening\" of \(name) is singular") }
    self.init(map)
  }

  private init(_ map: FeatureMap) {
    self.map = map
    design = .polynomial(map.activation, whitening: map.whitening.tensor)
  }

  func samples(of bundle: Bundle) throws -> Int {
    let data = try MomentData(bundle)
    try expect(regions: data.regions, features: data.features, of: bundle)
    return data.samples
  }

  func centre(of bundle: Bundle) throws -> Matrix {
    throw Failure.usage("--dtype F32 is not for polynomials: single precision proves nothing there")
  }

  func add(
    _ bundle: Bundle, targets: Matrix, to sums: any SampleSums, tell: (Int) -> Void
  ) throws {
    let data = try MomentData(bundle)
    let workers = max(1, min(sums.workers, data.samples / 16))
    let step = StatisticsTensors.blockRows
    let features = (0..<workers).map { _ in Matrix(min(step, data.blockRows), map.count) }
    let whitening = (0..<workers).map { _ in AccurateFeatures(map) }
    data.forEachBlock(workers: workers) { worker, range, rows in
      for first in stride(from: 0, to: range.count, by: step) {
        let count = min(step, range.count - first)
        whitening[worker].fill(
          count, rows + first * data.rowLength, rowLength: data.rowLength,
          into: features[worker].base)
        sums.add(
          count, features[worker].base, targets: targets.row(range.lowerBound + first),
          worker: worker)
      }
      if worker == 0 { tell(min(data.samples, range.upperBound * workers)) }
    }
  }
}

/// Pooled patches: of those that each gate lets through, or of all.
struct SummedPatches: SummedFeatures {
  let design: FeatureDesign
  let regions: Int
  let dimension: Int
  private let gates: GateTensors?

  /// Of `gates`, or without them the means of all patches.
  init(_ gates: GateTensors?, regions: Int, dimension: Int) {
    (self.gates, self.regions, self.dimension) = (gates, regions, dimension)
    design = gates.map { .gated($0) } ?? .linear
  }

  /// With the shape of `bundle`.
  init(_ bundle: Bundle, gates: GateTensors?) throws {
    let patches = try PatchSource(bundle)
    self.init(gates, regions: patches.regions, dimension: patches.dimension)
  }

  func samples(of bundle: Bundle) throws -> Int {
    let patches = try PatchSource(bundle)
    try expect(regions: patches.regions, features: patches.dimension, of: bundle)
    return patches.count
  }

  /// Calls `body` with blocks of features on the calling thread.
  private func forEachBlock(
    _ bundle: Bundle, among limit: Int = .max,
    _ body: (_ samples: Range<Int>, _ features: UnsafePointer<Double>) -> Void
  ) throws {
    let step = StatisticsTensors.blockRows
    guard let gates else {
      let data = try LinearData(bundle)
      let n = min(limit, data.features.rows)
      for first in stride(from: 0, to: n, by: step) {
        let range = first..<min(n, first + step)
        body(range, data.features.row(first))
      }
      return
    }
    let patches = try PatchSource(bundle)
    let n = min(limit, patches.count)
    let stream = FeatureStream(
      PooledFeatures(
        patches, gates: gates, patterns: nil, members: Array(0..<gates.count)))
    let q = stream.features.order
    let rows = Matrix(min(n, step), q)
    _ = stream.run(
      0..<n, round: rows.rows, proceed: { true },
      use: { _, samples, f in
        rows.row(samples.lowerBound % rows.rows).update(from: f, count: samples.count * q)
      },
      next: { body($0, rows.base) })
  }

  func centre(of bundle: Bundle) throws -> Matrix {
    let result = Matrix(1, (gates?.count ?? 1) * regions * dimension)
    var count = 0
    try forEachBlock(bundle, among: SummedPatches.centred) { samples, features in
      for i in 0..<samples.count {
        axpy(result.columns, 1, features + i * result.columns, result.base)
      }
      count += samples.count
    }
    scale(result.columns, 1 / Double(count), result.base)
    return result
  }

  func add(
    _ bundle: Bundle, targets: Matrix, to sums: any SampleSums, tell: (Int) -> Void
  ) throws {
    try forEachBlock(bundle) { samples, features in
      sums.add(samples.count, features, targets: targets.row(samples.lowerBound), worker: 0)
      tell(samples.upperBound)
    }
  }
}
