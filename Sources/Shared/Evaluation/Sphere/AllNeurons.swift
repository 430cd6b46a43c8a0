import LinearAlgebra
import Schema

/// The dual constraint of ReLU networks over all patterns: max over ‖u‖ = 1 of |Σ_i ν_i (1/K) Σ_k (x_ik·u)₊| ≤ β for each
/// output (Pilanci and Ergen, 2020), proved by branch and bound in the space of the rows.
struct AllNeurons {
  /// In more dimensions a proof has no prospect.
  static let mostDimensions = 16
  /// The most cones of a proof, about half an hour of work.
  private static let mostNodes = 200_000_000
  /// A price is not found to more than this share: below, rounding decides.
  private static let leastTolerance = 1e-8

  enum Shortfall: Error {
    /// The rows have more dimensions than can be searched.
    case dimensions
    /// A neuron of length 1 has this price for the output.
    case exceeded(price: Double, output: Int)
    /// Within the work that is allowed, or that rounding allows, no less was proved.
    case unproved(bound: Double, output: Int)

    var text: String {
      switch self {
      case .dimensions:
        "the samples have more than \(mostDimensions) dimensions: no bound over all neurons can be proved"
      case .exceeded(let price, let output):
        "a neuron of length 1 has the price \(price) for output \(output), above beta: the bound is not one of all "
          + "networks"
      case .unproved(let bound, let output):
        "no bound of all prices below \(bound) could be proved for output \(output)"
      }
    }
  }

  /// The rows and the search over their space; nil if all prices are 0, as they are for ν = 0.
  private let space: (rows: RowCoordinates, search: SphereSearch)?
  private let dual: Matrix
  private let patches: Int
  /// Lengths in the coordinates are those of the rows up to rounding.
  private let room: Double

  /// `features` are n·K × d, `dual` is ν, n × C.
  init(features: Matrix, dual: Matrix) throws(Shortfall) {
    self.dual = dual
    patches = features.rows / max(1, dual.rows)
    guard (0..<dual.count).contains(where: { dual.base[$0] != 0 }) else {
      (space, room) = (nil, 1)
      return
    }
    guard let rows = RowCoordinates(features, limit: AllNeurons.mostDimensions) else {
      throw .dimensions
    }
    let coordinates = rows.coordinates
    let search = SphereSearch(
      rows: UnsafeBufferPointer(start: coordinates.base, count: coordinates.count),
      count: features.rows, rank: rows.rank)
    space = (rows, search)
    room = 1 + 8 * Double(features.columns + rows.rank) * Double.ulpOfOne
  }

  /// An upper bound of all prices, at most `limit`.
  func bound(below limit: Double) throws(Shortfall) -> Double {
    var largest = 0.0
    for c in 0..<dual.columns {
      for sign in [1.0, -1] {
        switch prove(c, sign, limit) {
        case .proved(let bound): largest = max(largest, bound)
        case .refuted(_, let price): throw .exceeded(price: price, output: c)
        case .unfinished(let bound, _, _): throw .unproved(bound: bound, output: c)
        }
      }
    }
    return largest
  }

  /// An upper bound of all prices, at most 1 + `tolerance` times the larger of `least` and a price that there is.
  func largestPrice(above least: Double, tolerance: Double) throws(Shortfall) -> Double {
    let step = 1 + max(AllNeurons.leastTolerance, tolerance)
    var largest = least
    for c in 0..<dual.columns {
      for sign in [1.0, -1] {
        var limit = largest * step
        search: while true {
          switch prove(c, sign, limit) {
          case .proved(let bound):
            largest = max(largest, bound)
            break search
          // A price above the limit raises it.
          case .refuted(_, let price) where price.isFinite: limit = max(limit, price) * step
          case .refuted(_, let price): throw .exceeded(price: price, output: c)
          case .unfinished(let bound, _, _): throw .unproved(bound: bound, output: c)
          }
        }
      }
    }
    return largest
  }

  /// Whether the prices of one sign and output are at most `limit`, with what is outside the space of the coordinates.
  private func prove(_ c: Int, _ sign: Double, _ limit: Double) -> SphereSearch.Verdict {
    let weights = (0..<dual.rows * patches).map { sign * dual[$0 / patches, c] / Double(patches) }
    guard let space, weights.contains(where: { $0 != 0 }) else { return .proved(bound: 0) }
    let outside = zip(weights, space.rows.rests).reduce(0) { $0 + abs($1.0) * $1.1 }
    let (verdict, _) = space.search.bound(
      weights: weights, tau: limit / room - outside, maximumNodes: AllNeurons.mostNodes,
      proceed: { true })
    guard case .proved(let bound) = verdict else { return verdict }
    return .proved(bound: bound * room + outside)
  }
}
