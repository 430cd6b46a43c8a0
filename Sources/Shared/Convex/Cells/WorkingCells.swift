import LinearAlgebra

/// The cells of a round of column generation, in a fixed order, and the blocks of each cell, one for each simplex.
struct WorkingCells {
  private let pricing: CellPricing
  private let cells: [SignedCell]
  /// The first block of each cell, and their number at the end.
  private let starts: [Int]

  /// Products of this size are not worth a second thread.
  private static let small = 400_000

  init(_ working: Set<SignedCell>, _ pricing: CellPricing) {
    self.pricing = pricing
    cells = working.sorted { ($0.cell, $0.sign) < ($1.cell, $1.sign) }
    starts = cells.reduce(into: [0]) {
      let cell = $1.cell
      $0.append($0.last! + pricing.splitting.starts[cell + 1] - pricing.splitting.starts[cell])
    }
  }

  func program(_ y: [Double], beta: Double) -> CellProgram {
    let splitting = pricing.splitting
    let (n, r) = (y.count, splitting.r)
    let rays = Matrix(starts.last!, r * r)
    let features = Matrix(n, starts.last! * r)
    for (place, cell) in cells.enumerated() {
      let first = splitting.starts[cell.cell]
      for b in starts[place]..<starts[place + 1] {
        let simplex = first + b - starts[place]
        let ray = rays.row(b)
        for i in 0..<r * r { ray[i] = splitting.rays[simplex * r * r + i] }
        for j in 0..<n where pricing.patterns.isActive(cell.cell, row: j) {
          let (x, target) = (pricing.features.row(j), features.row(j) + b * r)
          for i in 0..<r {
            var sum = 0.0
            for k in 0..<r { sum += x[k] * ray[i * r + k] }
            target[i] = cell.sign * sum
          }
        }
      }
    }
    return CellProgram(rays: rays, features: features, targets: y, beta: beta)
  }

  /// One step, on one thread if that is as fast.
  func iterate(_ point: CellInteriorPoint) -> Bool {
    guard point.weights.count * pricing.features.rows < WorkingCells.small else {
      return point.iterate()
    }
    var isMoving = false
    Threads.perform(1) { _ in isMoving = point.iterate() }
    return isMoving
  }

  /// The weights of each cell: the sum over its simplices.
  func weights(_ point: CellInteriorPoint) -> [SignedCell: [Double]] {
    let r = pricing.splitting.r
    var result: [SignedCell: [Double]] = [:]
    result.reserveCapacity(cells.count)
    for (place, cell) in cells.enumerated() {
      var sum = [Double](repeating: 0, count: r)
      for b in starts[place]..<starts[place + 1] {
        for k in 0..<r { sum[k] += point.weights[b, k] }
      }
      result[cell] = sum
    }
    return result
  }

  /// The length of each cell's weights.
  func lengths(_ point: CellInteriorPoint) -> [SignedCell: Double] {
    weights(point).mapValues { norm(pricing.splitting.r, $0) }
  }
}
