import LinearAlgebra
import Schema
import Tensors

/// The constraint of a network of the smallest norm: ŷ = y, or margins yŷ ≥ 1 for targets ±1.
package enum NormConstraint: Sendable {
  case interpolation, margin

  /// The loss that metadata have for it.
  package var name: LossName { self == .interpolation ? .interpolation : .margin }

  /// The loss of which it is the limit of large weights.
  package var penalty: LossName { self == .interpolation ? .quantile(0.5) : .hinge }

  /// Two rows that are multiples of each other up to this angle are taken for such, and ratios of targets for equal.
  private static let tolerance = 1e-12

  /// Throws `Failure.data` with the rows of `x` that no network without bias can fit: rows of zeros, where all outputs are
  /// 0, and positive multiples of each other whose outputs have the same ratio. `name` is that of the data.
  package func expectFeasible(_ x: Matrix, _ targets: Matrix, name: String) throws {
    let (n, d) = (x.rows, x.columns)
    let lengths = (0..<n).map { norm(d, x.row($0)) }
    let hint = ": a constant feature tells such rows apart (tensor from-csv --bias)"
    let rest = "no network without a bias "
    let verb = self == .interpolation ? "interpolates them" : "has a margin on them"
    for j in 0..<n where lengths[j] == 0 {
      for c in 0..<targets.columns where self == .margin || targets[j, c] != 0 {
        throw Failure.data(
          "row \(j) of \(name) is 0, so that every output there is 0, but its target is \(targets[j, c]): \(rest)\(verb)\(hint)"
        )
      }
    }
    let kept = (0..<n).filter { lengths[$0] > 0 }
    let units = Matrix(kept.count, d)
    for (k, j) in kept.enumerated() {
      for i in 0..<d { units[k, i] = x[j, i] / lengths[j] }
    }
    let errors = [Double](repeating: RowSpace.rounding, count: kept.count)
    for line in ParallelRows.classes(units.base, kept.count, d, errors) {
      for (place, a) in line.enumerated() {
        // The first of those that point the same way.
        guard let b = line[..<place].first(where: { dot(d, units.row($0), units.row(a)) > 0 })
        else { continue }
        let (i, j) = (kept[b], kept[a])
        for c in 0..<targets.columns
        where !agree(targets[i, c], lengths[i], targets[j, c], lengths[j]) {
          if abs(lengths[i] - lengths[j]) <= NormConstraint.tolerance * lengths[i] {
            throw Failure.data(
              "rows \(i) and \(j) of \(name) are equal, but their targets are \(targets[i, c]) and \(targets[j, c]): no network "
                + verb)
          }
          throw Failure.data(
            "rows \(i) and \(j) of \(name) are multiples of each other, and so are all outputs there, but their targets are "
              + "\(targets[i, c]) and \(targets[j, c]): \(rest)\(verb)\(hint)")
        }
      }
    }
  }

  private func agree(_ y: Double, _ size: Double, _ other: Double, _ otherSize: Double) -> Bool {
    if self == .margin { return y * other > 0 }
    let (a, b) = (y * otherSize, other * size)
    return abs(a - b) <= NormConstraint.tolerance * max(abs(a), abs(b))
  }
}
