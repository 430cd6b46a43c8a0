import Convex
import Schema
import Tensors

extension Training {
  /// The score of each β of `path` over all samples, each judged by networks that were trained without its fold; nil if
  /// a limit came before the last.
  func crossValidate(
    _ path: RegularizationPath, _ count: Int, _ scores: FoldScores
  ) throws -> [ValidationScore]? {
    let (bundle, labels) = try foldedData()
    let samples = try sampleCount(
      bundle.kind ?? .dataset, bundle.tensors.map { ($0.key, $0.value.shape) }, in: bundle.name)
    guard count <= samples else {
      throw Failure.usage("--folds is \(count), but \(bundle.name) has \(samples) samples")
    }
    let parts = Partition.folds(samples, folds: count, labels: labels, seed: settings.seed ?? 0)
    var found: [[(score: ValidationScore, samples: Int)]] = path.betas.map { _ in [] }
    for fold in 0..<count {
      progress.update("fold \(fold + 1) of \(count)")
      let heldOut = (0..<samples).filter { parts[$0] == fold }
      let training = (0..<samples).filter { parts[$0] != fold }
      let part = try bundle.samples(training)
      // Each part of the samples is normalised by itself.
      let reduction = try settings.reduction(of: part)
      let rest = try bundle.samples(heldOut)
      let own = try scores(
        path, reduction?.apply(part) ?? part, reduction?.apply(rest) ?? rest)
      guard own.count == path.betas.count else {
        progress.finish()
        invocation.warn("a limit came before the last of \(count) folds: they choose nothing")
        return nil
      }
      for (k, score) in own.enumerated() { found[k].append((score, heldOut.count)) }
    }
    return found.map { ValidationScore.combined($0) }
  }

  /// The training data, with names of classes, so that a part that lacks one has them all, and their labels.
  private func foldedData() throws -> (Bundle, labels: [Int]?) {
    var bundle = source
    guard let labels = try bundle.optional(.labels) else { return (bundle, nil) }
    let values = labels.withElements(of: Int32.self) { $0.map(Int.init) }
    if try bundle.classNames() == nil, let last = values.max() {
      bundle.metadata["classes"] = quotedArray((0...max(1, last)).map(String.init))
    }
    return (bundle, values)
  }

  /// The scores of the solutions of `solver` along `path`.
  func scores<Solver: RegularizedSolver>(
    _ solver: Solver, _ validation: Validation<Solver.Data>, from start: Solver.Start,
    along path: RegularizationPath
  ) -> [ValidationScore] {
    let choice = path.choose(
      solver, rule: rule, budget: budget, validation: validation, from: start,
      trace: { row, beta in progress.update("beta \(beta), gap \(row.gap)") },
      tell: { _, _ in })
    return choice.isPart ? [] : choice.steps.compactMap(\.score)
  }
}
