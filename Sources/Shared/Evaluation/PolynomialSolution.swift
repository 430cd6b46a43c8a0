import LinearAlgebra
import Tensors

/// What a solver says of a polynomial network's convex program: its variables, its dual point, and the
/// claims in its metadata.
package struct PolynomialSolution: Sendable {
  package let name: String
  package let activation: PolynomialActivation
  package let beta: Double
  package let targets: TargetValues
  package let classes: [String]?
  /// C, R and d.
  package let outputs: Int
  package let regionCount: Int
  package let dimension: Int
  /// Z and Z′ of each class and region, (d+1) × (d+1): [C, R, 2, d+1, d+1].
  package let z: [Double]
  /// ν, n × C.
  package let dual: Matrix
  /// n × C.
  package let predictions: Matrix
  package let claim: Claim

  /// Takes over a bundle of kind `solution`.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.solution)
    name = bundle.name
    activation = try Evaluation.activation(of: bundle)
    try expectSquaredLoss(bundle)
    beta = try bundle.number("beta")
    guard beta > 0 else { throw Failure.data("metadata \"beta\" is \(beta), expected above 0") }
    let z = try bundle.require("z", [.f64], ["[C, R, 2, d+1, d+1]"])
    let dual = try bundle.require("dual", [.f64], ["[n, C]"])
    let predictions = try bundle.require("predictions", [.f64], ["[n, C]"])
    for (name, tensor) in [("z", z), ("dual", dual), ("predictions", predictions)] {
      try tensor.expectFinite(name)
    }
    let shape = z.shape
    guard shape[0] > 0, shape[1] > 0, shape[2] == 2, shape[3] == shape[4], shape[3] > 1 else {
      throw Failure.data("tensor \"z\" is \(z.summary), expected [C, R, 2, d+1, d+1]")
    }
    guard dual.shape[1] == shape[0], predictions.shape == dual.shape else {
      throw Failure.data(
        "tensor \"z\" is \(z.summary), \"dual\" is \(dual.summary) and \"predictions\" is "
          + "\(predictions.summary): they differ in classes or samples")
    }
    (outputs, regionCount, dimension) = (shape[0], shape[1], shape[3] - 1)
    self.z = z.doubles
    self.dual = Matrix(dual.shape[0], dual.shape[1], dual.doubles)
    self.predictions = Matrix(dual.shape[0], dual.shape[1], predictions.doubles)
    targets = try TargetValues(bundle, outputs: shape[0])
    classes = try classNames(of: bundle)
    claim = try Claim(bundle)
  }

  /// Throws where the samples or the network are not those of this solution.
  package func check(against examples: Examples, _ network: TrainedNetwork) throws {
    guard examples.count == dual.rows else {
      throw Failure.data(
        "\(examples.name) has \(examples.count) samples, but \(name) has \(dual.rows): --certify "
          + "needs the training data")
    }
    guard examples.dimension == dimension, examples.regionCount == regionCount else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features and \(examples.regionCount) "
          + "region(s), but \(name) is for \(dimension) and \(regionCount)")
    }
    guard network.function.outputs == outputs else {
      throw Failure.data(
        "\(network.name) has \(network.function.outputs) output(s), but \(name) has \(outputs)")
    }
    if let function = network.function as? PolynomialNetwork, function.activation != activation {
      throw Failure.data("the activations of \(network.name) and of \(name) differ")
    }
    guard network.targets == targets else {
      throw Failure.data("the targets of \(network.name) and of \(name) differ")
    }
    if let ours = classes, let theirs = examples.classes, ours != theirs {
      throw Failure.data(
        "the classes of \(examples.name) are \(theirs.joined(separator: ",")), but those of "
          + "\(name) are \(ours.joined(separator: ","))")
    }
  }

  /// The matrix Z (`sign` 0) or Z′ (1) of a class and region, as it stands.
  func matrix(class c: Int, region: Int, sign: Int) -> Matrix {
    let order = dimension + 1
    let start = ((c * regionCount + region) * 2 + sign) * order * order
    return Matrix(order, order, Array(z[start..<start + order * order]))
  }

  /// Z − Z′ as a function of the moments: ⟨Φ, Z⟩ = a⟨M, Z₁⟩ + b μᵀz₂ + c z₄.
  func functional() -> MomentFunctional {
    let d = dimension
    let width = momentCount(dimension: d)
    let weights = Matrix(regionCount * width, outputs)
    var constants = [Double](repeating: 0, count: outputs)
    for c in 0..<outputs {
      var constant = CompensatedSum()
      for region in 0..<regionCount {
        let difference = matrix(class: c, region: region, sign: 0)
        let negative = matrix(class: c, region: region, sign: 1)
        for k in 0..<difference.count { difference.base[k] -= negative.base[k] }
        difference.symmetrize()
        var row = region * width
        for j in 0..<d {
          weights[row, c] = activation.a * difference[j, j]
          for k in j + 1..<max(j + 1, d) {
            weights[row + k - j, c] = activation.a * difference[j, k] * 2.0.squareRoot()
          }
          row += d - j
        }
        for k in 0..<d { weights[row + k, c] = activation.b * difference[k, d] }
        constant.add(difference[d, d])
      }
      constants[c] = activation.c * constant.value
    }
    return MomentFunctional(weights: weights, constants: constants)
  }
}
