import LinearAlgebra
import Schema
import Tensors

/// What a solver says of the convex program of a ReLU or gated-ReLU network over given patterns, or of a
/// linear one, which is a gated network with one pattern of ones.
package struct PatternSolution: Solution {
  package let program: SolvedProgram
  let weightNorm: WeightNorm
  let grouping: WeightGrouping
  /// R.
  let regions: Int
  /// d.
  let dimension: Int
  /// The A patterns that carry weight, as rows of the data's `patterns`.
  let index: [Int]
  /// Of those patterns; none for a linear network.
  let gates: Gates
  /// Of each class the A × Rd weights, region 0 first: w of a gated or linear network, v of a ReLU network.
  let positive: [Matrix]
  /// Of each class w of a ReLU network, A × Rd; `nil` for other networks.
  let negative: [Matrix]?
  /// Whether it says that the patterns are all there are.
  let claimsCompleteness: Bool

  package var variables: String { negative == nil ? "\"w\"" : "\"v\" and \"w\"" }
  package var needsPatterns: Bool { !program.kind.isLinear }

  private static let shapes = ["[A, d]", "[C, A, d]", "[C, A, R, d]"]
  private static let linearShapes = ["[1, d]", "[C, 1, d]", "[C, 1, R, d]"]

  /// Takes over a bundle of kind `solution`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    weightNorm = try bundle.read(.norm, default: .group)
    grouping = try bundle.read(.group, default: .perClass)
    let kind = program.kind
    let isReLU = kind == .relu
    guard isReLU || kind == .gatedReLU || kind.isLinear else {
      throw Failure.data(
        "metadata \"activation\" is \(quoted(kind.text)), expected relu, gated-relu, linear or circular"
      )
    }
    let expectedNorm: WeightNorm = isReLU ? .group : kind.isLinear ? .nuclear : weightNorm
    guard weightNorm == expectedNorm else {
      throw Failure.data(
        "metadata \"norm\" of \(bundle.name) is \(quoted(weightNorm.rawValue)), expected "
          + "\(quoted(expectedNorm.rawValue)) for activation \(kind.text)")
    }
    let name = isReLU ? "v" : "w"
    let first = try bundle.require(
      name, [.f64], kind.isLinear ? PatternSolution.linearShapes : PatternSolution.shapes)
    let shape = first.shape
    let outputs = program.outputs
    let (regions, dimension) = (shape.count == 4 ? shape[2] : 1, shape.last!)
    guard regions > 0, dimension > 0 else {
      throw Failure.data("tensor \(quoted(name)) of \(bundle.name) is \(first.summary)")
    }
    (self.regions, self.dimension) = (regions, dimension)
    let width = regions * dimension
    if kind.isLinear {
      index = [0]
      gates = Gates(vectors: Matrix(0, dimension), thresholds: [])
    } else {
      index = try PatternSolution.index(of: bundle)
      gates = try GateTensors(
        bundle, "gates", threshold: "thresholds", count: index.count, dimension: dimension
      ).all
    }
    let count = index.count
    func weights(_ name: String) throws -> [Matrix] {
      let tensor = try bundle.require(name, [.f64], PatternSolution.shapes)
      let middle = shape.count == 4 ? [regions] : []
      let expected = [outputs, count] + middle + [dimension]
      let flat = outputs == 1 && shape.count < 4 ? [count, dimension] : expected
      guard tensor.shape == expected || tensor.shape == flat else {
        let shape = flat
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is \(tensor.summary), expected F64 \(shape)")
      }
      try tensor.expectFinite(name)
      let size = count * width
      return (0..<outputs).map { c in
        let matrix = Matrix(count, width)
        tensor.copyDoubles(c * size..<(c + 1) * size, into: matrix.base)
        return matrix
      }
    }
    positive = try weights(name)
    negative = isReLU ? try weights("w") : nil
    if !isReLU, bundle.tensors["v"] != nil {
      throw Failure.data(
        "\(bundle.name) has a tensor \"v\", which a network with activation \(quoted(kind.text)) "
          + "does not use")
    }
    claimsCompleteness = bundle.metadata["exact"] == "true" || program.claim.scope == .global
  }

  private static func index(of bundle: Bundle) throws -> [Int] {
    let tensor = try bundle.require("index", [.i32], ["[A]"])
    let index = tensor.withElements(of: Int32.self) { $0.map(Int.init) }
    var seen: Set<Int> = []
    for value in index where !seen.insert(value).inserted {
      throw Failure.data("tensor \"index\" of \(bundle.name) holds \(value) twice")
    }
    return index
  }

  package func check(against examples: Examples) throws {
    guard case .patches = examples.features else {
      throw Failure.data(
        "\(examples.name) is a bundle of kind \"moments\", from which the certificate of "
          + "\(program.name) cannot be told")
    }
    guard examples.dimension == dimension else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but \(program.name) is for \(dimension)"
      )
    }
    guard case .patches(let patches) = examples.features,
      program.kind != .circular || patches.patchCount == 1
    else {
      throw Failure.data("\(examples.summary), expected one patch a sample for activation circular")
    }
    guard examples.regionCount == regions else {
      throw Failure.data(
        "\(examples.summary) with \(examples.regionCount) pooling region(s), but \(program.name) is for "
          + "\(regions)")
    }
    guard needsPatterns else { return }
    guard let arrangements = examples.arrangements else {
      throw Failure.data(
        "\(examples.name) has no patterns: the certificate of \(program.name) needs a bundle of kind "
          + "arrangements")
    }
    if let bad = index.first(where: { $0 < 0 || $0 >= arrangements.count }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(examples.name) has "
          + "\(arrangements.count) patterns")
    }
  }
}
