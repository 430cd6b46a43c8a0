import LinearAlgebra

extension Incumbent where Weights == PatternWeights {
  /// Offers the weights of the members `active` of `products`, for each output a matrix with a row for each member; the
  /// targets are C × n. Returns their predictions.
  func offer(_ weights: [Matrix], of active: [Int], _ products: PatternProducts) -> Matrix {
    let (n, d) = (products.samples, products.dimension)
    let fitted = Matrix(weights.count, n)
    let images = Matrix(active.count, n)
    var squares = active.map { _ in 0.0 }
    for (c, w) in weights.enumerated() {
      products.images(w, active, into: images)
      for k in active.indices {
        axpy(n, 1, images.row(k), fitted.row(c))
        squares[k] += dot(d, w.row(k), w.row(k))
      }
    }
    let penalty = squares.reduce(0) { $0 + $1.squareRoot() }
    offer(
      primal: loss.value(fitted, targets) + beta * penalty, active: active, directions: weights,
      predictions: fitted)
    return fitted
  }
}

extension ArrangementSolution {
  /// The members of `products` that have weights here, in the order of the weights' rows; nil if one of them is no member.
  func members(among products: PatternProducts) -> [Int]? {
    let places = Dictionary(uniqueKeysWithValues: products.members.enumerated().map { ($1, $0) })
    let active = index.compactMap { places[$0] }
    return active.count == index.count ? active : nil
  }
}
