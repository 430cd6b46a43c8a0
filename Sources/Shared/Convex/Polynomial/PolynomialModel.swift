import LinearAlgebra

extension FeatureMap {
  /// ŷ on `data` for packed raw matrices H (C × Q).
  func predictions(packed: Matrix, on data: MomentData) -> Matrix {
    let weights = Matrix(packed.rows, data.rowLength)
    let constants = (0..<packed.rows).map {
      momentWeights(packed.row($0), into: weights.row($0))
    }
    return data.predictions(weights, constants: constants)
  }

  /// svec(Z_r − Z'_r) of every region, a row a class: C × Q.
  func packed(_ blocks: [ConeBlocks]) -> Matrix {
    let result = Matrix(blocks.count, count)
    let difference = Matrix(order, order)
    for (c, block) in blocks.enumerated() {
      for r in 0..<regions {
        for i in 0..<order * order {
          difference.base[i] = block.row(r)[i] - block.row(regions + r)[i]
        }
        packing.pack(difference.base, into: result.row(c) + r * packing.count)
      }
    }
    return result
  }
}

/// The training data and their features: computes predictions, and the dual matrices of a dual point.
struct PolynomialModel {
  let data: MomentData
  let map: FeatureMap

  /// ŷ for packed raw matrices H (C × Q).
  func predictions(packed: Matrix) -> Matrix { map.predictions(packed: packed, on: data) }

  /// ŷ (n × C) of a network on any data of the same shape.
  func predictions(_ blocks: [ConeBlocks], on data: MomentData) -> Matrix {
    map.predictions(packed: map.packed(blocks), on: data)
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
