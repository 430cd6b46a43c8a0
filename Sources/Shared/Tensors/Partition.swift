/// Ways to divide samples into parts, at random and the same on every machine. With `labels`, the class of each sample,
/// every part has its share of each class.
package enum Partition {
  /// Divides `count` samples into `size` samples and the rest, each in ascending order. The classes' shares of the
  /// first part differ from their shares of the whole by less than one sample each.
  package static func split(
    _ count: Int, size: Int, labels: [Int]? = nil, seed: Int
  ) -> (part: [Int], rest: [Int]) {
    precondition((0...count).contains(size), "more samples than there are")
    var random = RandomSource(seed: seed)
    var isTaken = [Bool](repeating: false, count: count)
    let classes = members(count, labels)
    for (samples, share) in zip(classes, shares(of: size, classes.map(\.count))) {
      for place in random.sample(share, of: samples.count) { isTaken[samples[place]] = true }
    }
    return ((0..<count).filter { isTaken[$0] }, (0..<count).filter { !isTaken[$0] })
  }

  /// The number of the fold of each of `count` samples, 0 to `folds` − 1. The sizes of two folds differ by at most one
  /// sample, and so do their numbers of samples of each class.
  package static func folds(
    _ count: Int, folds: Int, labels: [Int]? = nil, seed: Int
  ) -> [Int] {
    precondition(folds > 0, "no folds")
    var random = RandomSource(seed: seed)
    var result = [Int](repeating: 0, count: count)
    var next = 0
    for samples in members(count, labels) {
      var order = samples
      // Fisher and Yates.
      for i in order.indices.dropFirst().reversed() { order.swapAt(i, random.below(i + 1)) }
      for i in order {
        result[i] = next % folds
        next += 1
      }
    }
    return result
  }

  /// The samples of each class, in ascending order; without labels all are of one.
  private static func members(_ count: Int, _ labels: [Int]?) -> [[Int]] {
    guard let labels else { return [Array(0..<count)] }
    precondition(labels.count == count, "not a label for each sample")
    let classes = Dictionary(grouping: 0..<count) { labels[$0] }
    return classes.keys.sorted().map { classes[$0]! }
  }

  /// `size` divided in proportion to `counts`: what whole numbers leave over goes to the largest remainders, to the
  /// earlier of equals.
  private static func shares(of size: Int, _ counts: [Int]) -> [Int] {
    let total = counts.reduce(0, +)
    guard total > 0 else { return counts }
    let exact = counts.map { $0.multipliedFullWidth(by: size) }
    var result = exact.map { total.dividingFullWidth($0).quotient }
    let remainders = exact.map { total.dividingFullWidth($0).remainder }
    let order = counts.indices.sorted { (remainders[$1], $0) < (remainders[$0], $1) }
    for i in order.prefix(size - result.reduce(0, +)) { result[i] += 1 }
    return result
  }
}
