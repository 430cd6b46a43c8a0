import LinearAlgebra
import Schema

/// The dual constraint of ReLU networks over all patterns: max over ‖u‖ = 1 of |Σ_i ν_i (1/K) Σ_k (x_ik·u)₊| ≤ β for each
/// output (Pilanci and Ergen, 2020), proved by branch and bound in the space of the rows.
struct AllNeurons {
  /// An upper bound of the constraint's left side if it is proved to be at most what was claimed, up to rounding;
  /// otherwise infinite.
  let bound: Double
  /// Why it is not proved; nil if it is.
  let objection: String?

  /// In more dimensions a proof has no prospect.
  static let mostDimensions = 16
  /// The most cones of a proof, some hours of work.
  static let mostNodes = 1 << 32

  /// `features` are n·K × d, `dual` is ν, n × C.
  static func judge(features: Matrix, dual: Matrix, beta: Double) -> AllNeurons {
    guard let rows = RowCoordinates(features, limit: mostDimensions) else {
      return unproved(
        "the samples have more than \(mostDimensions) dimensions: no bound over all neurons can be proved"
      )
    }
    let (count, rank) = (features.rows, rows.rank)
    let patches = features.rows / max(1, dual.rows)
    let search = SphereSearch(
      rows: UnsafeBufferPointer(start: rows.coordinates.base, count: count * rank), count: count,
      rank: rank)
    // Lengths in the coordinates are those of the rows up to rounding.
    let room = 1 + 8 * Double(features.columns + rank) * Double.ulpOfOne
    var largest = 0.0
    for c in 0..<dual.columns {
      for sign in [1.0, -1] {
        let weights = (0..<count).map { sign * dual[$0 / patches, c] / Double(patches) }
        // What is outside the space of the coordinates.
        let outside = zip(weights, rows.rests).reduce(0) { $0 + abs($1.0) * $1.1 }
        let limit = beta * (1 + Claim.feasibilityTolerance) / room - outside
        let (verdict, _) = search.bound(
          weights: weights, tau: limit, maximumNodes: mostNodes, proceed: { true })
        switch verdict {
        case .proved(let bound): largest = max(largest, bound * room + outside)
        case .refuted(_, let value):
          return unproved(
            "a neuron of length 1 has the price \(value) for output \(c), above beta \(beta): the bound is not one of all "
              + "networks")
        case .unfinished(let bound, _, _):
          return unproved("no bound of all prices below \(bound) could be proved for output \(c)")
        }
      }
    }
    return AllNeurons(bound: largest, objection: nil)
  }

  private static func unproved(_ objection: String) -> AllNeurons {
    AllNeurons(bound: .infinity, objection: objection)
  }
}
