import LinearAlgebra
import Patches
import Schema
import Tensors

/// The rows whose signs make the patterns: the n·K patches of all samples, or the samples themselves if K is 1.
package struct DataRows {
  private enum Storage {
    case matrix(Matrix)
    /// F32 or F64 [n, K, d] or [n, d].
    case stored(Tensor)
    case deferred(PatchSource)
  }
  private let storage: Storage
  /// n·K.
  package let count: Int
  /// d.
  package let dimension: Int
  /// n.
  package let samples: Int
  /// Whether the last feature is a constant that was appended.
  package let hasConstant: Bool

  /// K.
  package var rowsPerSample: Int { count / samples }

  /// Whether rows are cut from images when they are read.
  package var isDeferred: Bool {
    if case .deferred = storage { true } else { false }
  }

  /// Reads a bundle of kind `dataset`.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.dataset)
    let patches = try PatchSource(bundle)
    storage = patches.stored.map(Storage.stored) ?? .deferred(patches)
    dimension = patches.dimension
    samples = patches.count
    count = patches.count * patches.patchCount
    hasConstant = bundle.metadata[.bias] == true
  }

  package init(_ rows: Matrix, hasConstant: Bool = false) {
    storage = .matrix(rows)
    (count, dimension, samples) = (rows.rows, rows.columns, rows.rows)
    self.hasConstant = hasConstant
  }

  /// The rows `range` in double precision; deferred rows are read sample by sample, by a `SampleReader`.
  package func copy(_ range: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    let d = dimension
    switch storage {
    case .matrix(let rows): target.update(from: rows.row(range.lowerBound), count: range.count * d)
    case .stored(let x): x.copyDoubles(range.lowerBound * d..<range.upperBound * d, into: target)
    case .deferred: preconditionFailure("deferred rows are read by a reader")
    }
  }

  /// A reader of whole samples with memory of its own; each thread needs one.
  package func reader() -> SampleReader {
    guard case .deferred(let patches) = storage else { return SampleReader(self, nil) }
    return SampleReader(self, patches.reader(.asCut))
  }

  /// All rows. Throws if there is no memory for them.
  package func matrix() throws -> Matrix {
    try expectMemory(
      8 * Double(count) * Double(dimension), for: "\(count) rows of \(dimension) features")
    let result = Matrix(count, dimension)
    Threads.split(samples) { range in
      reader().read(range, into: result.row(range.lowerBound * rowsPerSample))
    }
    return result
  }
}

/// Reads the rows of samples, K for each, in their order.
package struct SampleReader {
  private let rows: DataRows
  private let patches: PatchReader?

  fileprivate init(_ rows: DataRows, _ patches: PatchReader?) {
    self.rows = rows
    self.patches = patches
  }

  /// K rows of d numbers for each sample.
  package func read(_ samples: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    guard let patches else {
      let k = rows.rowsPerSample
      return rows.copy(samples.lowerBound * k..<samples.upperBound * k, into: target)
    }
    patches.read(samples, into: target)
  }
}
