import Convex
import LinearAlgebra
import Schema

extension NetworkSearch {
  typealias DualBound = (dual: Matrix, value: Double)
  /// The end of a proof that no neuron's price at the dual point exceeds τ.
  enum ProofEnd {
    /// The dual point that is feasible for all neurons, and its value.
    case proved(DualBound)
    /// Neurons of unit length whose price is above τ.
    case violated([NeuronPricing.Candidate])
    /// The same for the bound that was reached before the proof was stopped.
    case stopped(DualBound)
    /// The rounding of so long rows leaves open whether a price is above τ.
    case undecided
  }

  /// The largest rank for which a proof is tried unasked.
  private static let automaticRank = 6

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
    solver.progress("proving the bound for all neurons")
    let parts = (0..<nu.columns).flatMap { c in [(c: c, sign: 1.0), (c: c, sign: -1.0)] }
    let search = ProofSearch(
      parts.map { SphereProof(solver.rows.x, weights: weights(nu, output: $0.c, sign: $0.sign)) },
      below: tau, mostBytes: solver.settings.provesGlobally ? 512 << 20 : 48 << 20)
    let end = search.run(limit: costLeft) { budget.exhausted == nil }
    costLeft -= search.cost
    let seconds = budget.seconds - begin
    switch end {
    case .violated(let points):
      let starts = Neurons(
        filters: Matrix(points.count, solver.rows.dimension, points.flatMap(\.u)),
        signs: points.map { parts[$0.proof].sign }, outputs: points.map { parts[$0.proof].c })
      let found = solver.pricing.maxima(nu, from: starts, polished: 60) { true }
      let price = found.first?.price ?? 0
      violation = max(violation ?? 1, price / beta)
      guard price > tau else {
        isProofStopped = true
        return .undecided
      }
      return .violated(found)
    case .proved(let bound):
      proof = (bound / beta, seconds)
      // Whoever proves it again has the slack that was used here.
      return .proved(feasible(nu, beta / tau))
    case .stopped(let bound):
      proof = (bound / beta, seconds)
      isProofStopped = true
      return .stopped(feasible(nu, beta / withRoom(max(bound, tau))))
    }
  }

  /// The dual point `nu` times at most `share`, and its value.
  private func feasible(_ nu: Matrix, _ share: Double) -> DualBound {
    scale(nu.count, min(1, share), nu.base)
    solver.loss.restrict(nu, solver.targets.values)
    return (nu, solver.loss.dualValue(nu, solver.targets.values))
  }

  /// The factor of (x·u)₊ for each row x in the price of a neuron.
  private func weights(_ nu: Matrix, output c: Int, sign: Double) -> [Double] {
    let k = solver.rows.patches
    return (0..<nu.rows * k).map { sign * nu[$0 / k, c] / Double(k) }
  }
}
