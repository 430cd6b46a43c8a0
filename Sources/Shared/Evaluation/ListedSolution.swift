import LinearAlgebra
import Schema

/// A solution over all cells that the data list.
protocol ListedSolution: Solution {}

extension ListedSolution {
  /// `global` if the list is complete, which is looked at if it or the solution says so.
  package func scope(on examples: Examples) throws -> Scope {
    guard case .patches(let patches) = examples.features, let arrangements = examples.arrangements,
      arrangements.isExact || program.claim.scope == .global
    else { return .patterns }
    return try arrangements.isComplete(
      examples, patches, dual: program.dual, beta: program.beta) ? .global : .patterns
  }

  package func featureScale(on examples: Examples) -> Double {
    guard case .patches(let patches) = examples.features, let x = try? examples.matrix(of: patches)
    else { return 0 }
    return norm(x.count, x.base) / Double(max(1, x.rows)).squareRoot()
  }
}
