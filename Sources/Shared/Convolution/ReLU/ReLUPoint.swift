import Convex
import LinearAlgebra

/// The best primal and the best dual point that were met so far, of one program over pooled features.
final class ReLUPoint {
  private let loss: any Loss
  /// y, n × C.
  private let targets: Matrix
  private let groups: ReLUGroups
  /// Weights that are in their cones, a row a group. Only `active` rows are not zero.
  private(set) var weights: Matrix
  private(set) var active: [Int] = []
  /// ŷ and ν, n × C.
  private(set) var predictions: Matrix
  private(set) var dual: Matrix
  private(set) var primal: Double
  private(set) var dualValue: Double

  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// The network that is zero, and the dual point that is zero.
  init(_ loss: any Loss, targets: Matrix, map: ReLUOperator) {
    self.loss = loss
    self.targets = targets
    groups = map.groups
    weights = Matrix(map.groups.count, map.length)
    predictions = Matrix(targets.rows, targets.columns)
    dual = Matrix(targets.rows, targets.columns)
    primal = loss.value(predictions, targets)
    dualValue = loss.dualValue(dual, targets)
  }

  /// Takes `weights`, rows of the groups `list`, with their `images` (± F_i v of the groups' outputs, a row
  /// each), where they are better; groups that cost more than they bring are left out.
  func offer(_ weights: Matrix, _ list: [Int], images: Matrix, beta: Double) {
    let (n, outputs, length) = (targets.rows, targets.columns, weights.columns)
    let norms = list.indices.map { norm(length, weights.row($0)) }
    let sum = Matrix(outputs, n)
    func add(_ k: Int, _ sign: Double) {
      axpy(
        images.columns, sign, images.row(k), sum.row(groups[list[k]].outputs.lowerBound))
    }
    for k in list.indices { add(k, 1) }
    var value = Double.infinity
    var fitted = Matrix(n, outputs)
    var penalty = norms.reduce(0, +)
    func take(_ sum: Matrix) -> Double {
      fitted = sum.transposed
      return loss.value(fitted, targets)
    }
    value = take(sum) + beta * penalty
    var kept = Set(list.indices)
    let largest = norms.max() ?? 0
    for k in list.indices.sorted(by: { (norms[$0], $0) < (norms[$1], $1) })
    where norms[k] < 1e-2 * largest {
      add(k, -1)
      let next = take(sum) + beta * (penalty - norms[k])
      if next <= value {
        value = next
        penalty -= norms[k]
        kept.remove(k)
      } else {
        add(k, 1)
      }
    }
    // Anew, so that what was left out leaves no rounding.
    sum.fill(0)
    for k in kept.sorted() { add(k, 1) }
    value = take(sum) + beta * kept.sorted().reduce(0) { $0 + norms[$1] }
    guard value < primal else { return }
    primal = value
    predictions = fitted
    self.weights.fill(0)
    active = kept.sorted().map { list[$0] }
    for k in kept { self.weights.row(list[k]).update(from: weights.row(k), count: length) }
  }

  /// Takes the best multiple of ν (n × C), of which all norms of projections are at most `bound`.
  func offer(dual nu: Matrix, bound: Double, beta: Double) {
    // Room for the rounding of whoever recomputes the projections.
    let largest = bound * (1 + 1e-12)
    let scaling = loss.scaling(nu, targets, bound: largest > 0 ? beta / largest : .infinity)
    let scaled = Matrix(copying: nu)
    scale(scaled.count, scaling, scaled.base)
    let value = loss.dualValue(scaled, targets)
    guard value > dualValue else { return }
    dualValue = value
    dual = scaled
  }
}
