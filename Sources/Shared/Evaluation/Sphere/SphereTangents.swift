/// What is to be done with a cone after it has been bounded.
enum SphereOutcome {
  /// The bound is at most the threshold.
  case settled
  /// Only splitting can lower the bound enough.
  case split
  /// Neither: what is missing is rounding.
  case unsettled
}

extension SphereLane {
  /// How many times a cone's bundle may grow.
  private static let maximumRounds = 30

  /// Bounds f on a cone.
  ///
  /// f = P - N, sums of (x·u)_+ over the rows x with positive and with negative weight (and its size). P is convex and
  /// homogeneous, so that P(Σ c_k r_k) <= Σ c_k P(r_k); N is at least each of its tangents. Only the tangents need
  /// choice: each new one touches N where the present bound is attained, until the bound is below the threshold, or the
  /// relaxation (P replaced by its values at the rays) is above it at a point, which no tangent can change.
  func bound(_ cone: inout SphereCone) -> SphereOutcome {
    let (r, numbers) = (layout.rank, memory + cone.start)
    bundle.begin(rays: numbers + layout.rays)
    let guess = numbers + layout.guess
    guard let first = bundle.addTangent() else { return .split }
    _ = products(cone, guess)
    writeTangent(cone, into: first)
    bundle.start(guess: guess, above: 1.001 * Self.share)
    for _ in 0..<Self.maximumRounds {
      bundle.minimize()
      cone.bound = min(cone.bound, bundle.bound() + room)
      if cone.bound <= threshold + room { return .settled }
      // Where f is zero up to rounding and the claim is, too, nothing can be shown.
      if threshold < 0, cone.bound <= 2 * room { return .unsettled }
      guard bundle.length > 0, bundle.length.isFinite else { return .split }
      let c = bundle.c
      let negative = products(cone, c) + SphereKernel.dot(c, numbers + layout.negativeLinear, r)
      let relaxed = (SphereKernel.dot(c, numbers + layout.values, r) - negative) / bundle.length
      if relaxed > threshold { return look(cone, negative) }
      guard let next = bundle.addTangent() else { return .split }
      writeTangent(cone, into: next)
    }
    return .split
  }

  /// The products of the mixed rows of negative weight with Σ c_k r_k, into the scratch; their positive parts' sum.
  private func products(_ cone: SphereCone, _ c: Numbers) -> Double {
    let (r, length) = (layout.rank, SphereKernel.padded(cone.negatives))
    let columns = memory + cone.start + layout.rows + r &* SphereKernel.padded(cone.positives)
    return SphereKernel.combine(columns, length: length, rank: r, c, into: scratch.products)
  }

  /// The values at the rays of P less the tangent of N at the point whose products are in the scratch.
  private func writeTangent(_ cone: SphereCone, into tangent: Numbers) {
    let (r, numbers) = (layout.rank, memory + cone.start)
    let length = SphereKernel.padded(cone.negatives)
    var column = numbers + layout.rows + r &* SphereKernel.padded(cone.positives)
    let (values, linear) = (numbers + layout.values, numbers + layout.negativeLinear)
    for k in 0..<r {
      let sum = SphereKernel.sum(column, length: length, wherePositive: scratch.products)
      tangent[k] = values[k] - linear[k] - sum
      column += length
    }
  }

  /// Looks at f itself where the relaxation is above the threshold. Without kinks of P the two are the same but for
  /// rounding, and a split would change nothing.
  private func look(_ cone: SphereCone, _ negative: Double) -> SphereOutcome {
    let (r, numbers, c) = (layout.rank, memory + cone.start, bundle.c)
    let length = SphereKernel.padded(cone.positives)
    let mixed = SphereKernel.combine(
      numbers + layout.rows, length: length, rank: r, c, into: scratch.products)
    let positive = mixed + SphereKernel.dot(c, numbers + layout.positiveLinear, r)
    record((positive - negative) / bundle.length)
    return cone.positives == 0 ? .unsettled : .split
  }
}
