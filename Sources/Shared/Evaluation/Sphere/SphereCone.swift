/// An open cone: where its numbers are, and what is known of it.
struct SphereCone {
  /// The place of its numbers in the memory of its lane.
  var start: Int
  /// How many of its rows with positive, and negative, weight have a kink inside.
  var positives: Int
  var negatives: Int
  /// The number of splits from the root.
  var depth: Int
  /// f / T is at most this in the cone.
  var bound: Double
}

/// The order of the numbers of a cone of r rays.
///
/// Per ray: the ray itself (r numbers); P, the sum of the positive parts of all rows with positive weight; the parts of
/// P and N that come from the settled rows, which are linear on the cone; the coefficients of a point to begin with.
/// Then the columns of products of the mixed rows with each ray, first of those with positive weight.
struct SphereLayout {
  let rank: Int
  let rays = 0
  let values: Int
  let positiveLinear: Int
  let negativeLinear: Int
  let guess: Int
  let rows: Int

  init(rank: Int) {
    self.rank = rank
    values = rank * rank
    positiveLinear = values + rank
    negativeLinear = positiveLinear + rank
    guess = negativeLinear + rank
    rows = SphereKernel.padded(guess + rank)
  }

  /// How many numbers a cone has.
  @inline(__always)
  func size(positives: Int, negatives: Int) -> Int {
    rows &+ rank &* (SphereKernel.padded(positives) &+ SphereKernel.padded(negatives))
  }
}
