import LinearAlgebra

/// The training data and their features: computes predictions, and the dual matrices of a dual point.
struct PolynomialModel {
  let data: MomentData
  let map: FeatureMap

  /// ŷ for packed raw matrices H (C × Q).
  func predictions(packed: Matrix, on data: MomentData? = nil) -> Matrix {
    let data = data ?? self.data
    let weights = Matrix(packed.rows, data.rowLength)
    let constants = (0..<packed.rows).map {
      map.momentWeights(packed.row($0), into: weights.row($0))
    }
    return data.predictions(weights, constants: constants)
  }

  /// ŷ (n × C) of a network on any data of the same shape.
  func predictions(_ blocks: [Matrix], on data: MomentData) -> Matrix {
    let packed = Matrix(blocks.count, map.count)
    let m = map.order
    let difference = Matrix(m, m)
    for (c, block) in blocks.enumerated() {
      for r in 0..<map.regions {
        for i in 0..<m * m {
          difference.base[i] = block.row(r)[i] - block.row(map.regions + r)[i]
        }
        map.packing.pack(difference.base, into: packed.row(c) + r * map.packing.count)
      }
    }
    return predictions(packed: packed, on: data)
  }

  /// svec(S_r), S_r = Σ ν Φ_r, of every class: C × Q, raw.
  func dualVectors(_ dual: Matrix) -> Matrix {
    let sums = data.adjoint(dual)
    let result = Matrix(dual.columns, map.count)
    for c in 0..<dual.columns {
      var total = 0.0
      for i in 0..<dual.rows { total += dual[i, c] }
      map.dualMatrices(sums.row(c), total: total, into: result.row(c))
    }
    return result
  }
}
