import Convex
import LinearAlgebra

/// Trains given neurons by L-BFGS on their balanced weights, and drops those that come to nothing on the way.
struct Descent {
  let objective: BalancedObjective

  /// Neurons whose share of the largest is smaller are dropped.
  private static let negligible = 1e-5
  /// After so many steps neurons are dropped.
  private static let period = 20

  /// Descends from `start` for at most `limit` steps, until `proceed` ends it, or until ten steps gain less than
  /// `tolerance` of the value.
  func run(
    from start: Neurons, limit: Int, tolerance: Double,
    proceed: (_ value: Double, () -> Neurons) -> Bool
  ) -> Neurons {
    guard start.count > 0 else { return start }
    objective.prepare(start.outputs)
    let point = objective.point(start)
    let memory = point.columns <= 2000 ? 400 : 12
    let method = QuasiNewton(
      at: point, memory: memory, precondition: { objective.precondition($0, $1) },
      { objective.value($0, gradient: $1) })
    var past = method.value
    for step in 1...max(1, limit) {
      guard step <= limit, method.advance({ objective.value($0, gradient: $1) }) else { break }
      guard proceed(method.value, { objective.neurons(method.point) }) else { break }
      if step % 10 == 0 {
        if past - method.value <= tolerance * abs(method.value) { break }
        past = method.value
      }
      if step % Descent.period == 0 { drop(method) }
    }
    return objective.neurons(method.point)
  }

  private func drop(_ method: QuasiNewton) {
    let (m, d) = (objective.outputs.count, method.point.columns / objective.outputs.count - 1)
    let sizes = (0..<m).map {
      norm(d, method.point.base + $0 * d) * abs(method.point.base[m * d + $0])
    }
    let least = Descent.negligible * (sizes.max() ?? 0)
    let kept = (0..<m).filter { sizes[$0] > least }
    guard kept.count <= m - max(1, m / 16), !kept.isEmpty else { return }
    objective.prepare(kept.map { objective.outputs[$0] })
    let numbers = kept.flatMap { j in j * d..<(j + 1) * d } + kept.map { m * d + $0 }
    method.restrict(to: numbers) { objective.value($0, gradient: $1) }
  }
}
