import Tensors

/// The records of a source that are taken: chosen by class, then by place among these, then the first ones of each
/// class, then at random.
package struct Selection {
  /// Names or numbers of classes, which become the labels 0, 1, … in this order; `nil` takes all.
  package var classes: [String]?
  /// Places among the records of the chosen classes, half-open.
  package var range: Range<Int>?
  /// The first so many records of each class.
  package var perClass: Int?
  /// So many records at random, in the order of the source.
  package var sample: Int?
  /// The seed of `sample`.
  package var seed = 0

  package init() {}
}

/// A selection at work on the records of a source, which come one by one, in order.
package struct Selector {
  package let classes: [String]
  private let selection: Selection
  /// The label that each class of the source becomes; −1 if it is not taken.
  private let relabelled: [Int32]
  /// How many records of the chosen classes have come.
  private var seen = 0
  private var taken: [Int]

  /// `known` are the classes of the source, whose labels are places in it.
  package init(_ selection: Selection, among known: [String]) throws {
    let chosen = try selection.classes.map { try Selector.resolve($0, among: known) }
    var relabelled = [Int32](repeating: -1, count: known.count)
    for (label, number) in (chosen ?? Array(known.indices)).enumerated() {
      relabelled[number] = Int32(label)
    }
    classes = chosen.map { $0.map { known[$0] } } ?? known
    taken = [Int](repeating: 0, count: classes.count)
    self.selection = selection
    self.relabelled = relabelled
  }

  /// The numbers of the classes `names`, each an exact name, or else a number.
  private static func resolve(_ names: [String], among known: [String]) throws -> [Int] {
    var numbers: [Int] = []
    for name in names {
      guard
        let number = known.firstIndex(of: name)
          ?? Int(name).flatMap({ known.indices.contains($0) ? $0 : nil })
      else {
        throw Failure.usage(
          "unknown class \(quoted(name)), expected a number below \(known.count) or one of "
            + known.joined(separator: ", "))
      }
      guard !numbers.contains(number) else {
        throw Failure.usage("class \(quoted(known[number])) is chosen twice")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// The label that the next record gets, or `nil` if it is not taken. `label` is its class in the source.
  package mutating func take(_ label: Int) -> Int32? {
    let new = relabelled[label]
    guard new >= 0 else { return nil }
    seen += 1
    if let range = selection.range, !range.contains(seen - 1) { return nil }
    if let limit = selection.perClass, taken[Int(new)] >= limit { return nil }
    taken[Int(new)] += 1
    return new
  }

  /// To be called after the last record: compares the records taken with those asked for, and returns the places that
  /// the random choice leaves of them (`nil`: all).
  package func finish(_ listener: Listener) throws -> [Int]? {
    let total = taken.reduce(0, +)
    let noun = selection.classes == nil ? "images" : "images of the chosen classes"
    if let range = selection.range, range.upperBound > seen {
      guard range.lowerBound < seen else {
        throw Failure.data(
          "the range starts at \(range.lowerBound), but there are only \(seen) \(noun)")
      }
      if range.upperBound != Int.max {
        listener.warn("the range ends at \(range.upperBound), but there are only \(seen) \(noun)")
      }
    }
    guard total > 0 else { throw Failure.data("there are no \(noun)") }
    if let limit = selection.perClass,
      let poor = classes.indices.first(where: { taken[$0] < limit })
    {
      let place = selection.range == nil ? "" : " in the range"
      throw Failure.data(
        "class \(quoted(classes[poor])) has only \(taken[poor]) images\(place), fewer than \(limit)"
      )
    }
    guard let sample = selection.sample else { return nil }
    guard sample <= total else {
      throw Failure.data("cannot take \(sample) at random from only \(total) images")
    }
    var random = RandomSource(seed: selection.seed)
    return random.sample(sample, of: total)
  }
}
