import LinearAlgebra
import Schema
import Tensors

/// A solver's solution of the convex program of a ReLU or gated-ReLU network over given patterns, or of a linear one,
/// which is a gated network with one pattern of ones.
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
  /// The gates of those patterns; none for a linear network.
  let gates: Gates
  /// The weights of each class, A × Rd, region 0 first: w of a gated or linear network, v of a ReLU network.
  let positive: [Matrix]
  /// w of each class of a ReLU network, A × Rd; `nil` for other networks.
  let negative: [Matrix]?
  package let ownList: Bundle?
  /// Whether gates decide for samples on their boundary too: those of gated networks do.
  var gatesDecide: Bool
  /// Whether it says that the list is complete.
  let saysExact: Bool
  /// Whether it claims that the patterns are all there are.
  let claimsCompleteness: Bool

  package var variables: String { negative == nil ? "\"w\"" : "\"v\" and \"w\"" }
  package var needsPatterns: Bool { !program.kind.isLinear }

  /// Takes over a bundle of kind `solution`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    grouping = try bundle.read(.group, default: .perClass)
    let kind = program.kind
    guard kind.isHomogeneous else {
      throw Failure.data(
        "metadata \"activation\" is \(quoted(kind.text)), expected relu, gated-relu, linear or circular"
      )
    }
    try bundle.expectOnly(
      kind == .relu ? [.v, .w] : [.w] + (kind == .gatedReLU ? GateKeys.patterns.units : []),
      metadata: ["norm", "group"] + (kind == .relu ? ["list", "global_dual_objective"] : []))
    weightNorm = try bundle.weightNorm(kind, default: .group)
    let outputs = program.outputs
    let variables = try PatternVariables(bundle, kind, outputs: outputs)
    (regions, dimension, index) = (variables.regions, variables.dimension, variables.index)
    var seen: Set<Int> = []
    for value in index where !seen.insert(value).inserted {
      throw Failure.data("tensor \"index\" of \(bundle.name) holds \(value) twice")
    }
    gates = variables.gates.all
    ownList = try kind.isLinear || !bundle.hasOwnList ? nil : bundle
    positive = variables.positive.matrices(outputs, rows: index.count, columns: regions * dimension)
    negative = variables.negative?.matrices(
      outputs, rows: index.count, columns: regions * dimension)
    gatesDecide = negative == nil
    saysExact = bundle.metadata[.exact] == true
    claimsCompleteness = saysExact || program.claim.scope == .global
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
    if negative != nil { try examples.expectHalfSpaces(program.name, "of relu neurons") }
    guard let arrangements = examples.arrangements else {
      throw Failure.data(
        "\(examples.name) has no patterns: the certificate of \(program.name) needs a bundle of kind "
          + "arrangements")
    }
    if let bad = index.first(where: { $0 < 0 || $0 >= arrangements.count }) {
      throw Failure.data(
        "tensor \"index\" of \(program.name) holds \(bad), but \(arrangements.name) has "
          + "\(arrangements.count) patterns")
    }
  }
}
