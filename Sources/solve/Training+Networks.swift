import Convex
import Convolution
import Networks
import Patches
import Schema
import Tensors

extension Training {
  /// Trains a ReLU network over all patterns of a dataset.
  func network() throws {
    trace.hasSearch = true
    let patches = try PatchSource(data)
    try Magnitudes.expect(patches)
    let targets = try Targets(
      source, samples: patches.count, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
    try Magnitudes.expect(targets)
    let regularization = try settings.regularization(
      of: ProgramShape(
        patches: patches.patchCount, regions: patches.regions, outputs: targets.values.columns))
    guard regularization.grouping == .perClass || targets.values.columns == 1 else {
      throw Failure.usage(
        "--group pattern needs a list of patterns, which the command arrangements makes of \(source.name)"
      )
    }
    let composer = Composer<NetworkSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
        metadata: invocation.metadata(after: source.metadata)
      ).lifted(by: reduction)
    }
    var zero = NetworkSolution(zero: targets, patches: patches)
    zero.lacksProof = settings.provesGlobally
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { try Validation($0, like: source, patches, targets) }
      let solver = try NetworkSolver(
        data, patches: patches, targets: targets, settings: networkSettings, budget: budget
      ) { [progress] text in progress.update(text) }
      tellCost(solver)
      let start = try warmStart { try solver.start($0.lowered(by: reduction)) }
      return try search(
        solver, validation: validation, from: start, composer,
        folds: { [self] path, training, heldOut in
          let patches = try PatchSource(training)
          let targets = try Targets(training, samples: patches.count, like: targets)
          let validation = try Validation(heldOut, like: training, patches, targets)
          // No proof is asked of networks that only judge β.
          var settings = networkSettings
          settings.provesGlobally = false
          let solver = try NetworkSolver(
            training, patches: patches, targets: targets, settings: settings, budget: budget
          ) { _ in }
          return scores(solver, validation, from: nil, along: path)
        },
        reduce: { [self] solution, beta in
          tellOfProof(solution)
          return solver.reduced(solution, beta: beta).map {
            ($0.solution, $0.isMinimal ? ["minimal": "true"] : [:])
          }
        })
    }
  }

  /// Says so if a proof that nobody asked for did not end.
  private func tellOfProof(_ solution: NetworkSolution) {
    guard let bound = solution.proof?.bound, !solution.isGlobal, !settings.provesGlobally else {
      return
    }
    invocation.note(
      "no bound over all neurons was proved within --max-nodes (their prices are at most \(bound) times beta): the "
        + "certificate is over the patterns that were found; --global goes on")
  }

  private var networkSettings: NetworkSolver.Settings {
    var result = NetworkSolver.Settings()
    result.neurons = settings.neurons ?? result.neurons
    result.restarts = settings.restarts ?? result.restarts
    result.seed = settings.seed ?? result.seed
    result.provesGlobally = settings.provesGlobally
    result.maximumNodes = settings.maximumNodes
    return result
  }

  /// Says before a proof that was asked for what it may cost.
  private func tellCost(_ solver: NetworkSolver) {
    guard settings.provesGlobally else { return }
    let r = solver.rank
    invocation.note(
      "proving the bound over \(r) dimensions"
        + (r <= 6
          ? ""
          : r <= 8 ? ", which may take minutes" : ", which may never end: --max-seconds limits it"))
  }

  /// Throws if options of training over all patterns are given for another program.
  func expectNoNetworkOptions() throws {
    let given: [(String, Bool)] = [
      ("--neurons", settings.neurons != nil), ("--restarts", settings.restarts != nil),
      ("--seed", settings.seed != nil && settings.folds == nil),
      ("--global", settings.provesGlobally),
      ("--max-nodes", settings.maximumNodes != nil),
    ]
    guard let option = given.first(where: { $0.1 })?.0 else { return }
    throw Failure.usage(
      "\(option) is for --activation relu on a dataset, but \(source.name) is "
        + (activation == .relu
          ? "a bundle of kind \"\(source.metadata["kind"] ?? "")\"" : "not trained that way"))
  }
}
