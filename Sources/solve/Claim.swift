import Evaluation
import Tensors

extension Training {
  /// The solution with what it may claim: metadata `certificate`, and, if double precision leaves the solver's own
  /// numbers in doubt, the objectives and the gap that evaluate's code finds.
  func claimed(_ solution: Bundle) throws -> Bundle {
    var result = solution
    let assessment = try Assessment(solution, on: source)
    result.metadata["certificate"] = assessment.scope.rawValue
    result.metadata["gap"] = "\(settings.gap)"
    if assessment.scope == .patterns, source.metadata["exact"] == "true" {
      invocation.warn(
        "\(source.name) says that its patterns are all there are, but the data have others, or are too near to "
          + "degenerate to tell: the certificate is over the patterns of the list")
    }
    if let found = assessment.certificate {
      let dual = min(found.dualObjective, found.primalObjective)
      let gap = max(0, found.relativeGap)
      result.metadata["primal_objective"] = "\(found.primalObjective)"
      result.metadata["dual_objective"] = "\(dual)"
      result.metadata["relative_gap"] = "\(gap)"
      if result.metadata["status"] == "optimal", gap > settings.gap {
        result.metadata["status"] = "stalled"
      }
    }
    return result
  }
}
