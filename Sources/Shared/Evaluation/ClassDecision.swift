import Glibc
import Schema

extension TargetValues {
  /// The class that the outputs of a sample decide for: with one output the class whose target is nearer, with more the
  /// one whose output stands out most. Ties go to the lower class.
  func decide(_ outputs: UnsafeBufferPointer<Double>) -> Int {
    if outputs.count == 1 {
      return abs(outputs[0] - second) < abs(outputs[0] - first) ? 1 : 0
    }
    let sign = second > first ? 1.0 : -1.0
    var best = 0
    for c in 1..<outputs.count where sign * outputs[c] > sign * outputs[best] { best = c }
    return best
  }

  /// The probability of each class that the `outputs` of a sample stand for: those of the logistic loss, scaled to the
  /// sum 1 if several outputs tell one class each from the others, or of cross-entropy. Nil for other losses, which
  /// have none.
  func probabilities(_ outputs: UnsafeBufferPointer<Double>, _ loss: LossName) -> [Double]? {
    let sign = second > first ? 1.0 : -1.0
    switch loss {
    case .logistic:
      let own = outputs.map { 1 / (1 + exp(-sign * $0)) }
      if own.count == 1 { return [1 / (1 + exp(sign * outputs[0])), own[0]] }
      let sum = own.reduce(0, +)
      return own.map { sum > 0 ? $0 / sum : 1 / Double(own.count) }
    case .crossEntropy:
      let largest = outputs.max() ?? 0
      let weights = outputs.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    default: return nil
    }
  }
}
