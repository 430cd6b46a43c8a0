import Glibc
import LinearAlgebra
import Schema
import Tensors

/// ℓ = Σ_i (w_i log Σ_c e^(ŷ_ic) − Σ_c y_ic ŷ_ic) for targets that are not negative, and whose rows add up to w_i: to 1,
/// distributions, unless classes have weights. For Q = Y − ν ≥ 0, whose rows add up to w_i too,
/// −ℓ*(−ν) = −Σ Q log (Q/w_i).
package struct CrossEntropyLoss: Loss {
  package init() {}

  package let name = LossName.crossEntropy
  /// An output's gradient depends on all outputs.
  package var isSeparable: Bool { false }

  /// How far rounding may move the sum of a row of ν, or of a distribution, from where it should be.
  private static let rounding = 1e-12

  /// w of a row of targets.
  static func mass(_ y: UnsafePointer<Double>, _ classes: Int) -> Double {
    var sum = 0.0
    for c in 0..<classes { sum += y[c] }
    return abs(sum - 1) <= rounding ? 1 : sum
  }

  package func restrict(_ dual: Matrix, _ targets: Matrix) {
    // The columns of each row sum to 0, and none exceeds its target.
    for j in 0..<dual.rows {
      let (row, y) = (dual.row(j), targets.row(j))
      var sum = 0.0
      for c in 0..<dual.columns {
        row[c] = max(0, y[c] - row[c])
        sum += row[c]
      }
      let w = CrossEntropyLoss.mass(y, dual.columns)
      for c in 0..<dual.columns { row[c] = y[c] - w * row[c] / sum }
    }
  }

  package func value(_ predictions: Matrix, _ targets: Matrix) -> Double {
    let classes = predictions.columns
    let parts = sums(predictions.rows) { range in
      var sum = 0.0
      for i in range {
        let (z, y) = (predictions.row(i), targets.row(i))
        let largest = CrossEntropyLoss.largest(z, classes)
        var (total, fit) = (0.0, 0.0)
        for c in 0..<classes {
          total += exp(z[c] - largest)
          fit += y[c] * (z[c] - largest)
        }
        sum += CrossEntropyLoss.mass(y, classes) * log(total) - fit
      }
      return sum
    }
    return parts
  }

  package func residual(_ predictions: Matrix, _ targets: Matrix, into residual: Matrix) {
    let classes = predictions.columns
    Threads.split(predictions.rows, grain: 1000) { range in
      for i in range {
        let (y, r) = (targets.row(i), residual.row(i))
        CrossEntropyLoss.softmax(predictions.row(i), classes, into: r)
        let w = CrossEntropyLoss.mass(y, classes)
        for c in 0..<classes { r[c] = y[c] - w * r[c] }
      }
    }
  }

  package func curvature(_ predictions: Matrix, _ targets: Matrix, into curvature: Matrix) {
    let classes = predictions.columns
    Threads.split(predictions.rows, grain: 1000) { range in
      for i in range {
        let p = curvature.row(i)
        CrossEntropyLoss.softmax(predictions.row(i), classes, into: p)
        let w = CrossEntropyLoss.mass(targets.row(i), classes)
        for c in 0..<classes { p[c] *= w * (1 - p[c]) }
      }
    }
  }

  /// `result` ← w (diag(p) − p pᵀ) v for each row, p = softmax(ŷ).
  package func hessianProduct(
    _ predictions: Matrix, _ targets: Matrix, _ vectors: Matrix, into result: Matrix
  ) {
    let classes = predictions.columns
    Threads.split(predictions.rows, grain: 1000) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: classes) { room in
        let p = room.baseAddress!
        for i in range {
          CrossEntropyLoss.softmax(predictions.row(i), classes, into: p)
          let (v, target) = (vectors.row(i), result.row(i))
          let mean = dot(classes, p, v)
          let w = CrossEntropyLoss.mass(targets.row(i), classes)
          for c in 0..<classes { target[c] = w * p[c] * (v[c] - mean) }
        }
      }
    }
  }

  /// Newton's method, row by row, with the Hessian's inverse in closed form (Sherman–Morrison).
  package func prox(_ point: Matrix, _ targets: Matrix, penalty r: Double, into result: Matrix) {
    let classes = point.columns
    Threads.split(point.rows, grain: 200) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * classes) { room in
        let p = room.baseAddress!
        let (g, u, trial) = (p + classes, p + 2 * classes, p + 3 * classes)
        for i in range {
          let (v, y, z) = (point.row(i), targets.row(i), result.row(i))
          let w = CrossEntropyLoss.mass(y, classes)
          if !objective(z, v, y, r, classes).isFinite { z.update(from: v, count: classes) }
          for _ in 0..<50 {
            CrossEntropyLoss.softmax(z, classes, into: p)
            // The Hessian is diag(q) − qqᵀ/w + r for q = wp.
            var (top, bottom, size) = (0.0, 1.0, 0.0)
            for c in 0..<classes {
              p[c] *= w
              g[c] = p[c] - y[c] + r * (z[c] - v[c])
              let h = p[c] + r
              u[c] = g[c] / h
              top += p[c] * u[c]
              bottom -= p[c] * p[c] / (w * h)
            }
            let share = top / (w * bottom)
            var (slope, length) = (0.0, 0.0)
            for c in 0..<classes {
              u[c] += p[c] / (p[c] + r) * share
              slope += g[c] * u[c]
              length = max(length, abs(u[c]))
              size = max(size, abs(z[c]))
            }
            // Far from the solution the full step can be too long.
            var t = 1.0
            if length > 0.5 {
              let start = objective(z, v, y, r, classes)
              for _ in 0..<40 {
                for c in 0..<classes { trial[c] = z[c] - t * u[c] }
                if objective(trial, v, y, r, classes) <= start - 1e-4 * t * slope { break }
                t *= 0.5
              }
            }
            for c in 0..<classes { z[c] -= t * u[c] }
            if length <= 1e-13 * max(1, size) { break }
          }
        }
      }
    }
  }

  private func objective(
    _ z: UnsafePointer<Double>, _ v: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ r: Double,
    _ classes: Int
  ) -> Double {
    let largest = CrossEntropyLoss.largest(z, classes)
    var (total, rest) = (0.0, 0.0)
    for c in 0..<classes {
      total += exp(z[c] - largest)
      rest += 0.5 * r * (z[c] - v[c]) * (z[c] - v[c]) - y[c] * (z[c] - largest)
    }
    return CrossEntropyLoss.mass(y, classes) * log(total) + rest
  }

  package func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double {
    let classes = dual.columns
    return sums(dual.rows) { range in
      var sum = 0.0
      for i in range {
        let (nu, y) = (dual.row(i), targets.row(i))
        let w = CrossEntropyLoss.mass(y, classes)
        var total = 0.0
        for c in 0..<classes {
          let q = y[c] - nu[c]
          total += nu[c]
          if q < 0 { return -.infinity }
          if q > 0 { sum -= q * log(q / w) }
        }
        if abs(total) > CrossEntropyLoss.rounding * w { return -.infinity }
      }
      return sum
    }
  }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    let classes = direction.columns
    var upper = bound
    for i in 0..<direction.rows {
      let (nu, y) = (direction.row(i), targets.row(i))
      let w = CrossEntropyLoss.mass(y, classes)
      for c in 0..<classes {
        if nu[c] > 0 {
          upper = min(upper, y[c] / nu[c] * (1 - 2 * Double.ulpOfOne))
        } else if y[c] >= w, nu[c] < 0 {
          return 0
        }
      }
    }
    guard upper > 0 else { return 0 }
    return maximizer(upTo: upper) { s in
      sums(direction.rows) { range in
        var sum = 0.0
        for i in range {
          let (nu, y) = (direction.row(i), targets.row(i))
          let w = CrossEntropyLoss.mass(y, classes)
          for c in 0..<classes where nu[c] != 0 {
            sum += nu[c] * log(max(0, y[c] - s * nu[c]) / w)
          }
        }
        return sum
      }
    }
  }

  package func expect(_ targets: Matrix, name: String) throws {
    guard targets.columns > 1 else {
      throw Failure.data(
        "tensor \"targets\" of \(name) has one column, expected a column a class for the "
          + "cross-entropy loss")
    }
    for i in 0..<targets.rows {
      let y = targets.row(i)
      var (sum, smallest) = (0.0, Double.infinity)
      for c in 0..<targets.columns {
        sum += y[c]
        smallest = min(smallest, y[c])
      }
      guard smallest >= 0, abs(sum - 1) <= 1e-12 else {
        throw Failure.data(
          "tensor \"targets\" of \(name): row \(i) is no distribution (its least entry is "
            + "\(smallest), its sum \(sum)), expected one for the cross-entropy loss")
      }
    }
  }

  /// The sum of `part` over blocks of the rows: the same for any number of threads.
  private func sums(_ rows: Int, _ part: (Range<Int>) -> Double) -> Double {
    let size = 1000
    let blocks = (rows + size - 1) / size
    var values = [Double](repeating: 0, count: blocks)
    values.withUnsafeMutableBufferPointer { values in
      nonisolated(unsafe) let values = values
      Threads.split(blocks) { own in
        for block in own { values[block] = part(block * size..<min(rows, (block + 1) * size)) }
      }
    }
    return values.reduce(0, +)
  }

  private static func largest(_ z: UnsafePointer<Double>, _ count: Int) -> Double {
    var largest = z[0]
    for c in 1..<count { largest = max(largest, z[c]) }
    return largest
  }

  /// p ← softmax(z).
  static func softmax(
    _ z: UnsafePointer<Double>, _ count: Int, into p: UnsafeMutablePointer<Double>
  ) {
    let largest = largest(z, count)
    var sum = 0.0
    for c in 0..<count {
      p[c] = exp(z[c] - largest)
      sum += p[c]
    }
    for c in 0..<count { p[c] /= sum }
  }
}
