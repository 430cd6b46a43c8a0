import LinearAlgebra

/// F_i = D_i X of a fully-connected gated network: products use masked rows of X, and the kernel is (X Xᵀ) ∘ (D Dᵀ).
package final class PatternFeatures: GroupedFeatures {
  private let data: ArrangementData
  /// The pattern of each group.
  package let members: [Int]
  /// D, n × P.
  private let masks: Storage<Float>

  package var samples: Int { data.samples }
  package var groups: Int { members.count }
  package var width: Int { data.dimension }

  package init(_ data: ArrangementData, members: [Int]) {
    self.data = data
    self.members = members
    let (n, count) = (data.samples, members.count)
    masks = Storage(n * count)
    let target = masks.base
    Threads.split(n, grain: 1000) { range in
      for (k, i) in members.enumerated() {
        let bits = data.patterns.bits(i)
        for j in range { target[j * count + k] = Float(bits[j >> 3] >> UInt8(j & 7) & 1) }
      }
    }
  }

  package lazy var rowSquares: [Double] = (0..<samples).map {
    dot(width, data.features.row($0), data.features.row($0))
  }

  package func products(outputs: Int, groups: Int) -> any GroupedProducts {
    Products(
      data, members,
      PatternColumns(samples: data.samples, classes: outputs, patterns: max(1, groups)))
  }

  package func kernel(
    _ rows: Range<Int>, _ columns: Range<Int>, into tile: UnsafeMutablePointer<Double>
  ) {
    let (d, count) = (data.dimension, members.count)
    gemm(
      rows.count, columns.count, d, data.features.row(rows.lowerBound), .plain,
      data.features.row(columns.lowerBound), .transposed, tile)
    // Sums of zeros and ones are exact in single precision.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * columns.count) { shared in
      let shared = shared.baseAddress!
      gemm(
        rows.count, columns.count, count, masks.base + rows.lowerBound * count, .plain,
        masks.base + columns.lowerBound * count, .transposed, shared)
      for k in 0..<rows.count * columns.count { tile[k] *= Double(shared[k]) }
    }
  }

  private final class Products: GroupedProducts {
    private let data: ArrangementData
    private let members: [Int]
    private let columns: PatternColumns
    var block: Int { columns.block }

    init(_ data: ArrangementData, _ members: [Int], _ columns: PatternColumns) {
      (self.data, self.members, self.columns) = (data, members, columns)
    }

    func correlate(
      _ groups: Range<Int>, _ q: Matrix, into result: UnsafeMutablePointer<Double>
    ) {
      columns.transposedProduct(members[groups], data, q, into: result)
    }

    func add(_ groups: Range<Int>, _ weights: UnsafePointer<Double>, to result: Matrix) {
      columns.addProduct(members[groups], data, weights, to: result)
    }
  }
}
