import Tensors

/// A value that metadata can have, with its text.
package protocol MetadataValue: Sendable {
  /// The texts that `parse` takes, as messages describe them.
  static var expected: String { get }
  /// Returns nil if `text` is none of these.
  static func parse(_ text: String) -> Self?
  var text: String { get }
}

extension MetadataValue where Self: RawRepresentable & CaseIterable, RawValue == String {
  package static var expected: String {
    let words = allCases.map(\.rawValue)
    if words.count == 1 { return words[0] }
    return words.dropLast().joined(separator: ", ") + " or " + words.last!
  }
  package static func parse(_ text: String) -> Self? { Self(rawValue: text) }
  package var text: String { rawValue }
}

/// Finite numbers; what is written reads back exactly.
extension Double: MetadataValue {
  package static var expected: String { "a number" }
  package static func parse(_ text: String) -> Double? {
    Double(decimal: text).flatMap { $0.isFinite ? $0 : nil }
  }
  package var text: String { "\(self)" }
}

extension Int: MetadataValue {
  package static var expected: String { "a whole number" }
  package static func parse(_ text: String) -> Int? { Int(text) }
  package var text: String { "\(self)" }
}

extension Bool: MetadataValue {
  package static var expected: String { "true or false" }
  package static func parse(_ text: String) -> Bool? { Bool(text) }
  package var text: String { "\(self)" }
}

/// The name of a value of the metadata, and what kind of value it is.
package struct MetadataKey<Value: MetadataValue>: Sendable {
  package let name: String

  package init(name: String) { self.name = name }
}

extension MetadataKey where Value == Activation {
  package static var activation: Self { Self(name: "activation") }
}
extension MetadataKey where Value == LossName {
  package static var loss: Self { Self(name: "loss") }
}
extension MetadataKey where Value == WeightNorm {
  package static var norm: Self { Self(name: "norm") }
}
extension MetadataKey where Value == WeightGrouping {
  package static var group: Self { Self(name: "group") }
}
extension MetadataKey where Value == TargetValues {
  package static var targets: Self { Self(name: "targets") }
}
extension MetadataKey where Value == Status {
  package static var status: Self { Self(name: "status") }
}
extension MetadataKey where Value == Scope {
  package static var certificate: Self { Self(name: "certificate") }
}
extension MetadataKey where Value == PatternList {
  /// The list that `index` refers to, if it is not that of the data.
  package static var list: Self { Self(name: "list") }
}
extension MetadataKey where Value == Double {
  package static var beta: Self { Self(name: "beta") }
  /// The β from which on the network is zero.
  package static var betaMax: Self { Self(name: "beta_max") }
  /// The relative gap that was asked for.
  package static var gap: Self { Self(name: "gap") }
  package static var primalObjective: Self { Self(name: "primal_objective") }
  package static var dualObjective: Self { Self(name: "dual_objective") }
  package static var relativeGap: Self { Self(name: "relative_gap") }
  /// A lower bound of the objective of every network, whatever its patterns.
  package static var globalDualObjective: Self { Self(name: "global_dual_objective") }
  /// The largest price of a neuron that searches found, over β.
  package static var violation: Self { Self(name: "violation") }
  /// An upper bound of all prices over β, from a proof that did not end.
  package static var violationBound: Self { Self(name: "violation_bound") }
}
extension MetadataKey where Value == Int {
  package static var iterations: Self { Self(name: "iterations") }
  /// The number of searches for a neuron of larger price.
  package static var searches: Self { Self(name: "searches") }
  /// The rank of the truncation of the data of which a list has all patterns.
  package static var rank: Self { Self(name: "rank") }
  /// R, of a network that has neurons for each region.
  package static var regions: Self { Self(name: "regions") }
}
extension MetadataKey where Value == Bool {
  /// Whether the patterns of a bundle are all that its data have.
  package static var exact: Self { Self(name: "exact") }
  /// Whether the last feature is the constant 1.
  package static var bias: Self { Self(name: "bias") }
  /// Whether no neuron of a solution can be spared.
  package static var minimal: Self { Self(name: "minimal") }
}

extension [String: String] {
  /// The value of `key`; nil if it is missing, or none that the key can have. Of a bundle that somebody else made read
  /// it by `Bundle.read`, which tells these two apart.
  package subscript<V>(key: MetadataKey<V>) -> V? {
    get { self[key.name].flatMap(V.parse) }
    set { self[key.name] = newValue?.text }
  }
}

extension Bundle {
  /// The value of `key`. Throws `Failure.data` if it is missing, or none that the key can have.
  package func read<V>(_ key: MetadataKey<V>) throws -> V {
    try value(key.name, V.expected, parse: V.parse)
  }

  /// The value of `key`, nil if it is missing. Throws `Failure.data` if it is none that the key can have.
  package func read<V>(ifPresent key: MetadataKey<V>) throws -> V? {
    metadata[key.name] == nil ? nil : try read(key)
  }

  /// The value of `key`, or `standard` if it is missing. Throws `Failure.data` if it is none that the key can have.
  package func read<V>(_ key: MetadataKey<V>, default standard: V) throws -> V {
    try read(ifPresent: key) ?? standard
  }

  /// Throws `Failure.data` if metadata that may be missing are there, and none that their keys can have. To take them
  /// for missing would give the bundle another meaning.
  func expectReadableNotes() throws {
    for key in [MetadataKey.exact, .bias, .minimal] { _ = try read(ifPresent: key) }
    for key in [MetadataKey.regions, .rank] { _ = try read(ifPresent: key) }
  }
}
