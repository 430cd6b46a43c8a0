import LinearAlgebra
import Schema
import Tensors

/// A solver's solution of the convex program of a kind of network. Each kind is one type.
package protocol Solution: Sendable {
  /// The part that all kinds have.
  var program: SolvedProgram { get }
  /// The tensors of the primal point, as messages call them.
  var variables: String { get }
  /// Whether the certificate is over the patterns of the data.
  var needsPatterns: Bool { get }
  /// The patterns that the solution brings along, if the certificate is over these.
  var ownList: Bundle? { get }
  /// Throws if the samples are not those of this solution.
  func check(against examples: Examples) throws
  /// The proof that it is optimal, from the data and the targets `expected` (n × C), and the outputs of `network` if
  /// the same pass over the data computes them. Throws if a feature is not a finite number.
  func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?)
  /// The norm that β multiplies.
  var penalty: Double { get }
  /// The networks that a certificate on these samples would bound.
  func scope(on examples: Examples) throws -> Scope
  /// About the largest length of a unit of the norm's features on a sample: the root mean square over some samples.
  func featureScale(on examples: Examples) -> Double
  /// Further bounds that it proves, with their names in the report.
  func bounds(on examples: Examples, expected: Matrix) throws -> [(String, Double)]
}

extension Solution {
  package var ownList: Bundle? { nil }
  package func bounds(on examples: Examples, expected: Matrix) throws -> [(String, Double)] { [] }
}

/// A dual point ν_c = s_c y_c − F u_c of sums over samples with features F and targets y.
package struct SummedDual: Sendable {
  /// U, Q × C.
  package let coefficients: Matrix
  /// s.
  package let scale: [Double]
  package let features: DualFeatures
  /// FᵀF p for the signs p of `StatisticsTensors.probe`, of the sums that it was found from.
  package let check: [Double]
}

/// Data, samples or sums over them, that a solution and a network are judged on.
protocol JudgedData {
  var name: String { get }
  var metadata: [String: String] { get }
  var statistics: FittedStatistics { get }
  var classes: [String]? { get }
  /// Whether the data say that they list all patterns.
  var listsAllPatterns: Bool { get }
}

extension JudgedData {
  /// Throws if both these data and the bundle `name` have names of classes, and these differ.
  func expect(classes ours: [String]?, of name: String) throws {
    if let ours, let theirs = classes, ours != theirs {
      throw Failure.data(
        "the classes of \(self.name) are \(theirs.joined(separator: ",")), but those of "
          + "\(name) are \(ours.joined(separator: ","))")
    }
  }
}

extension Examples: JudgedData {
  var listsAllPatterns: Bool { arrangements?.isExact == true }
}

/// The part that every solution has: its program, a dual point, predictions and a claim.
package struct SolvedProgram: Sendable {
  package let name: String
  package let kind: Activation
  package let loss: LossName
  /// The loss with the weights of classes.
  package let judgedLoss: JudgedLoss
  package let beta: Double
  package let targets: TargetValues
  package let classes: [String]?
  /// ν, n × C; without rows if it is one of sums.
  package let dual: Matrix
  /// n × C; without rows if there are none.
  package let predictions: Matrix
  /// The dual point, if the solution is one of sums over samples.
  package let sums: SummedDual?
  package let claim: Claim
  let statistics: FittedStatistics
  let metadata: [String: String]
  /// Whether β was chosen among those of a path.
  var isChosen: Bool { metadata["path"] != nil }

  /// n and C.
  package let samples: Int
  package var outputs: Int { dual.columns }

  init(_ bundle: Bundle) throws {
    try bundle.expect(.solution)
    name = bundle.name
    kind = try bundle.read(.activation)
    loss = try bundle.read(.loss, default: .squared)
    beta = try bundle.read(.beta)
    guard beta > 0 else { throw Failure.data("metadata \"beta\" is \(beta), expected above 0") }
    let points = try DualTensors(bundle)
    samples = points.samples
    switch points {
    case .samples(let nu, let fitted):
      (dual, predictions, sums) = (Matrix(nu), Matrix(fitted), nil)
    case .sums(let coefficients, let scale, _):
      (dual, predictions) = (Matrix(0, points.outputs), Matrix(0, points.outputs))
      sums = SummedDual(
        coefficients: Matrix(coefficients), scale: scale.doubles,
        features: try DualFeatures(bundle, kind),
        check: try bundle.require(.dualCheck, shape: [coefficients.shape[0]]).doubles)
    }
    targets = try bundle.targetValues(outputs: dual.columns, loss: loss)
    judgedLoss = try JudgedLoss(bundle, loss, targets, outputs: dual.columns)
    classes = try bundle.classNames()
    claim = try Claim(bundle)
    statistics = try FittedStatistics(bundle)
    metadata = bundle.metadata
  }

  /// The ways in which the solution and the network disagree with the training data, or with each other.
  func disagreements(with examples: any JudgedData, _ network: TrainedNetwork) -> [String] {
    var found = examples.otherChoices(than: metadata, of: name, mustBeSame: true)
    found += examples.otherChoices(than: network.metadata, of: network.name, mustBeSame: true)
    let places = [(name, statistics), (network.name, network.statistics)]
    for (bundle, fitted) in places {
      for what in fitted.differences(from: examples.statistics) {
        found.append("\(what) of \(bundle) is not that of \(examples.name)")
      }
    }
    for (bundle, metadata) in [(name, metadata), (network.name, network.metadata)] {
      for key in [TableKey.features, "bias"] where examples.metadata[key] != metadata[key] {
        // The step that cuts patches tells its choices itself.
        guard key == TableKey.features || examples.metadata[TableKey.features] != nil else {
          continue
        }
        found.append("metadata \(quoted(key)) of \(bundle) is not that of \(examples.name)")
      }
    }
    if kind == .gatedReLU, metadata[.exact] == true, !examples.listsAllPatterns {
      found.append(
        "metadata \"exact\" of \(name) is \"true\", but that of \(examples.name) is not")
    }
    if let text = network.metadata["beta"], Double(decimal: text) != beta {
      found.append(
        "metadata \"beta\" of \(network.name) is \(quoted(text)), but \(name) was solved for \(beta)"
      )
    }
    return found
  }

  /// The largest |prediction|.
  var largestPrediction: Double {
    (0..<predictions.count).reduce(0) { max($0, abs(predictions.base[$1])) }
  }

  /// Throws if the samples or the network are not those of this program.
  func check(against examples: Examples, _ network: TrainedNetwork) throws {
    guard sums == nil else {
      throw Failure.data(
        "\(name) was found from sums over samples: judge it by these sums, or by --tally over the samples"
      )
    }
    guard examples.count == samples else {
      throw Failure.data(
        "\(examples.name) has \(examples.count) samples, but \(name) has \(samples): --certify "
          + "needs the training data")
    }
    try check(network)
    try examples.expect(classes: classes, of: name)
  }

  /// Throws if the network is not one of this program.
  func check(_ network: TrainedNetwork) throws {
    guard network.function.outputs == outputs else {
      throw Failure.data(
        "\(network.name) has \(network.function.outputs) output(s), but \(name) has \(outputs)")
    }
    guard network.function.kind == kind else {
      throw Failure.data("the activations of \(network.name) and of \(name) differ")
    }
    guard network.loss == loss else {
      throw Failure.data(
        "\(network.name) was trained on the \(network.loss.rawValue) loss, but \(name) is for the "
          + "\(loss.rawValue) loss")
    }
    guard network.judgedLoss.weights == judgedLoss.weights else {
      throw Failure.data("metadata \"class_weights\" of \(network.name) and of \(name) differ")
    }
    guard network.targets == targets else {
      throw Failure.data("the targets of \(network.name) and of \(name) differ")
    }
  }
}
