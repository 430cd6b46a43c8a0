import Convex
import Schema
import Tensors

/// The facts about the data that decide, with the options, whether there is a program for them.
struct ProgramShape {
  /// The name of the data in messages.
  var name = ""
  /// K, the patches of a sample, and R, the pooling regions that they are averaged over.
  var patches = 1
  var regions = 1
  /// C.
  var outputs = 1
}

/// The regularizer that β multiplies: a norm, and which weights share a group of it.
struct Regularization {
  var norm: WeightNorm
  var grouping: WeightGrouping
}

/// The norms and groups that a kind of network has, the default first.
private struct RegularizationTable {
  /// The networks, as messages call them.
  let networks: String
  let norms: [WeightNorm]
  let groupings: (WeightNorm) -> [WeightGrouping]
  /// Whether the nuclear norm of weights that are one row is their length here.
  let hasLengths: Bool

  init(_ activation: Activation) {
    let both: [WeightGrouping] = [.perClass, .perPattern]
    switch activation {
    case .polynomial:
      (networks, norms, hasLengths) = ("polynomial activations", [.group], false)
      groupings = { _ in [.perClass] }
    case .relu:
      (networks, norms, hasLengths) = ("--activation relu", [.group, .nuclear], true)
      groupings = { $0 == .nuclear ? both.reversed() : both }
    case .gatedReLU:
      (networks, norms, hasLengths) = ("--activation gated-relu", [.group, .nuclear], true)
      groupings = { $0 == .nuclear ? both.reversed() : both }
    case .quantized:
      (networks, norms, hasLengths) = ("--activation quantized", [.group], false)
      groupings = { _ in [.perClass] }
    case .circular:
      (networks, norms, hasLengths) = ("--circular", [.nuclear], false)
      groupings = { _ in both }
    case .linear:
      (networks, norms, hasLengths) = ("--activation linear", [.nuclear], true)
      groupings = { _ in [.perPattern] }
    }
  }
}

extension Settings {
  /// The norm and the grouping for data of this shape. This is the one rule by which combinations of options are
  /// refused: a norm or a group that the networks do not have is taken only if it means the same as one that they have,
  /// as every group does with one output, and every norm of weights that are one row.
  func regularization(of shape: ProgramShape) throws -> Regularization {
    guard let activation else { throw Failure.usage("--activation is missing") }
    try expectMethod(for: activation)
    let table = RegularizationTable(circular ? .circular : activation)
    let norm = chosenNorm ?? table.norms[0]
    let groupings = table.groupings(norm)
    let grouping = chosenGrouping ?? groupings[0]
    guard shape.outputs == 1 || groupings.contains(grouping) else {
      throw Failure.usage(
        "--group \(grouping.rawValue) is not for \(table.networks) with \(shape.outputs) outputs: "
          + RegularizationTable.reason(groupings[0]))
    }
    guard
      activation != .relu || norm == .group || shape.regions == 1 || shape.outputs == 1
        || grouping == .perPattern
    else {
      throw Failure.usage(
        "--norm nuclear with --group class is not for --activation relu with \(shape.regions) pooling regions: filters are shared by all outputs"
      )
    }
    let rows = shape.regions * (grouping == .perClass ? 1 : shape.outputs)
    guard table.norms.contains(norm) || (table.hasLengths && rows == 1) else {
      let names = table.norms.map(\.rawValue).joined(separator: " or ")
      throw Failure.usage(
        "--norm \(norm.rawValue) is not for \(table.networks), which has the norm \(names)"
          + (table.hasLengths ? " (with one output and one pooling region they are the same)" : ""))
    }
    guard !circular || shape.patches == 1 else {
      throw Failure.data(
        "\(shape.name) has \(shape.patches) patches a sample, expected 1: a circular network slides "
          + "around whole samples (patchify --flatten)")
    }
    if [.relu, .gatedReLU].contains(activation), rows == 1 {
      return Regularization(norm: .group, grouping: .perClass)
    }
    return Regularization(
      norm: table.norms.contains(norm) ? norm : table.norms[0],
      grouping: groupings.contains(grouping) ? grouping : groupings[0])
  }

  private func expectMethod(for activation: Activation) throws {
    guard !circular || activation == .linear else {
      throw Failure.usage("--circular is for --activation linear")
    }
    guard method != .auto else { return }
    guard case .polynomial = activation else {
      throw Failure.usage("--solver is for polynomial activations")
    }
    if method == .interiorPoint, loss != .squared {
      throw Failure.usage("--solver interior-point is for --loss squared")
    }
  }
}

extension RegularizationTable {
  /// The reason why networks have this grouping only.
  fileprivate static func reason(_ grouping: WeightGrouping) -> String {
    switch grouping {
    case .perClass: "each neuron is of one output"
    case .perPattern: "their filters are shared by all outputs"
    }
  }
}
