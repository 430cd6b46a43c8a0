import Convex
import Glibc
import LinearAlgebra

extension GramNewton {
  var primal: Double { values.reduce(0) { $0 + $1.primal } }
  var dual: Double { values.reduce(0) { $0 + $1.dual } }
  var gap: Double { relativeGap(primal: primal, dual: dual) }
  /// The number of groups with weight.
  var active: Int { eta.reduce(0) { $0 + $1.reduce(0) { $0 + ($1 > 0 ? 1 : 0) } } }

  /// Improves W for `beta` until the relative gap, as far as G shows it, is at most `goal`. It asks `proceed` before
  /// each step and `isOpen` during it, and calls `report` at each.
  func solve(
    beta: Double, goal: Double, isOpen: () -> Bool, proceed: () -> Bool, report: () -> Void
  ) -> End {
    var strictness = 1.0
    var failures = problems.map { _ in 0 }
    var kept: [Kept?] = problems.map { _ in nil }
    var moving = problems.map { _ in true }
    for (p, value) in eta.enumerated() where value.contains(where: { $0 > 0 }) {
      guard factor(p) else { return .stalled }
    }
    judge(beta: beta)
    var last = min(1, gap)
    var idle = 0
    var best = Double.infinity
    locate(
      moving: moving, beta: beta, tolerance: 0.1 * max(goal, min(0.2, last)), isOpen: isOpen)
    while true {
      // Steps that did not lower f are undone.
      for p in problems.indices {
        guard let before = kept[p] else { continue }
        let slack = 0.01 * max(0, before.value.gap) + 1e-13 * abs(before.value.smooth)
        if values[p].smooth <= before.value.smooth + slack {
          failures[p] = 0
        } else {
          restore(before, p)
          failures[p] += 1
        }
        kept[p] = nil
      }
      report()
      let now = gap
      if now <= goal { return .reached }
      if !proceed() { return .interrupted }
      idle = now < 0.9 * best ? 0 : idle + 1
      best = min(best, now)
      if idle > GramNewton.patience { return .stalled }
      if now > 0.5 * last { strictness = max(1e-4, 0.3 * strictness) }
      last = now

      let total = primal
      for (p, value) in values.enumerated() {
        moving[p] = value.gap > 0.3 * goal * total / Double(problems.count)
        guard moving[p] else { continue }
        kept[p] = keep(p)
        guard step(p, beta: beta, attempt: failures[p]) else { return .stalled }
      }
      locate(
        moving: moving, beta: beta,
        tolerance: max(1e-9, 0.1 * strictness * min(0.2, max(now, goal))), isOpen: isOpen)
    }
  }

  private static let patience = 12

  /// The state of a problem before a step.
  private struct Kept {
    var eta: [Double]
    var value: Value
    var weights: [Double]
    var directions: [Double]
    var squares: [Double]
    var products: [Double]
  }

  private func keep(_ p: Int) -> Kept {
    let columns = problems[p].columns
    return Kept(
      eta: eta[p], value: values[p], weights: columns.flatMap { weights.column($0) },
      directions: columns.flatMap { directions.column($0) },
      squares: columns.map { squares[$0] }, products: columns.map { products[$0] })
  }

  private func restore(_ kept: Kept, _ p: Int) {
    eta[p] = kept.eta
    values[p] = kept.value
    for (k, c) in problems[p].columns.enumerated() {
      squares[c] = kept.squares[k]
      products[c] = kept.products[k]
      for j in 0..<order {
        weights[j, c] = kept.weights[k * order + j]
        directions[j, c] = kept.directions[k * order + j]
      }
    }
  }

  /// Moves η of a problem and factors its system anew; each `attempt` after a failure is more cautious.
  private func step(_ p: Int, beta: Double, attempt: Int) -> Bool {
    let value = values[p]
    var working: [Int] = []
    var entering: [Int] = []
    for i in 0..<gates {
      if eta[p][i] > 0 {
        working.append(i)
      } else if value.norms[i] > beta * (1 + 1e-9) {
        entering.append(i)
      }
    }
    // Few at a time: most that violate now will no longer do so once the first have entered.
    let most = max(10, working.count)
    if entering.count > most {
      entering.sort { (value.norms[$0], $1) > (value.norms[$1], $0) }
      entering.removeLast(entering.count - most)
    }
    working += entering
    let count = working.count
    guard count > 0 else { return true }
    guard factor(p) else { return false }
    let hessian = Matrix(count, count)
    system.hessian(p, working, directions: directions, into: hessian.base)
    let room = Matrix(3, count)
    let (right, lower, step) = (room.row(0), room.row(1), room.row(2))
    for (k, i) in working.enumerated() {
      let square = value.norms[i] * value.norms[i]
      lower[k] = -eta[p][i]
      right[k] =
        attempt == 0 ? square * (value.norms[i] / beta - 1) : 0.5 * (square - beta * beta)
    }
    let damping = attempt < 4 ? 0 : 1e-6 * pow(10, Double(min(6, attempt - 4)))
    quadratic.minimize(
      count, hessian.base, right, lower: lower, damping: damping, into: step)
    let length = attempt < 2 ? 1 : pow(0.4, Double(attempt - 1))
    let largest = eta[p].max() ?? 0
    for (k, i) in working.enumerated() {
      let old = eta[p][i]
      let reachesBound = length == 1 && step[k] <= lower[k] * (1 - 1e-12)
      var new = reachesBound ? 0 : max(0, old + length * step[k])
      if largest > 0 { new = min(new, 10 * max(old, 0.05 * largest)) }
      eta[p][i] = new
    }
    return factor(p)
  }

  /// Factors the system of a problem for its η, unless that is done already.
  private func factor(_ p: Int) -> Bool {
    if factored[p] == eta[p] { return true }
    factored[p] = eta[p]
    return system.factor(p, eta[p])
  }
}
