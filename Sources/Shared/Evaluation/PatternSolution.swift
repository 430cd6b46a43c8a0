import LinearAlgebra
import Tensors

/// What a solver says of the convex program of a ReLU or gated-ReLU network over given patterns.
package struct PatternSolution: Solution {
  package let program: SolvedProgram
  let weightNorm: WeightNorm
  /// The A patterns that carry weight, as rows of the data's `patterns`.
  let index: [Int]
  let gates: Gates
  /// Of each class the A × d weights: w of a gated network, v of a ReLU network.
  let positive: [Matrix]
  /// Of each class w of a ReLU network, A × d; `nil` for gated networks.
  let negative: [Matrix]?
  /// Whether it says that the patterns are all there are.
  private let claimsExact: Bool

  package var variables: String { negative == nil ? "\"w\"" : "\"v\" and \"w\"" }
  package var needsPatterns: Bool { true }
  var dimension: Int { gates.vectors.columns }

  /// Takes over a bundle of kind `solution`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    weightNorm = try WeightNorm(bundle)
    let isReLU = program.kind == .relu
    guard isReLU || program.kind == .gatedReLU else {
      throw Failure.data(
        "metadata \"activation\" is \(quoted(program.kind.text)), expected relu or gated-relu")
    }
    guard !isReLU || weightNorm == .group else {
      throw Failure.data(
        "metadata \"norm\" of \(bundle.name) is \"nuclear\", expected \"group\" for activation relu"
      )
    }
    if let group = bundle.metadata["group"], group != "class" {
      throw Failure.data(
        "metadata \"group\" of \(bundle.name) is \(quoted(group)), expected \"class\"")
    }
    let index = try bundle.require("index", [.i32], ["[A]"])
    self.index = index.withElements(of: Int32.self) { $0.map(Int.init) }
    var seen: Set<Int> = []
    for value in self.index where !seen.insert(value).inserted {
      throw Failure.data("tensor \"index\" of \(bundle.name) holds \(value) twice")
    }
    let first = try bundle.require(isReLU ? "v" : "w", [.f64], ["[A, d]", "[C, A, d]"])
    gates = try GateTensors(
      bundle, "gates", threshold: "thresholds", count: index.count, dimension: first.shape.last!
    ).all
    let (outputs, count, dimension) = (program.outputs, index.count, gates.vectors.columns)
    func weights(_ name: String) throws -> [Matrix] {
      let tensor = try bundle.require(name, [.f64], ["[A, d]", "[C, A, d]"])
      let expected = [outputs, count, dimension]
      guard tensor.shape == expected || (outputs == 1 && tensor.shape == [count, dimension]) else {
        let shape = outputs == 1 ? Array(expected.dropFirst()) : expected
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is \(tensor.summary), expected F64 \(shape)")
      }
      try tensor.expectFinite(name)
      let size = count * dimension
      return (0..<outputs).map { c in
        let matrix = Matrix(count, dimension)
        tensor.copyDoubles(c * size..<(c + 1) * size, into: matrix.base)
        return matrix
      }
    }
    positive = try weights(isReLU ? "v" : "w")
    negative = isReLU ? try weights("w") : nil
    if !isReLU, bundle.tensors["v"] != nil {
      throw Failure.data(
        "\(bundle.name) has a tensor \"v\", which a network with activation \"gated-relu\" does not use"
      )
    }
    claimsExact = bundle.metadata["exact"] == "true"
  }

  package func check(against examples: Examples) throws {
    guard let arrangements = examples.arrangements else {
      throw Failure.data(
        "\(examples.name) has no patterns: the certificate of \(program.name) needs a bundle of kind "
          + "arrangements")
    }
    guard examples.dimension == dimension else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but \(program.name) is for \(dimension)"
      )
    }
    if let bad = index.first(where: { $0 < 0 || $0 >= arrangements.count }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(examples.name) has "
          + "\(arrangements.count) patterns")
    }
  }

  /// What the solution says of all patterns and the data do not.
  func exactnessWarning(_ arrangements: Arrangements) -> String? {
    guard claimsExact, !arrangements.isExact else { return nil }
    return
      "\(program.name) says that its patterns are all there are, but \(arrangements.name) does not"
  }
}
