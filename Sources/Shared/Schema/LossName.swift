import Tensors

/// The losses by the names that metadata and options have, each summed over samples and outputs.
package enum LossName: Hashable, Sendable {
  /// ½ (ŷ − y)².
  case squared
  /// log(1 + e^(−yŷ)), y = ±1.
  case logistic
  /// max(0, 1 − yŷ), y = ±1.
  case hinge
  /// ½ e² for e = ŷ − y with |e| ≤ 1, otherwise |e| − ½.
  case huber
  /// log Σ_c e^ŷ_c − Σ_c y_c ŷ_c, the y of a sample a distribution.
  case crossEntropy
  /// max(τe, (τ − 1)e) for e = y − ŷ, τ in (0, 1).
  case quantile(Double)
  /// The constraint ŷ = y; its value is Σ |ŷ − y|.
  case interpolation
  /// The constraint yŷ ≥ 1, y = ±1; its value is Σ max(0, 1 − yŷ).
  case margin

  /// Whether targets are ±1: more than two classes have an output each, one against all others.
  package var hasSigns: Bool { [.logistic, .hinge, .margin].contains(self) }

  /// Whether it is a constraint that outputs satisfy or not, whatever β.
  package var isConstraint: Bool { self == .interpolation || self == .margin }

  /// Whether it measures distances of outputs from targets.
  package var isOfDistances: Bool {
    switch self {
    case .squared, .huber, .quantile, .interpolation: true
    case .logistic, .hinge, .crossEntropy, .margin: false
    }
  }
}

extension LossName: RawRepresentable, CaseIterable {
  package static let allCases: [LossName] = [
    .squared, .logistic, .hinge, .huber, .crossEntropy, .quantile(0.5),
  ]

  package var rawValue: String {
    switch self {
    case .squared: "squared"
    case .logistic: "logistic"
    case .hinge: "hinge"
    case .huber: "huber"
    case .crossEntropy: "cross-entropy"
    case .quantile(let level): "quantile-\(level)"
    case .interpolation: "interpolation"
    case .margin: "margin"
    }
  }

  /// Takes the names that `rawValue` has, the level of a quantile in any decimal notation.
  package init?(rawValue: String) {
    let prefix = "quantile-"
    if rawValue.hasPrefix(prefix) {
      guard let level = Double(decimal: String(rawValue.dropFirst(prefix.count))), level > 0,
        level < 1
      else { return nil }
      self = .quantile(level)
      return
    }
    guard
      let name = (LossName.allCases + [.interpolation, .margin]).first(where: {
        $0.rawValue == rawValue
      })
    else { return nil }
    self = name
  }
}

extension LossName: MetadataValue {
  package static var expected: String {
    let names = allCases.dropLast().map { quoted($0.rawValue) }.joined(separator: ", ")
    return "\(names) or quantile-Q with Q between 0 and 1"
  }
}
