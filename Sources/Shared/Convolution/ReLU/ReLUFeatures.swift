import Convex
import Glibc
import LinearAlgebra
import Patches
import Tensors

/// The data that a ReLU program over pooled patches needs: the features of every pattern i and region r,
///
///   F_ir = (1/P_r) Σ_{k in r} D_i^k X_k   (n × d),
///
/// and, for its cones, the unit rows of all n·K patches. One pass reads both.
package final class ReLUFeatures: @unchecked Sendable {
  /// n samples, K patches a sample, d features of a patch.
  package let samples: Int
  package let patchCount: Int
  package let dimension: Int
  /// The places at which the regions begin among the patches of a sample; R + 1 numbers.
  package let regionStarts: [Int]
  /// F_i, n × Rd, with region 0 first; none if there is one patch per sample.
  package let features: [Matrix]
  /// If there is one patch per sample, F_i = D_i X: X, and D_i as a row of 0 and 1.
  let single: (x: Matrix, masks: Matrix)?
  /// ‖x_j‖ of all patches.
  let lengths: UnsafeMutablePointer<Double>
  /// Bit j of pattern i is 1 if patch j, in the order of reading, is active.
  let bits: UnsafeMutablePointer<UInt8>
  let stride: Int
  /// Unit rows of all patches, if they fit into memory; zero for a zero patch.
  private let kept: Matrix?
  private let read: @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void

  package var regions: Int { regionStarts.count - 1 }
  package let patterns: Int
  /// n·K.
  package var rows: Int { samples * patchCount }

  /// The most numbers of unit rows that are kept; if there are more, every pass reads them again.
  private static let mostKept = 150_000_000
  /// The number of rows in a block.
  private static let blockRows = 2048

  deinit {
    lengths.deallocate()
    bits.deallocate()
  }

  /// The patches of `source` with the patterns of `gates` [P, d]: the given ones (bits in the order of x), or those
  /// that gates and thresholds imply.
  package convenience init(
    _ source: PatchSource, gates: Tensor, thresholds: [Double]?, patterns: Patterns?
  ) throws {
    let readers = ReaderPool(source)
    try self.init(
      samples: source.count, patchCount: source.patchCount, dimension: source.dimension,
      regionStarts: source.regionStarts, order: source.order, gates: gates,
      thresholds: thresholds, given: patterns
    ) { samples, target in readers.read(samples, into: target) }
  }

  /// The rows of X, with one patch per sample.
  package convenience init(_ x: Matrix, gates: Tensor, patterns: Patterns) throws {
    try self.init(
      samples: x.rows, patchCount: 1, dimension: x.columns, regionStarts: [0, 1], order: [0],
      gates: gates, thresholds: nil, given: patterns
    ) { samples, target in
      target.update(from: x.row(samples.lowerBound), count: samples.count * x.columns)
    }
  }

  private init(
    samples n: Int, patchCount: Int, dimension d: Int, regionStarts: [Int], order: [Int],
    gates: Tensor, thresholds: [Double]?, given: Patterns?,
    read: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Double>) -> Void
  ) throws {
    let count = given?.count ?? gates.shape[0]
    let rows = n * patchCount
    let regions = regionStarts.count - 1
    let isKept = rows * d <= ReLUFeatures.mostKept
    let isSingle = patchCount == 1
    let size = isSingle ? Double(n * (count + d)) : Double(count) * Double(n) * Double(regions * d)
    try expectMemory(
      8 * size + (isKept ? 8 * Double(rows * d) : 0)
        + Double(count) * Double(rows) / 8 + 8 * Double(rows),
      for: "a ReLU program of \(n) samples, \(count) patterns and \(regions * d) features")
    samples = n
    self.patterns = count
    self.patchCount = patchCount
    dimension = d
    self.regionStarts = regionStarts
    self.read = read
    stride = Patterns.stride(rows)
    lengths = .allocate(capacity: max(1, rows))
    bits = .allocate(capacity: max(1, count * stride))
    bits.initialize(repeating: 0, count: max(1, count * stride))
    features = isSingle ? [] : (0..<count).map { _ in Matrix(n, regions * d) }
    single = isSingle ? (Matrix(n, d), Matrix(count, n)) : nil
    kept = isKept ? Matrix(rows, d) : nil

    let vectors = Matrix(count, d)
    if given == nil { gates.copyDoubles(0..<count * d, into: vectors.base) }
    let fill = PatchPass(
      self, order: order, gates: given == nil ? vectors : nil, thresholds: thresholds,
      given: given, kept: kept)
    // Whole bytes of the patterns belong to one block, and therefore to one thread.
    let block = fill.samplesOfBlock
    Threads.perform((n + block - 1) / block) { k in
      fill.run(k * block..<min(n, (k + 1) * block), read)
    }
  }

  /// image (C × n) ← F_i z for C rows z of R·d weights.
  func image(
    _ z: UnsafePointer<Double>, of pattern: Int, outputs: Int,
    into image: UnsafeMutablePointer<Double>
  ) {
    let width = regions * dimension
    guard let (x, masks) = single else {
      gemm(outputs, samples, width, z, .plain, features[pattern].base, .transposed, image)
      return
    }
    gemm(outputs, samples, width, z, .plain, x.base, .transposed, image)
    let mask = masks.row(pattern)
    for c in 0..<outputs {
      for i in 0..<samples { image[c * samples + i] *= mask[i] }
    }
  }

  package func isActive(_ pattern: Int, row: Int) -> Bool {
    bits[pattern * stride + row >> 3] >> UInt8(row & 7) & 1 == 1
  }

  /// The number of blocks of rows for `withUnitRows`.
  var blocks: Int { (samples + samplesOfBlock - 1) / samplesOfBlock }
  private var samplesOfBlock: Int { max(1, ReLUFeatures.blockRows / patchCount) }
  var rowsOfBlock: Int { samplesOfBlock * patchCount }

  /// The unit rows of a block, zero for a zero patch; `room` holds `rowsOfBlock` × d numbers.
  func withUnitRows(
    _ block: Int, room: UnsafeMutablePointer<Double>,
    _ body: (_ first: Int, _ count: Int, UnsafePointer<Double>) -> Void
  ) {
    let range = block * samplesOfBlock..<min(samples, (block + 1) * samplesOfBlock)
    let (first, count) = (range.lowerBound * patchCount, range.count * patchCount)
    if let kept {
      body(first, count, kept.row(first))
      return
    }
    read(range, room)
    normalize(room, first, count)
    body(first, count, room)
  }

  private func normalize(_ rows: UnsafeMutablePointer<Double>, _ first: Int, _ count: Int) {
    let d = dimension
    for j in 0..<count where lengths[first + j] > 0 {
      let row = rows + j * d
      for k in 0..<d { row[k] /= lengths[first + j] }
    }
  }

  /// Unit row `row`, multiplied by 1 or −1 according to its side in pattern `pattern`.
  func copyRow(_ row: Int, of pattern: Int, into target: UnsafeMutablePointer<Double>) {
    let d = dimension
    let sign: Double = isActive(pattern, row: row) ? 1 : -1
    if let kept {
      let source = kept.row(row)
      for k in 0..<d { target[k] = sign * source[k] }
      return
    }
    let sample = row / patchCount
    let room = Matrix(patchCount, d)
    read(sample..<sample + 1, room.base)
    let source = room.row(row - sample * patchCount)
    for k in 0..<d { target[k] = sign * source[k] / lengths[row] }
  }
}

/// Readers of a source, one for each thread that asks.
private final class ReaderPool: @unchecked Sendable {
  private let source: PatchSource
  private let lock = Lock()
  private var free: [PatchReader] = []

  init(_ source: PatchSource) { self.source = source }

  func read(_ samples: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    let reader = lock.locked { free.popLast() } ?? source.reader()
    reader.read(samples, into: target)
    lock.locked { free.append(reader) }
  }
}
