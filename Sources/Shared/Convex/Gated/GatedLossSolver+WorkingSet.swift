import LinearAlgebra
import Schema

extension GatedLossSolver {
  /// The number of patterns from which on a working set is worth its kernels, and the number it begins with.
  private static let (manyPatterns, firstPatterns) = (512, 128)
  /// The share of β_max above which few patterns carry weight. CPU seconds with and without the working set, ten
  /// classes, nuclear norm, 1,000 patterns, gap 1e-4: 29 and 117 at 0.5 β_max, 97 and 84 at 0.2.
  private static let largeShare = 0.3

  /// Whether few of many patterns can be expected to carry weight.
  func suitsWorkingSet(beta: Double) -> Bool {
    problems.count == 1 && features.groups > GatedLossSolver.manyPatterns
      && beta > GatedLossSolver.largeShare * betaMax
  }

  /// ADMM over the working patterns, in turn with pricing: all norms are computed at the dual point that it found, and
  /// the patterns that violate their constraints join. If half of all have joined, or none is violated but the gap
  /// remains, all are taken.
  func splitOverWorkingSet(_ run: Run, _ report: () -> Void) -> Status {
    let problem = problems[0]
    func price(_ nu: Matrix) -> [Double] {
      problem.norms.compute(nu)
      let values = problem.norms.values
      return (0..<values.rows).map { i in
        (0..<values.columns).reduce(0) { max($0, values[i, $1]) }
      }
    }
    func worst(_ norms: [Double], _ groups: some Sequence<Int>) -> [Int] {
      groups.sorted { (norms[$1], $0) < (norms[$0], $1) }
    }
    var start = run.start
    let known = Set(start?.index ?? [])
    var working = Set(features.groupIndices.filter { known.contains(features.members[$0]) })
    working.formUnion(
      worst(price(problem.origin), features.groupIndices).prefix(GatedLossSolver.firstPatterns))
    // A tenth of the gap over all patterns is accurate enough as long as others are still to join.
    let finest = 0.5 * run.rule.gap
    var rule = run.rule
    rule.gap = max(finest, 0.1)
    while working.count <= features.groups / 2 {
      if let limit = run.budget.exhausted { return limit }
      let members = working.sorted().map { features.members[$0] }
      progress("the kernel of \(data.samples) samples over \(members.count) patterns")
      let part = PatternFeatures(data, members: members)
      let program = SplitProgram(
        problem.outputs, of: targets, part, loss: loss, regularizer: problem.regularizer)
      let local = program.point(beta: run.beta)
      let end = program.solve(
        local, members: members, system: SplitSystem(part), from: start, rule: rule,
        budget: run.budget, report: report)
      run.point.offer(
        primal: local.primal, active: local.weights.active, members: local.weights.members,
        weights: local.weights.rows, predictions: local.predictions)
      let norms = price(local.dual)
      run.point.offer(dual: local.dual, largest: problem.norms.largest(local.dual))
      report()
      if run.isReached { return .optimal }
      if end != .optimal, end != .stalled { return end }
      start = ArrangementSolution(
        [local], targets: targets, loss: loss, regularizer: problem.regularizer, beta: run.beta,
        groups: data.patterns.count,
        width: data.dimension, iterations: run.budget.iterations)
      let others = features.groupIndices.filter { !working.contains($0) && norms[$0] > run.beta }
      if others.isEmpty, rule.gap <= finest || end == .stalled { break }
      rule.gap = others.isEmpty ? finest : max(finest, min(rule.gap, 0.1 * run.point.gap))
      working.formUnion(worst(norms, others).prefix(max(64, working.count)))
    }
    return split(run, from: start, report)
  }
}

extension GroupedFeatures {
  /// 0 … P − 1.
  fileprivate var groupIndices: Range<Int> { 0..<groups }
}
