import Convex
import LinearAlgebra
import Tensors

/// The moments of samples in single precision: rows of R · (d (d + 1)/2 + d) numbers, as `MomentData` has them.
final class MomentBatches: @unchecked Sendable {
  let data: MomentData
  /// n × R·width.
  let rows: SingleMatrix

  init(_ data: MomentData) throws {
    self.data = data
    try expectMemory(
      4 * Double(data.samples) * Double(data.rowLength),
      for: "\(data.samples) samples of \(data.rowLength) moments")
    rows = SingleMatrix(data.samples, data.rowLength)
    let rows = rows
    data.forEachBlock { range, values in
      let target = rows.row(range.lowerBound)
      for k in 0..<range.count * data.rowLength { target[k] = Float(values[k]) }
    }
  }

  func gather(
    _ samples: UnsafePointer<Int32>, _ count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let size = rows.columns
    for place in 0..<count {
      (target + place * size).update(from: rows.row(Int(samples[place])), count: size)
    }
  }
}
