import Convex
import LinearAlgebra
import Schema

extension NetworkSearch {
  /// The end of a proof that no neuron's price at the dual point exceeds τ.
  enum ProofEnd {
    /// The dual point that is feasible for all neurons, and its value.
    case proved(dual: Matrix, value: Double)
    /// Neurons of unit length whose price is above τ.
    case violated([NeuronPricing.Candidate])
    /// The same for the bound that was reached before the proof was stopped.
    case stopped(dual: Matrix, value: Double)
  }

  /// The largest rank for which a proof is tried unasked, and the seconds that it may take if training took fewer.
  private static let (automaticRank, leastSeconds) = (6, 10.0)

  /// Whether a proof is to be tried.
  var isToBeProved: Bool {
    solver.settings.provesGlobally || solver.rows.dimension <= NetworkSearch.automaticRank
  }

  /// Tries to prove that `solution` is within the gap of the best network of all.
  func prove(_ solution: NetworkSolution) -> ProofEnd {
    let begin = budget.seconds
    let nu = dualPoint(solution)
    // A little of the slack is left to the rounding of whoever proves it again.
    let tau = beta * (1 + 0.999 * slack(solution))
    let classes = nu.columns
    let limit =
      solver.settings.provesGlobally
      ? Double.infinity : max(NetworkSearch.leastSeconds, begin)
    let nodes = solver.settings.maximumNodes / (2 * classes)
    let lock = Lock()
    nonisolated(unsafe) var ends: [(c: Int, sign: Double, end: SphereProof.End)] = []
    nonisolated(unsafe) var isOver = false
    let isOnTime = { [budget] in
      budget.exhausted == nil && budget.seconds - begin < limit
    }
    nonisolated(unsafe) let proceed = isOnTime
    solver.progress("proving the bound for all neurons")
    Threads.perform(2 * classes) { part in
      let (c, sign) = (part / 2, part % 2 == 0 ? 1.0 : -1.0)
      let proof = SphereProof(solver.rows.x, weights: weights(nu, output: c, sign: sign))
      let (end, _) = proof.search(below: tau, nodes: nodes) {
        lock.locked { !isOver } && proceed()
      }
      lock.locked {
        ends.append((c, sign, end))
        if case .violated = end { isOver = true }
      }
    }
    var violators: [NeuronPricing.Candidate] = []
    var (bound, isStopped) = (0.0, false)
    for (c, sign, end) in ends {
      switch end {
      case .violated(let points):
        violators += points.map {
          NeuronPricing.Candidate(direction: $0.u, sign: sign, output: c, price: $0.value)
        }
      case .proved(let value): bound = max(bound, value)
      case .stopped(let value): (bound, isStopped) = (max(bound, value), true)
      }
    }
    let seconds = budget.seconds - begin
    guard violators.isEmpty else {
      violation = max(violation ?? 1, violators.reduce(0) { max($0, $1.price) } / beta)
      return .violated(solver.pricing.climbed(violators, nu))
    }
    proof = (bound / beta, seconds)
    isProofStopped = isStopped
    // Whoever proves it again has the slack that was used here.
    scale(nu.count, min(1, beta / (isStopped ? withRoom(max(bound, tau)) : tau)), nu.base)
    solver.loss.restrict(nu, solver.targets.values)
    let value = solver.loss.dualValue(nu, solver.targets.values)
    return isStopped ? .stopped(dual: nu, value: value) : .proved(dual: nu, value: value)
  }

  /// The factor of (x·u)₊ for each row x in the price of a neuron.
  private func weights(_ nu: Matrix, output c: Int, sign: Double) -> [Double] {
    let k = solver.rows.patches
    return (0..<nu.rows * k).map { sign * nu[$0 / k, c] / Double(k) }
  }
}
