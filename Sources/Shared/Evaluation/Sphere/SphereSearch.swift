import LinearAlgebra

/// A proof over the unit sphere: f(u) = Σ_i w_i (x_i·u)_+ is at most a number for all u of length at most 1.
///
/// With w the residual of a network with one hidden layer of ReLUs, or its negative, that is the constraint of the dual
/// of its training problem (Pilanci and Ergen, 2020). It is proved by branch and bound on simplicial cones: a bound
/// for each cone (`SphereLane.bound`), and a split where it does not do. The cones always cover the sphere, and every
/// bound holds whatever the choices of points, tangents and edges were.
struct SphereSearch {
  enum Verdict {
    /// f is at most `bound`, which is at most the claim, everywhere.
    case proved(bound: Double)
    /// u has length at most 1 and f(u) = `value` is above the claim.
    case refuted(u: [Double], value: Double)
    /// Neither was shown. f is at most `bound` everywhere; the largest value found is `best`, at u.
    case unfinished(bound: Double, best: Double, u: [Double])
  }

  /// Stacks of cones. Their number, not that of the threads, decides what is done, so that the result is the same on
  /// any machine.
  private static let laneCount = 8
  /// How many cones a lane bounds before the stacks are shared out anew.
  private static let quota = 128

  private let rows: SphereRows

  /// Keeps a copy of the `count` rows of `rank` numbers.
  init(rows: UnsafeBufferPointer<Double>, count: Int, rank: Int) {
    self.rows = SphereRows(rows, count: count, rank: rank)
  }

  /// Proves or refutes that f, with one weight for each row, is at most `tau` on the unit ball. Stops after
  /// `maximumNodes` cones, or when `proceed`, asked every thousand cones on the calling thread, returns false. The
  /// result does not depend on the number of threads.
  func bound(
    weights: [Double], tau: Double, maximumNodes: Int, proceed: () -> Bool
  ) -> (verdict: Verdict, nodes: Int) {
    let origin = [Double](repeating: 0, count: rows.rank)
    // f(0) = 0.
    if tau < 0 { return (.refuted(u: origin, value: 0), 0) }
    if rows.rank == 0, tau >= 0 { return (.proved(bound: 0), 0) }
    let problem = SphereProblem(rows: rows, weights: weights)
    let limit = problem.positiveScale + problem.valueError
    guard limit.isFinite else { return (.unfinished(bound: .infinity, best: 0, u: origin), 0) }
    // Without positive weights f is nowhere positive.
    if problem.positiveScale == 0, tau >= 0 { return (.proved(bound: 0), 0) }
    if limit <= tau { return (.proved(bound: limit), 0) }
    guard problem.isSearchable, !tau.isNaN else {
      return (.unfinished(bound: limit, best: 0, u: origin), 0)
    }
    return search(problem, tau, limit, maximumNodes, proceed)
  }

  private func search(
    _ problem: SphereProblem, _ tau: Double, _ limit: Double, _ maximumNodes: Int,
    _ proceed: () -> Bool
  ) -> (verdict: Verdict, nodes: Int) {
    let lanes = (0..<max(Self.laneCount, rows.rank + 1)).map { _ in
      SphereLane(problem: problem, claim: tau)
    }
    for omitted in 0...rows.rank {
      guard lanes[omitted].pushRoot(without: omitted, bound: limit / problem.scale) else {
        return (.unfinished(bound: limit, best: 0, u: [Double](repeating: 0, count: rows.rank)), 0)
      }
    }
    var nodes = 0
    while true {
      Self.shareOut(lanes)
      let open = lanes.count { $0.openCount > 0 }
      if open == 0 || nodes >= maximumNodes || !proceed() { break }
      var left = maximumNodes - nodes
      let share = left / open + (left % open == 0 ? 0 : 1)
      for lane in lanes {
        lane.quota = lane.openCount > 0 ? min(Self.quota, share, left) : 0
        left -= lane.quota
      }
      Threads.perform(lanes.count) { lanes[$0].run() }
      nodes += lanes.reduce(0) { $0 + $1.nodes }
      // The first lane's, if several have one: the same on any machine.
      if let lane = lanes.first(where: { $0.isRefuted }) {
        let u = Array(UnsafeBufferPointer(start: lane.bestPoint, count: rows.rank))
        return (.refuted(u: u, value: problem.value(lane.bestPoint)), nodes)
      }
      guard let best = lanes.max(by: { $0.best < $1.best }) else { break }
      for lane in lanes { lane.adopt(best: best.best, at: best.bestPoint) }
    }
    return (verdict(lanes, problem, tau, limit), nodes)
  }

  private func verdict(
    _ lanes: [SphereLane], _ problem: SphereProblem, _ tau: Double, _ limit: Double
  ) -> Verdict {
    let settled = lanes.reduce(0) { max($0, $1.settledBound) }
    let left = lanes.reduce(-Double.infinity) { max($0, $1.unsettledBound, $1.openBound) }
    let bound = max(settled, left) * problem.scale * (1 + 8 * Double.ulpOfOne)
    if left == -.infinity { return .proved(bound: min(bound, tau)) }
    let best = lanes[0]
    let u = Array(UnsafeBufferPointer(start: best.bestPoint, count: rows.rank))
    return .unfinished(
      bound: min(max(bound, tau), limit), best: max(0, problem.value(best.bestPoint)), u: u)
  }

  /// Fills empty lanes with the bottom cones of the fullest ones.
  private static func shareOut(_ lanes: [SphereLane]) {
    for lane in lanes where lane.openCount == 0 {
      guard
        let fullest = lanes.enumerated().max(by: { ($0.1.openCount, $1.0) < ($1.1.openCount, $0.0) }
        )?.1,
        fullest.openCount > 1, fullest.give(to: lane)
      else { return }
    }
  }
}
