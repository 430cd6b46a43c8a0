import Convex
import Convolution
import LinearAlgebra
import Schema
import Tensors

/// The distinct patterns of directions that training met, each with the first direction that has it as its gate.
final class FoundPatterns {
  private let rows: DataRows
  private let dimension: Int
  private var gates: [Double] = []
  private var bits: [UInt8] = []
  private var places: [[UInt8]: Int] = [:]
  private(set) var count = 0

  /// The gates, P × d.
  var directions: Matrix { Matrix(count, dimension, gates) }

  init(_ rows: PatchRows) {
    self.rows = DataRows(rows.original)
    dimension = rows.original.columns
  }

  /// Adds the patterns of the rows of `directions` (in the data's coordinates) that are new; returns the places of all.
  func add(_ directions: Matrix) -> [Int] {
    guard directions.rows > 0 else { return [] }
    let found = Patterns.signs(of: rows, gates: directions)
    return (0..<found.count).map { i in
      let pattern = Array(UnsafeBufferPointer(start: found.bits(i), count: found.stride))
      if let place = places[pattern] { return place }
      places[pattern] = count
      bits += pattern
      gates += UnsafeBufferPointer(start: directions.row(i), count: dimension)
      count += 1
      return count - 1
    }
  }

  /// These patterns, with their bits.
  var tensors: PatternTensors {
    PatternTensors(
      gates: GateTensors(vectors: Tensor(gates, shape: [count, dimension]), thresholds: nil),
      patterns: Tensor(bits, shape: [count, Patterns.stride(rows.count)]))
  }
}
