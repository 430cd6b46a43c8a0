import Convex
import Convolution
import Tensors

extension Training {
  /// Trains a linear network and returns its solution's bundle.
  func linear(_ architecture: LinearArchitecture) throws -> Bundle {
    let program = LinearProgram(
      architecture: architecture, grouping: settings.grouping, loss: settings.loss)
    let data = try LinearData(source, architecture)
    let targets = try Targets(
      source, samples: data.features.rows, levels: settings.targets, loss: settings.loss)
    let validation = try validation {
      try Validation($0, like: source, data, architecture, targets)
    }
    let outputs = targets.values.columns
    let warm = try warmStart {
      try Solutions.linearStart($0, data: data, outputs: outputs, program: program)
    }
    let solver = LinearSolver(data, targets: targets.values, program: program)
    let (beta, start, notes) = begin(solver, validation: validation, from: warm)
    let solution = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    try conclude(solution.status, gap: solution.gap)
    return Solutions.bundle(
      solution, data: data, targets: targets, program: program, beta: beta,
      betaMax: solver.betaMax, source: source, notes: notes,
      metadata: invocation.metadata(after: source.metadata))
  }
}
