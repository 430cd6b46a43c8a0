import LinearAlgebra
import Tensors

extension Arrangements {
  /// Whether the list holds the pattern of every full-dimensional cell of the samples' patches: as many distinct
  /// patterns as there are cells, each attained strictly by its gate. Only bits and gates are taken from the bundle.
  /// Directions into which the rows hardly extend must not matter to the dual constraints of ν = `dual` (n × C), of which
  /// they may move at most a millionth of `beta`.
  func isComplete(
    _ examples: Examples, _ patches: PatchFeatures, dual: Matrix, beta: Double
  ) throws -> Bool {
    // Patches of a sample are read region by region; bits stand in the order of x.
    let ordered = isListed ? try reordered(patches.pooling.order) : self
    return try ordered.isComplete(
      features: examples.matrix(of: patches), dual: dual, beta: beta)
  }

  /// The same for the rows `features` (n·K × d), in the order of the patterns' bits.
  func isComplete(features: Matrix, dual: Matrix, beta: Double) throws -> Bool {
    guard !gates.hasThresholds, let count = try completeCount(features: features) else {
      return false
    }
    return count.neglected * Arrangements.weight(of: features, dual, count) <= 1e-6 * beta
  }

  /// Σ |ν_i| ‖x_i‖ for the output where it is largest, the rows scaled as they are counted, times what a unit weight may
  /// become.
  private static func weight(of features: Matrix, _ dual: Matrix, _ count: CellCount) -> Double {
    let k = features.rows / max(1, dual.rows)
    return (0..<dual.columns).reduce(0) { largest, c in
      let sum = (0..<features.rows).reduce(0) {
        $0 + abs(dual[$1 / k, c]) * LinearAlgebra.norm(features.columns, features.row($1))
      }
      return max(largest, sum * count.scales.most / count.scales.least / Double(k))
    }
  }

  /// - Parameter features: the rows, n·K × d, in the order of the patterns' bits.
  /// Returns the count of the cells if the list is complete, otherwise `nil`.
  private func completeCount(features: Matrix) throws -> CellCount? {
    let listed = isListed ? self : try listing(features: features)
    guard listed.areDistinct, let cells = CellCount(features, limit: count), cells.cells == count
    else { return nil }
    return listed.areAttainedStrictly(features) ? cells : nil
  }

  /// Whether no two patterns have the same bits.
  private var areDistinct: Bool {
    let whole = rows / 8
    let mask = UInt8((1 << (rows % 8)) - 1)
    func precedes(_ a: Int, _ b: Int) -> Bool? {
      let (first, second) = (bytes(of: a), bytes(of: b))
      for k in 0..<whole where first[k] != second[k] { return first[k] < second[k] }
      guard mask != 0, first[whole] & mask != second[whole] & mask else { return nil }
      return first[whole] & mask < second[whole] & mask
    }
    let order = (0..<count).sorted { precedes($0, $1) ?? ($0 < $1) }
    return zip(order, order.dropFirst()).allSatisfy { precedes($0, $1) != nil }
  }

  /// Whether the product of every gate with every nonzero row has the sign that the pattern says, beyond rounding; a
  /// row of zeros counts as active.
  private func areAttainedStrictly(_ features: Matrix) -> Bool {
    let (n, d) = (features.rows, features.columns)
    let lengths = (0..<n).map { norm(d, features.row($0)) }
    let size = max(1, min(128, (1 << 20) / max(n, 1)))
    let blocks = (count + size - 1) / size
    var strict = [Bool](repeating: true, count: blocks)
    strict.withUnsafeMutableBufferPointer { strict in
      nonisolated(unsafe) let strict = strict
      Threads.split(blocks) { own in
        let products = Matrix(size, n)
        for block in own {
          let members = Array(block * size..<min(count, (block + 1) * size))
          let some = gates.selecting(members)
          // G Xᵀ
          gemm(
            members.count, n, d, some.vectors.base, .plain, features.base, .transposed, ldb: d,
            products.base)
          strict[block] = members.enumerated().allSatisfy { i, pattern in
            isStrict(pattern, some, i, products.row(i), features, lengths)
          }
        }
      }
    }
    return strict.allSatisfy(\.self)
  }

  private func isStrict(
    _ pattern: Int, _ some: Gates, _ i: Int, _ products: UnsafePointer<Double>, _ features: Matrix,
    _ lengths: [Double]
  ) -> Bool {
    let d = features.columns
    // |x·g| may be off by some (d + 1)/2 roundings of ‖x‖ ‖g‖.
    let rounding = Double(d + 2) * Double.ulpOfOne * some.lengths[i]
    for j in 0..<features.rows {
      let active = isActive(pattern, row: j)
      if lengths[j] == 0 {
        if !active { return false }
        continue
      }
      var value = products[j]
      if abs(value) <= rounding * lengths[j] {
        // In twice the precision the error is at most some squares of a rounding.
        value = preciseDot(d, features.row(j), some.vectors.row(i))
        if abs(value) <= rounding * Double.ulpOfOne * lengths[j] { return false }
      }
      if !value.isFinite || (value > 0) != active { return false }
    }
    return true
  }
}

/// x · y as if in twice the precision.
private func preciseDot(
  _ d: Int, _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>
) -> Double {
  var sum = CompensatedSum()
  for k in 0..<d { sum.add(x[k], times: y[k]) }
  return sum.value
}
