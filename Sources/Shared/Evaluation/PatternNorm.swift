import LinearAlgebra
import Schema

extension WeightNorm {
  /// The norm of a neuron's output weights that belongs to this norm.
  func ofOutputs(_ weights: [Double]) -> Double {
    switch self {
    case .group: weights.reduce(0) { $0 + abs($1) }
    case .nuclear: norm(weights.count, weights)
    }
  }
}

extension PatternSolution {
  package var penalty: Double {
    var sum = CompensatedSum()
    for weights in [positive, negative ?? []] where !weights.isEmpty {
      for i in index.indices { sum.add(norm(of: i, weights)) }
    }
    return sum.value
  }

  /// The norm of the weights of pattern `i` of the index: a row of R·d numbers for each class.
  private func norm(of i: Int, _ weights: [Matrix]) -> Double {
    let width = regions * dimension
    if program.kind == .circular {
      // d^(−1/2) Σ_k |ζ_k|
      let rows = weights.map { UnsafePointer($0.row(i)) }
      let groups = grouping == .perPattern ? [rows] : rows.map { [$0] }
      var sum = CompensatedSum()
      for group in groups {
        for length in fourierLengths(group, dimension: dimension) { sum.add(length) }
      }
      return sum.value / Double(dimension).squareRoot()
    }
    let lengths = weights.map { LinearAlgebra.norm(width, $0.row(i)) }
    switch (weightNorm, grouping) {
    case (.group, .perClass):
      var sum = CompensatedSum()
      for length in lengths { sum.add(length) }
      return sum.value
    case (.group, .perPattern):
      return LinearAlgebra.norm(lengths.count, lengths)
    case (.nuclear, _):
      var sum = CompensatedSum()
      for classes in blocks(of: weights.count) {
        let block = Matrix(classes.count * regions, dimension)
        for c in classes {
          block.row((c - classes.lowerBound) * regions).update(
            from: weights[c].row(i), count: width)
        }
        sum.add(nuclearNorm(block.rows <= block.columns ? block : block.transposed))
      }
      return sum.value
    }
  }

  /// The classes, of `count`, whose weights are one matrix of the nuclear norm: each class by itself for gated networks
  /// of several regions with a group for each class, otherwise all. (With one region such a group is a length, so that
  /// group `class`, which bundles of earlier versions have, says nothing there.)
  func blocks(of count: Int) -> [Range<Int>] {
    let isClasswise = grouping == .perClass && regions > 1 && !program.kind.isLinear
    return isClasswise ? (0..<count).map { $0..<$0 + 1 } : [0..<count]
  }

  /// ½ε times the root of Σ_j ν_jc² s_j, `squares` s_j being those of lengths that features cannot exceed: about how
  /// far storing ν in double precision moves the constraints.
  func rounding(_ dual: Matrix, squares: [Double]) -> Double {
    let sums = (0..<dual.columns).map { c in
      (0..<dual.rows).reduce(0) { $0 + dual[$1, c] * dual[$1, c] * squares[$1] }
    }
    let square = grouping == .perPattern ? sums.reduce(0, +) : sums.max() ?? 0
    return 0.5 * Double.ulpOfOne * square.squareRoot()
  }
}
