import LinearAlgebra
import Schema
import Tensors

/// The weights of a two-layer network whose neurons look at the patches of one pooling region each.
struct NetworkLayers: Sendable {
  let name: String
  /// m × d.
  let filters: Matrix
  /// C × m.
  let outputWeight: Matrix
  /// The pooling region of each neuron.
  let regions: [Int]
  /// The neurons of each group of the norm; `nil` if each neuron is a group of its own.
  let groups: [[Int]]?
  private let hasRegions: Bool
  /// The number of regions of the data, according to the network.
  private let claimedRegions: Int?

  var outputs: Int { outputWeight.rows }
  var neurons: Int { filters.rows }

  /// Takes over the tensors of a bundle of kind `network`. Besides `hidden.weight` and `output.weight` it may have the
  /// weights `others`, and metadata `keys`; those of other networks are refused.
  init(_ bundle: Bundle, others: [TensorKey], metadata keys: [String]) throws {
    name = bundle.name
    try bundle.expectOnly([.hiddenWeight, .outputWeight] + others, metadata: keys)
    let hidden = try bundle.require(.hiddenWeight)
    let output = try bundle.require(.outputWeight)
    try hidden.expectFinite("hidden.weight")
    try output.expectFinite("output.weight")
    guard output.shape[1] == hidden.shape[0], output.shape[0] > 0 else {
      throw Failure.data(
        "tensor \"output.weight\" is \(output.summary), but \"hidden.weight\" is "
          + "\(hidden.summary): expected a column for each neuron")
    }
    filters = Matrix(hidden)
    outputWeight = Matrix(output)
    hasRegions = bundle[.hiddenRegion] != nil
    let region = hasRegions ? try bundle.require(.hiddenRegion, shape: [filters.rows]) : nil
    regions =
      region.map { $0.withElements(of: Int32.self) { $0.map(Int.init) } }
      ?? Array(repeating: 0, count: filters.rows)
    if let bad = regions.first(where: { $0 < 0 }) {
      throw Failure.data("tensor \"hidden.region\" holds \(bad), expected 0 or more")
    }
    groups = try NetworkLayers.groups(of: bundle, neurons: filters.rows)
    claimedRegions = bundle.metadata[.regions]
  }

  /// The tensor `hidden.group`, I32 [m], which ascends from 0.
  private static func groups(of bundle: Bundle, neurons: Int) throws -> [[Int]]? {
    guard bundle[.hiddenGroup] != nil else { return nil }
    let tensor = try bundle.require(.hiddenGroup, shape: [neurons])
    var groups: [[Int]] = []
    let values = tensor.withElements(of: Int32.self) { $0.map(Int.init) }
    for (j, group) in values.enumerated() {
      guard group >= 0, group == groups.count - 1 || group == groups.count else {
        throw Failure.data(
          "tensor \"hidden.group\" should ascend from 0 without gaps, but holds \(group) at \(j)")
      }
      if group == groups.count { groups.append([]) }
      groups[group].append(j)
    }
    return groups
  }

  /// Throws if features or regions of the samples are not those of the network.
  func check(against examples: Examples) throws {
    guard filters.columns == examples.dimension else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features, but tensor \"hidden.weight\" of "
          + "\(name) is F64 [\(filters.rows), \(filters.columns)], \(filters.columns) features")
    }
    let available = examples.regionCount
    let needed = claimedRegions ?? (hasRegions ? (regions.max() ?? -1) + 1 : 1)
    let fits = claimedRegions == nil && hasRegions ? needed <= available : needed == available
    guard fits, (regions.max() ?? -1) < available else {
      throw Failure.data(
        "\(examples.summary) with \(available) pooling region\(available == 1 ? "" : "s"), "
          + "but \(name) is for \(max(needed, (regions.max() ?? -1) + 1))")
    }
  }

  /// The neurons of a region.
  func members(of region: Int) -> [Int] { regions.indices.filter { regions[$0] == region } }

  /// The neurons of each of `regionCount` regions.
  func groups(regionCount: Int, gates: NeuronGates? = nil) -> [NeuronGroup] {
    (0..<regionCount).map { NeuronGroup(self, members(of: $0), gates: gates) }
  }
}
