import LinearAlgebra

/// Features that are stored as numbers, such as those of patches averaged over regions.
package final class ExplicitFeatures: GroupedFeatures {
  /// A, n × PQ; the columns of each group stand together.
  private let features: Matrix
  package let groups: Int

  package var samples: Int { features.rows }
  package var width: Int { features.columns / groups }

  /// `features` is n × PQ.
  package init(_ features: Matrix, groups: Int) {
    precondition(groups > 0 && features.columns % groups == 0, "columns are no groups")
    self.features = features
    self.groups = groups
  }

  package lazy var rowSquares: [Double] = (0..<samples).map { j in
    (0..<groups).reduce(0) { largest, i in
      let row = features.row(j) + i * width
      return max(largest, dot(width, row, row))
    }
  }

  package func products(outputs: Int, groups: Int) -> any GroupedProducts {
    Products(features, width: width, outputs: outputs, groups: groups)
  }

  package func kernel(
    _ rows: Range<Int>, _ columns: Range<Int>, into tile: UnsafeMutablePointer<Double>
  ) {
    gemm(
      rows.count, columns.count, features.columns, features.row(rows.lowerBound), .plain,
      features.row(columns.lowerBound), .transposed, tile)
  }

  private final class Products: GroupedProducts {
    private let features: Matrix
    private let width: Int
    private let outputs: Int
    let block: Int
    /// The weights of a block as C × (block·Q).
    private let gathered: Matrix

    init(_ features: Matrix, width: Int, outputs: Int, groups: Int) {
      (self.features, self.width, self.outputs) = (features, width, outputs)
      // Wide enough for BLAS, and no larger than a few MB.
      block = max(1, min(groups, 4096 / max(1, width)))
      gathered = Matrix(outputs, block * width)
    }

    func correlate(
      _ groups: Range<Int>, _ q: Matrix, into result: UnsafeMutablePointer<Double>
    ) {
      let columns = groups.count * width
      gemm(
        outputs, columns, features.rows, q.base, .plain, features.base + groups.lowerBound * width,
        .plain, ldb: features.columns, gathered.base)
      for k in 0..<groups.count {
        for c in 0..<outputs {
          (result + (k * outputs + c) * width).update(
            from: gathered.base + c * columns + k * width, count: width)
        }
      }
    }

    func add(_ groups: Range<Int>, _ weights: UnsafePointer<Double>, to result: Matrix) {
      let columns = groups.count * width
      for k in 0..<groups.count {
        for c in 0..<outputs {
          (gathered.base + c * columns + k * width).update(
            from: weights + (k * outputs + c) * width, count: width)
        }
      }
      gemm(
        outputs, features.rows, columns, gathered.base, .plain,
        features.base + groups.lowerBound * width, .transposed, ldb: features.columns, beta: 1,
        result.base)
    }
  }
}
