import LinearAlgebra
import Schema
import Tensors

/// Judges a network, and the solution of sums that it was recovered from, on bundle after bundle of samples, and adds up
/// what it finds.
package struct Tally {
  private let network: TrainedNetwork
  private let solution: (any Solution)?
  private let space: FeatureSpace?
  private let outputs: (any SummedOutputs)?
  private let networkDigest: String
  private let solutionDigest: String?
  /// What was found so far; nil before the first bundle.
  package private(set) var sums: TallyTensors?
  /// Choices of the patches' step in which samples and network differ.
  package private(set) var objections: [String] = []

  /// Digests are those of the bundles. Throws if the solution is not of sums, or not the network's.
  package init(
    _ network: TrainedNetwork, digest: String, certifying solution: (any Solution)?,
    solutionDigest: String?
  ) throws {
    (self.network, self.solution) = (network, solution)
    (networkDigest, self.solutionDigest) = (digest, solutionDigest)
    guard let solution else {
      (space, outputs) = (nil, nil)
      return
    }
    let program = solution.program
    guard let dual = program.sums else {
      throw Failure.data(
        "\(program.name) was found from samples: its certificate needs all of them in one bundle, without --tally"
      )
    }
    try program.check(network)
    let features = dual.features
    space = try FeatureSpace(
      features.design, order: features.order, regions: features.regions,
      dimension: features.dimension, name: program.name)
    outputs =
      switch features.design {
      case .polynomial(let activation, let whitening):
        MomentOutputs(
          activation: activation, whitening: Matrix(whitening), regions: features.regions)
      case .gated(let gates): PooledOutputs(gates: gates.all)
      case .linear: PooledOutputs(gates: nil)
      }
    objections = network.function.summedObjections(to: solution)
  }

  /// Judges on the samples of one bundle. Throws if they do not fit the network, or those before.
  package mutating func add(_ examples: Examples) throws {
    let differing = try network.check(against: examples)
    if let solution {
      let found = solution.program.disagreements(with: examples, network)
      objections += (differing + found).filter { !objections.contains($0) }
      try examples.expect(classes: solution.program.classes, of: solution.program.name)
      try solution.program.expectGates(of: examples)
    } else {
      objections += differing.filter { !objections.contains($0) }
    }
    let expected = try ExpectedOutputs(
      examples, targets: network.targets, outputs: network.function.outputs,
      classes: network.classes, loss: network.loss)
    try network.judgedLoss.expectClasses(expected, of: network.name, on: examples.name)
    let (values, certified) = try judge(examples, expected.values)
    let loss = network.judgedLoss.value(values, expected.values)
    guard loss.isFinite else {
      throw Failure.data("the outputs of \(network.name) on \(examples.name) overflow")
    }
    let confusion = expected.labels.map { labels in
      ConfusionMatrix(
        names: expected.classNames, labels: labels,
        decisions: (0..<values.rows).map {
          network.targets.decide(
            UnsafeBufferPointer(start: values.row($0), count: values.columns))
        }
      ).counts
    }
    let own = TallyTensors(
      name: examples.name, samples: examples.count, confusion: confusion, loss: loss,
      certified: certified, networkDigest: networkDigest, solutionDigest: solutionDigest,
      classes: expected.classNames)
    sums = try sums.map { try $0.adding(own) } ?? own
  }

  /// The network's outputs, and what the certificate needs.
  private func judge(
    _ examples: Examples, _ expected: Matrix
  ) throws -> (outputs: Matrix, certified: TallyTensors.Certified?) {
    let values = try network.function.values(on: examples)
    guard let solution, let space, let outputs, let dual = solution.program.sums else {
      return (values, nil)
    }
    guard examples.regionCount == dual.features.regions,
      examples.dimension == dual.features.dimension, let weights = space.weights(of: solution)
    else {
      throw Failure.data(
        "\(examples.summary) with \(examples.regionCount) region(s), but \(solution.program.name) is for "
          + "\(dual.features.dimension) features and \(dual.features.regions)")
    }
    let found = try outputs.judge(examples, weights: weights, dual: dual, expected: expected)
    var (error, size) = (CompensatedSum(), CompensatedSum())
    let fitted = found.outputs
    for k in 0..<values.count {
      let difference = values.base[k] - fitted.base[k]
      error.add(difference, times: difference)
      size.add(fitted.base[k], times: fitted.base[k])
    }
    return (
      values,
      TallyTensors.Certified(
        solutionLoss: solution.program.judgedLoss.value(fitted, expected),
        outputSquares: size.value, outputError: error.value,
        directions: found.directions.tensor,
        featureSquares: Tensor(found.featureSquares.values), products: dots(found.nu, expected),
        squares: dots(found.nu, found.nu), targetSquares: dots(expected, expected))
    )
  }
}

extension SolvedProgram {
  /// Throws `Failure.data` if the bundle of the samples lists other gates than the sums of this solution had: "gates" would
  /// not be about those.
  fileprivate func expectGates(of examples: Examples) throws {
    guard let listed = examples.listedGates, let features = sums?.features,
      case .gated = features.design
    else { return }
    guard features.design.isSame(as: .gated(listed)) else {
      throw Failure.data("the gates of \(examples.name) are not those that \(name) was found for")
    }
  }
}

/// The products of the columns of two matrices, column by column.
private func dots(_ a: Matrix, _ b: Matrix) -> [Double] {
  (0..<a.columns).map { c in
    var sum = CompensatedSum()
    for i in 0..<a.rows { sum.add(a[i, c], times: b[i, c]) }
    return sum.value
  }
}

extension TallyTensors {
  /// The tally of both. Throws if their samples have other classes.
  fileprivate func adding(_ other: TallyTensors) throws -> TallyTensors {
    var result = self
    guard classes == other.classes else {
      throw Failure.data(
        "the classes of \(other.name) are \(other.classes.joined(separator: ",")), but those before "
          + classes.joined(separator: ","))
    }
    result.samples += other.samples
    result.loss += other.loss
    if let theirs = other.confusion, let own = confusion {
      result.confusion = zip(own, theirs).map { $0 + $1 }
    }
    guard let theirs = other.certified, var own = certified else { return result }
    own.solutionLoss += theirs.solutionLoss
    own.outputSquares += theirs.outputSquares
    own.outputError += theirs.outputError
    try own.directions.add(theirs.directions, name: TensorKey.directions.name)
    try own.featureSquares.add(theirs.featureSquares, name: TensorKey.featureSquares.name)
    own.products = zip(own.products, theirs.products).map { $0 + $1 }
    own.squares = zip(own.squares, theirs.squares).map { $0 + $1 }
    own.targetSquares = zip(own.targetSquares, theirs.targetSquares).map { $0 + $1 }
    result.certified = own
    return result
  }
}
