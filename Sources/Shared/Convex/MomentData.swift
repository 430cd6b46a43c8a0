import LinearAlgebra
import Schema
import Tensors

/// The training data of a polynomial-activation network, read by rows.
///
/// A sample enters its network only through the moments of its pooling regions: for each region the average M of x xᵀ
/// and the average μ of x over its patches x. A row holds, region after region, the upper triangle of M row by row with
/// off-diagonal entries times √2, then μ (`width` numbers).
package final class MomentData {
  /// n.
  package let samples: Int
  /// R.
  package let regions: Int
  /// d, the length of a patch.
  package let features: Int
  /// d (d + 1) / 2 + d.
  package let width: Int

  private enum Source {
    case moments(Tensor)
    /// Patches [n, K, d], and the numbers of each region's patches.
    case patches(Tensor, [[Int]])
  }
  private let source: Source

  /// Reads a bundle of kind `moments` or `dataset`.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.moments, .dataset, .arrangements)
    if bundle.kind == .moments {
      let tensor = try MomentTensor(bundle)
      (samples, regions, features) = (tensor.samples, tensor.regions, tensor.dimension)
      source = .moments(tensor.moments)
    } else {
      guard bundle[.x] != nil || bundle[.images] == nil else {
        throw Failure.data(
          "\(bundle.name) is deferred: polynomial activations need moments (patchify --moments)")
      }
      let tensor = try PatchTensor(bundle)
      (samples, features) = (tensor.samples, tensor.dimension)
      let pool = try PoolingRegions(bundle, patches: tensor.patches)
      regions = pool.sizes.count
      let members = (0..<regions).map { Array(pool.order[pool.starts[$0]..<pool.starts[$0 + 1]]) }
      source = .patches(tensor.x, members)
    }
    width = features * (features + 3) / 2
  }

  private init(copying other: MomentData) {
    (samples, regions, features, width) = (
      other.samples, other.regions, other.features, other.width
    )
    let moments = Tensor(type: .f64, shape: [samples, regions, width])
    moments.withMutableElements(of: Double.self) { values in
      other.forEachBlock { range, rows in
        (values.baseAddress! + range.lowerBound * other.rowLength).update(
          from: rows, count: range.count * other.rowLength)
      }
    }
    source = .moments(moments)
  }

  /// The same rows as moments in double precision, for readers that need them more than once: `self` if it holds them
  /// as such already, else a copy in memory.
  package var resident: MomentData { isDirect ? self : MomentData(copying: self) }

  /// How many bytes more `resident` takes.
  package var residentSize: Double { isDirect ? 0 : 8 * Double(samples) * Double(rowLength) }

  /// Numbers in a row: R · width.
  package var rowLength: Int { regions * width }

  /// How many rows are worked on at a time: about 1,000, and at most 64 MB of them.
  package var blockRows: Int { max(1, min(samples, 1024, max(16, (8 << 20) / rowLength))) }

  /// Throws if a value is not finite.
  package func expectFinite() throws {
    switch source {
    case .moments(let tensor): try tensor.expectFinite("moments")
    case .patches(let tensor, _): try tensor.expectFinite("x")
    }
  }

  /// Calls `body(rows, pointer)` for consecutive blocks of rows in double precision, one after the other. Blocks lie in
  /// the input itself if it is in double precision already.
  package func forEachBlock(_ body: (Range<Int>, UnsafePointer<Double>) -> Void) {
    let scratch = isDirect ? Matrix(0, 0) : Matrix(blockRows, rowLength)
    for range in blocks(of: 0..<samples) {
      if isDirect {
        body(range, block(range, scratch: scratch))
      } else {
        fill(range, into: scratch.base)
        body(range, scratch.base)
      }
    }
  }

  /// Splits the rows into one part a worker and calls `body(worker, rows, pointer)` for the blocks of
  /// every part, all parts at once.
  package func forEachBlock(
    workers: Int, _ body: (_ worker: Int, Range<Int>, UnsafePointer<Double>) -> Void
  ) {
    Threads.perform(workers) { worker in
      let part = self.samples * worker / workers..<self.samples * (worker + 1) / workers
      let scratch = self.isDirect ? Matrix(0, 0) : Matrix(self.blockRows, self.rowLength)
      for range in self.blocks(of: part) {
        body(worker, range, self.block(range, scratch: scratch))
      }
    }
  }

  private func blocks(of range: Range<Int>) -> [Range<Int>] {
    let step = blockRows
    return stride(from: range.lowerBound, to: range.upperBound, by: step).map {
      $0..<min(range.upperBound, $0 + step)
    }
  }

  /// Whether the rows can be used in place.
  private var isDirect: Bool {
    if case .moments(let tensor) = source { tensor.type == .f64 } else { false }
  }

  /// The rows `range`, in place or in `scratch`. Runs on the calling thread.
  private func block(_ range: Range<Int>, scratch: Matrix) -> UnsafePointer<Double> {
    if case .moments(let tensor) = source, tensor.type == .f64 {
      // The tensor lives as long as its owner, so the pointer may leave the closure.
      return tensor.withElements(of: Double.self) {
        $0.baseAddress! + range.lowerBound * rowLength
      }
    }
    fillAlone(range, into: scratch.base)
    return UnsafePointer(scratch.base)
  }

  /// The rows `range` in double precision, on all threads.
  package func fill(_ range: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    Threads.split(range.count, grain: 8) { part in
      let start = range.lowerBound
      self.fillAlone(
        start + part.lowerBound..<start + part.upperBound,
        into: target + part.lowerBound * self.rowLength)
    }
  }

  private func fillAlone(_ range: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    switch source {
    case .moments(let tensor):
      tensor.copyDoubles(
        range.lowerBound * rowLength..<range.upperBound * rowLength, into: target)
    case .patches(let tensor, let members): average(tensor, members, range, into: target)
    }
  }

  /// The moments of the samples `range` from their patches.
  private func average(
    _ patches: Tensor, _ members: [[Int]], _ range: Range<Int>,
    into target: UnsafeMutablePointer<Double>
  ) {
    let d = features
    let perSample = patches.count / samples
    let x = Matrix(1, perSample)
    let gathered = Matrix(members.map(\.count).max()!, d)
    let square = Matrix(d, d)
    let packing = SymmetricVectors(order: d)
    var output = target
    for sample in range {
      patches.copyDoubles(sample * perSample..<(sample + 1) * perSample, into: x.base)
      for member in members {
        for (row, k) in member.enumerated() {
          gathered.row(row).update(from: x.base + k * d, count: d)
        }
        // M = (1/P) Σ x xᵀ
        let weight = 1 / Double(member.count)
        syrkUpper(d, member.count, alpha: weight, gathered.base, square.base)
        packing.pack(square.base, into: output)
        let mean = output + packing.count
        mean.update(repeating: 0, count: d)
        for row in 0..<member.count { axpy(d, weight, gathered.row(row), mean) }
        output += width
      }
    }
  }

  // MARK: The two products with the data

  /// ŷ = Φ h for `weights` (C × R·width, on the moments as they are stored) and a `constant` for each class; the result
  /// is n × C.
  package func predictions(_ weights: Matrix, constants: [Double]) -> Matrix {
    let classes = weights.rows
    let result = Matrix(samples, classes)
    forEachBlock { range, rows in
      let target = result.row(range.lowerBound)
      if classes == 1 {
        gemv(range.count, rowLength, rows, .plain, weights.base, target)
      } else {
        gemm(
          range.count, classes, rowLength, rows, .plain, weights.base, .transposed, target)
      }
    }
    for i in 0..<samples { for c in 0..<classes { result[i, c] += constants[c] } }
    return result
  }

  /// Σ_i ν_ic (row i) for ν (n × C): C × R·width.
  package func adjoint(_ dual: Matrix) -> Matrix {
    let result = Matrix(dual.columns, rowLength)
    forEachBlock { range, rows in
      let nu = dual.row(range.lowerBound)
      if dual.columns == 1 {
        gemv(range.count, rowLength, rows, .transposed, nu, beta: 1, result.base)
      } else {
        gemm(
          dual.columns, rowLength, range.count, nu, .transposed, rows, .plain, beta: 1,
          result.base)
      }
    }
    return result
  }
}
