import LinearAlgebra
import Schema
import Tensors

extension SampledGates {
  /// The bundle of kind `arrangements` of a deferred dataset: all of `source`, and the gates, which imply the patterns.
  /// `bound` is how many patterns there can be; it is left out if it is not finite. With `rank` they are all patterns of a
  /// truncation of that rank.
  package func bundle(
    source: Bundle, isExact: Bool, bound: Double, rank: Int? = nil, metadata: [String: String]
  ) -> Bundle {
    var result = source
    result.metadata.merge(metadata) { $1 }
    result.metadata["kind"] = Kind.arrangements.rawValue
    result.metadata[.exact] = isExact
    result.metadata[.rank] = rank
    result.metadata["bound"] = bound.isFinite ? PatternCount.text(bound) : nil
    tensors.write(to: &result)
    return result
  }
}

extension GatedPatterns {
  /// The bundle of kind `arrangements`: all of the dataset `source`, gates, and, unless it is deferred,
  /// patterns.
  package func bundle(
    source: Bundle, isExact: Bool, bound: Double, rank: Int? = nil, metadata: [String: String]
  ) -> Bundle {
    var result = sampled.bundle(
      source: source, isExact: isExact, bound: bound, rank: rank, metadata: metadata)
    if source[.x] != nil { result[.patterns] = patterns.tensor }
    return result
  }
}

/// The number of patterns that there can be.
package enum PatternCount {
  /// 2 Σ_{k<r} C(m − 1, k): the cells into which m hyperplanes through the origin, of rank r, cut the space, with
  /// equality in general position (Cover, 1965); 1 if there is no hyperplane.
  package static func bound(hyperplanes m: Int, rank: Int) -> Double {
    guard m > 0, rank > 0 else { return 1 }
    var (sum, term) = (0.0, 1.0)
    for k in 0..<min(rank, m) {
      sum += term
      // C(m − 1, k + 1); whole numbers up to 2⁵³ are exact.
      term = term * Double(m - 1 - k) / Double(k + 1)
      if sum.isInfinite { break }
    }
    return 2 * sum
  }

  /// The number as text, without an exponent if it is exact as a whole number.
  package static func text(_ count: Double) -> String {
    count < 0x1p53 ? "\(Int(count))" : "\(count)"
  }
}
