import Glibc
import LinearAlgebra
import Tensors

/// The loss that a network was trained on, by the name that metadata `loss` have; summed over samples and
/// outputs.
package enum TrainingLoss: Hashable, Sendable {
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

  /// The metadata `loss`; squared where it is not there.
  init(_ bundle: Bundle) throws {
    guard let text = bundle.metadata["loss"] else {
      self = .squared
      return
    }
    guard let loss = TrainingLoss(text) else {
      let names = TrainingLoss.plain.map { quoted($0.name) }.joined(separator: ", ")
      throw Failure.data(
        "metadata \"loss\" of \(bundle.name) is \(quoted(text)), expected \(names) or quantile-Q with Q between 0 and 1"
      )
    }
    self = loss
  }

  private static let plain: [TrainingLoss] = [.squared, .logistic, .hinge, .huber, .crossEntropy]

  /// What metadata call it.
  package var name: String {
    switch self {
    case .squared: "squared"
    case .logistic: "logistic"
    case .hinge: "hinge"
    case .huber: "huber"
    case .crossEntropy: "cross-entropy"
    case .quantile(let level): "quantile-\(level)"
    }
  }

  private init?(_ name: String) {
    if let loss = TrainingLoss.plain.first(where: { $0.name == name }) {
      self = loss
      return
    }
    let prefix = "quantile-"
    guard name.hasPrefix(prefix), let level = Double(decimal: String(name.dropFirst(prefix.count))),
      level > 0, level < 1
    else { return nil }
    self = .quantile(level)
  }

  /// Whether targets are ±1: more than two classes have an output each, one against all others.
  var hasSigns: Bool { self == .logistic || self == .hinge }

  /// Whether it measures distances of outputs from targets.
  var isOfDistances: Bool {
    switch self {
    case .squared, .huber, .quantile: true
    case .logistic, .hinge, .crossEntropy: false
    }
  }

  /// ℓ(ŷ) for n × C outputs and targets.
  package func value(_ outputs: Matrix, _ expected: Matrix) -> Double {
    var sum = CompensatedSum()
    if self == .crossEntropy {
      for i in 0..<outputs.rows {
        addCrossEntropy(outputs.row(i), expected.row(i), outputs.columns, to: &sum)
      }
      return sum.value
    }
    for k in 0..<outputs.count {
      let (output, target) = (outputs.base[k], expected.base[k])
      switch self {
      case .squared, .crossEntropy:
        sum.add(0.5 * (output - target), times: output - target)
      case .logistic:
        let margin = target * output
        // log(1 + e^(−m)) = −m + log(1 + e^m)
        sum.add(margin < 0 ? -margin : 0)
        sum.add(log1p(exp(-abs(margin))))
      case .hinge:
        sum.add(max(0, 1 - target * output))
      case .huber:
        let error = abs(output - target)
        if error <= 1 { sum.add(0.5 * error, times: error) } else { sum.add(error - 0.5) }
      case .quantile(let level):
        let error = target - output
        sum.add(error > 0 ? level : level - 1, times: error)
      }
    }
    return sum.value
  }

  private func addCrossEntropy(
    _ z: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ classes: Int,
    to sum: inout CompensatedSum
  ) {
    var top = 0
    for c in 1..<classes where z[c] > z[top] { top = c }
    // log Σ e^z = z_top + log(1 + Σ' e^(z − z_top))
    var others = 0.0
    for c in 0..<classes where c != top { others += exp(z[c] - z[top]) }
    sum.add(log1p(others))
    for c in 0..<classes where y[c] != 0 { sum.add(y[c], times: z[top] - z[c]) }
  }

  /// Throws where the loss is not defined for such targets (n × C) of the bundle `name`.
  func expect(_ targets: Matrix, name: String) throws {
    if hasSigns {
      for k in 0..<targets.count where abs(targets.base[k]) != 1 {
        throw Failure.data(
          "the targets of \(name) hold \(targets.base[k]) for sample \(k / targets.columns), "
            + "expected -1 or 1 for the \(self.name) loss")
      }
    }
    guard self == .crossEntropy else { return }
    guard targets.columns > 1 else {
      throw Failure.data(
        "the targets of \(name) have one column, expected one for each class for the "
          + "cross-entropy loss")
    }
    for i in 0..<targets.rows {
      var sum = 0.0
      var least = 0.0
      for c in 0..<targets.columns {
        sum += targets[i, c]
        least = min(least, targets[i, c])
      }
      guard least >= 0, abs(sum - 1) <= 1e-12 else {
        throw Failure.data(
          "the targets of sample \(i) of \(name) are no distribution, as the cross-entropy loss needs"
        )
      }
    }
  }
}
