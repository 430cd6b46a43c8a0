import LinearAlgebra
import Schema
import Tensors

/// Finds the places of another bundle's gates among the patterns of `data`.
struct PatternLookup {
  private let data: any PatternedData
  private let count: Int

  init(_ data: any PatternedData) {
    self.data = data
    count = data.gates.shape[0]
  }

  /// The place of each of the A `gates`: that in `hints` if the gate stands there, else that of an equal gate, else,
  /// for fully-connected networks, that of the pattern which the gate makes of X. Throws if there is none.
  func places(of gates: GateTensors, near hints: [Int]) throws -> [Int] {
    var byGate: [[Double]: Int]?
    var byPattern: [[UInt8]: Int]?
    return try hints.enumerated().map { k, hint in
      let gate = gates.numbers(k)
      if hint >= 0, hint < count, own(hint) == gate { return hint }
      if byGate == nil {
        byGate = Dictionary(
          (0..<count).map { (own($0), $0) }, uniquingKeysWith: { first, _ in first })
      }
      if let place = byGate?[gate] { return place }
      guard let data = data as? ArrangementData else {
        throw Failure.data(
          "the gate in row \(k) of the warm start is none of the \(count) gates of the training data"
        )
      }
      if byPattern == nil {
        byPattern = Dictionary(
          (0..<data.patterns.count).map { i in
            (
              Array(UnsafeBufferPointer(start: data.patterns.bits(i), count: data.patterns.stride)),
              i
            )
          }, uniquingKeysWith: { first, _ in first })
      }
      let made = Patterns.signs(of: DataRows(data.features), gates: gates.rows([k]))
      let bits = Array(UnsafeBufferPointer(start: made.bits(0), count: made.stride))
      if let place = byPattern?[bits] { return place }
      throw Failure.data(
        "the gate in row \(k) of the warm start makes none of the \(data.patterns.count) patterns "
          + "of the training data")
    }
  }

  private func own(_ i: Int) -> [Double] { data.listed.gates.numbers(i) }
}
