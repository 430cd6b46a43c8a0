import LinearAlgebra

/// The weights of the patterns, or of the blocks of a pattern and a sign, that carry some.
struct PatternWeights {
  /// The numbers of these patterns or blocks.
  var active: [Int]
  /// A row of d for each; the rows of one output follow those of the previous one. Later rows are unused.
  var rows: Matrix
}

/// The best points of one output, or of several that share their groups; targets are C × n or n × 1.
typealias PatternIncumbent = Incumbent<PatternWeights>

extension Incumbent where Weights == PatternWeights {
  convenience init(_ targets: Matrix, dimension: Int, loss: any Loss, beta: Double) {
    self.init(
      loss, targets: targets, beta: beta,
      zero: PatternWeights(active: [], rows: Matrix(0, dimension)))
  }

  var active: [Int] { weights.active }

  /// Takes the weights η_k t_k of the members `active` if they are better; t_k is row k of each output's `directions`,
  /// and η is 1 if not given.
  func offer(
    primal value: Double, active list: [Int], eta: [Double]? = nil, directions: [Matrix],
    predictions: Matrix
  ) {
    offer(primal: value, predictions: predictions) { weights in
      weights.active = list
      let (d, count) = (weights.rows.columns, directions.count * list.count)
      if weights.rows.rows < count { weights.rows = Matrix(max(count, 2 * weights.rows.rows), d) }
      for (c, t) in directions.enumerated() {
        for k in list.indices {
          let (source, target) = (t.row(k), weights.rows.row(c * list.count + k))
          let scale = eta?[k] ?? 1
          for j in 0..<d { target[j] = scale * source[j] }
        }
      }
    }
  }
}
