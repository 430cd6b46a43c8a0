import Convex
import LinearAlgebra

/// Weights of groups that are in their cones, a row for each group; only the rows `active` are not zero.
struct ReLUWeights {
  var active: [Int] = []
  var rows: Matrix
}

/// The best points of a program over pooled features with cones, targets n × C.
typealias ReLUIncumbent = Incumbent<ReLUWeights>

extension Incumbent where Weights == ReLUWeights {
  /// Takes `weights`, rows of the groups `list` of `groups`, with their `images` (± F_i v of the groups' outputs, a row
  /// each), if they are better; groups that cost more than they gain are left out.
  func offer(_ weights: Matrix, _ list: [Int], of groups: ReLUGroups, images: Matrix) {
    let length = weights.columns
    let norms = list.indices.map { norm(length, weights.row($0)) }
    let sum = Matrix(targets.columns, targets.rows)
    func add(_ k: Int, _ sign: Double) {
      axpy(
        images.columns, sign, images.row(k), sum.row(groups[list[k]].outputs.lowerBound))
    }
    for k in list.indices { add(k, 1) }
    var penalty = norms.reduce(0, +)
    var value = loss.value(sum.transposed, targets) + beta * penalty
    var kept = Set(list.indices)
    let largest = norms.max() ?? 0
    for k in list.indices.sorted(by: { (norms[$0], $0) < (norms[$1], $1) })
    where norms[k] < 1e-2 * largest {
      add(k, -1)
      let next = loss.value(sum.transposed, targets) + beta * (penalty - norms[k])
      if next <= value {
        value = next
        penalty -= norms[k]
        kept.remove(k)
      } else {
        add(k, 1)
      }
    }
    // Sum up anew, so that the groups left out leave no rounding errors.
    sum.fill(0)
    for k in kept.sorted() { add(k, 1) }
    let fitted = sum.transposed
    value = loss.value(fitted, targets) + beta * kept.sorted().reduce(0) { $0 + norms[$1] }
    offer(primal: value, predictions: fitted) { best in
      for j in best.active { best.rows.row(j).update(repeating: 0, count: length) }
      best.active = kept.sorted().map { list[$0] }
      for k in kept { best.rows.row(list[k]).update(from: weights.row(k), count: length) }
    }
  }
}
