import LinearAlgebra
import Schema
import Tensors

extension StatisticsTensors {
  /// The upper triangle of FᵀF, or with `centre` c that of (F − 1cᵀ)ᵀ(F − 1cᵀ).
  package var triangle: SymmetricTriangle { SymmetricTriangle(gram, order: order) }

  /// FᵀY, Q × C.
  package var right: Matrix { Matrix(correlations) }

  /// What further data are compared with.
  package func targets() throws -> Targets {
    let names = try counts.map { counts in
      try common.classNames() ?? counts.indices.map(String.init)
    }
    return Targets(
      outputs: outputs, classes: names,
      targetValues: try names == nil ? nil : common.targetValues(outputs: outputs, loss: .squared))
  }

  /// FᵀF X for X of Q rows.
  package func gramTimes(_ x: Matrix) -> Matrix {
    let result = triangle.times(x)
    guard let centre else { return result }
    // FᵀF = C + c sᵀ + s cᵀ + n c cᵀ, s being the sums of F − 1cᵀ
    let sides = Matrix(2, order)
    centre.copyDoubles(0..<order, into: sides.row(0))
    sums.copyDoubles(0..<order, into: sides.row(1))
    let along = product(sides, .plain, x, .plain)
    for i in 0..<order {
      let (c, s) = (sides[0, i], sides[1, i])
      for k in 0..<x.columns {
        result[i, k] += c * along[1, k] + (s + Double(samples) * c) * along[0, k]
      }
    }
    return result
  }

  /// ½‖Y − F W‖² for W (Q × C).
  package func loss(of w: Matrix) -> Double {
    let (image, right) = (gramTimes(w), self.right)
    return (0..<outputs).reduce(0) { sum, c in
      var value = 0.5 * squares[c]
      for i in 0..<order { value += w[i, c] * (0.5 * image[i, c] - right[i, c]) }
      return sum + value
    }
  }
}

/// The gates of sums over samples, as solutions are written over them.
package final class SummedGates: PatternedData {
  package let samples: Int
  package let dimension: Int
  package let regions: Int
  package let listed: PatternTensors

  package init(_ statistics: StatisticsTensors, _ gates: GateTensors) {
    (samples, dimension, regions) = (
      statistics.samples, statistics.dimension, statistics.regions
    )
    listed = PatternTensors(gates: gates, patterns: nil)
  }
}
