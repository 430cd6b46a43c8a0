import Tensors

/// The norms that β multiplies in the programs over patterns.
package enum WeightNorm: String, CaseIterable, MetadataValue {
  /// A sum of the lengths of groups of weights.
  case group
  /// Σ ‖W_i‖_*, the sum of the singular values of each pattern's weights, d × RC, or of each pattern's and class's,
  /// d × R.
  case nuclear
}

/// The weights of a pattern that share a group of the norm.
package enum WeightGrouping: String, CaseIterable, MetadataValue {
  /// The weights of a class, of all regions: Σ ‖w_ic‖ over patterns and classes.
  case perClass = "class"
  /// All weights of a pattern: Σ ‖W_i‖_F over patterns.
  case perPattern = "pattern"
}

/// The end of a search.
package enum Status: String, CaseIterable, MetadataValue {
  /// The gap that was asked for is certified.
  case optimal
  case iterationLimit = "iteration-limit"
  case timeLimit = "time-limit"
  case nodeLimit = "node-limit"
  /// The numbers allow no further progress; the certificate says how far it came.
  case stalled
  /// A signal asked for the end.
  case interrupted
}

/// Which networks cannot be better than the bound of a certificate. The words are those of metadata `certificate` and
/// of evaluate's report.
package enum Scope: String, CaseIterable, MetadataValue {
  /// No network of the architecture at all: polynomial, linear and circular networks, and ReLU networks over a
  /// list of patterns that is complete.
  case global
  /// No network whose neurons have patterns of the list.
  case patterns
  /// No network with these gates.
  case gates
  /// The same, judged from sums over the samples.
  case globalByStatistics = "global by statistics"
  case gatesByStatistics = "gates by statistics"

  /// Whether a proof of this kind bears out a solution that claims `other`. One over the samples bears out what is
  /// claimed of their sums.
  package func covers(_ other: Scope) -> Bool {
    self == other || (self == .global && other == .patterns)
      || (self != other && byStatistics == other)
  }

  /// The same claim, judged from sums over the samples.
  package var byStatistics: Scope {
    switch self {
    case .global: .globalByStatistics
    case .gates: .gatesByStatistics
    default: self
    }
  }
}

/// A list of patterns that a solution brings along.
package enum PatternList: String, CaseIterable, MetadataValue {
  /// Training over all patterns found them: `gates` and `patterns` of the solution are the whole list, and `index` says
  /// which carry weight.
  case found
}

/// The numbers that stand for classes.
package struct TargetValues: Equatable, MetadataValue {
  /// One output: the target of the first class. More: that of every class but the sample's own.
  package let first: Double
  /// One output: the target of the second class. More: that of the sample's own class.
  package let second: Double

  package init(_ first: Double, _ second: Double) {
    self.first = first
    self.second = second
  }

  /// The values for a program of this loss: -1 and 1 for one output and for losses of signs, otherwise 0 and 1.
  package init(outputs: Int, loss: LossName) {
    let isSigned = loss.hasSigns || (outputs == 1 && loss != .crossEntropy)
    self.init(isSigned ? -1 : 0, 1)
  }

  package static let expected = "two numbers, such as \"-1,1\""

  /// Reads "-1,1". Returns nil unless the text is two finite numbers that differ.
  package static func parse(_ text: String) -> TargetValues? {
    guard let numbers = parseNumbers(text), numbers.count == 2, numbers[0] != numbers[1] else {
      return nil
    }
    return TargetValues(numbers[0], numbers[1])
  }

  package var text: String { "\(first),\(second)" }

  /// The sum of the targets of output c, and that of their squares, of so many samples of each class.
  package func sums(_ counts: [Int], output c: Int, of outputs: Int) -> (
    sum: Double, square: Double
  ) {
    let own = Double(counts[outputs == 1 ? 1 : c])
    let others = counts.reduce(0) { $0 + Double($1) } - own
    return (own * second + others * first, own * second * second + others * first * first)
  }
}

extension Bundle {
  /// The metadata `targets`, or what they are for a program of `outputs` outputs if they are missing. Throws
  /// `Failure.data` if the loss has others.
  package func targetValues(outputs: Int, loss: LossName) throws -> TargetValues {
    let values = try read(.targets, default: TargetValues(outputs: outputs, loss: loss))
    func expect(_ holds: Bool, _ expected: String) throws {
      guard holds else {
        throw Failure.data(
          "metadata \"targets\" of \(name) is \(quoted(metadata["targets"] ?? "")), expected \(expected) for the "
            + "\(loss.rawValue) loss")
      }
    }
    try expect(!loss.hasSigns || [values.first, values.second].map(abs) == [1, 1], "-1 and 1")
    try expect(loss != .crossEntropy || values == TargetValues(0, 1), "\"0,1\"")
    return values
  }
}

extension Bundle {
  /// The metadata `norm`; `standard` if it is missing, which is an error without one. Throws `Failure.data` if the
  /// activation has another.
  package func weightNorm(_ activation: Activation, default standard: WeightNorm?) throws
    -> WeightNorm
  {
    let norm = try standard.map { try read(.norm, default: $0) } ?? read(.norm)
    let expected = activation == .relu ? .group : activation.isLinear ? .nuclear : norm
    guard norm == expected else {
      throw Failure.data(
        "metadata \"norm\" of \(name) is \(quoted(norm.text)), expected \(quoted(expected.text)) for activation "
          + activation.text)
    }
    return norm
  }
}
