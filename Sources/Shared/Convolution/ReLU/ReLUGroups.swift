/// A group of the norm: the weights of the neurons with one pattern and one sign of the outputs, for one output or for
/// all.
struct ReLUGroup: Hashable {
  let pattern: Int
  /// 1 for v, −1 for w.
  let sign: Double
  let outputs: Range<Int>
}

/// The groups of a program by number: the groups of a pattern follow each other, v before w.
struct ReLUGroups {
  let patterns: Int
  /// The outputs that share a group.
  let ranges: [Range<Int>]

  /// A group for each output, or one for all outputs `together`.
  init(patterns: Int, outputs: Int, together: Bool) {
    self.patterns = patterns
    ranges = together ? [0..<outputs] : (0..<outputs).map { $0..<$0 + 1 }
  }

  /// The number of groups per pattern.
  var each: Int { 2 * ranges.count }
  var count: Int { patterns * each }
  /// The number of outputs per group.
  var width: Int { ranges[0].count }

  func pattern(_ number: Int) -> Int { number / each }

  subscript(number: Int) -> ReLUGroup {
    ReLUGroup(
      pattern: number / each, sign: number % 2 == 0 ? 1 : -1,
      outputs: ranges[number % each / 2])
  }

  func number(_ pattern: Int, range: Int, sign: Int) -> Int { pattern * each + 2 * range + sign }
}
