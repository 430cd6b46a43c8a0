import Tensors
import Testing

@Test(arguments: [(1, 1, 0), (10, 0, 1), (10, 10, 2), (100, 37, 3), (7, 3, 4)])
func splitsAreDisjointAndComplete(_ count: Int, _ size: Int, _ seed: Int) {
  let labels = (0..<count).map { $0 * $0 % 5 }
  for labels in [nil, labels] {
    let (part, rest) = Partition.split(count, size: size, labels: labels, seed: seed)
    #expect(part.count == size && part == part.sorted() && rest == rest.sorted())
    #expect((part + rest).sorted() == Array(0..<count))
    guard let labels else { continue }
    for c in Set(labels) {
      let whole = Double(labels.count { $0 == c } * size) / Double(count)
      #expect(abs(Double(part.count { labels[$0] == c }) - whole) < 1)
    }
  }
}

@Test(arguments: [(10, 3), (10, 10), (101, 7), (4, 2)])
func foldsAreEqual(_ count: Int, _ folds: Int) {
  let labels = (0..<count).map { $0 % 7 == 0 ? 9 : -4 }
  for labels in [nil, labels] {
    let parts = Partition.folds(count, folds: folds, labels: labels, seed: 1)
    #expect(parts.count == count)
    func spread(_ samples: [Int]) -> Int {
      let counts = (0..<folds).map { fold in samples.count { parts[$0] == fold } }
      return counts.max()! - counts.min()!
    }
    #expect(spread(Array(0..<count)) <= 1)
    guard let labels else { continue }
    for c in Set(labels) { #expect(spread((0..<count).filter { labels[$0] == c }) <= 1) }
  }
}

@Test func seedsDecideOfParts() {
  let one = Partition.folds(50, folds: 5, seed: 1)
  #expect(one == Partition.folds(50, folds: 5, seed: 1))
  #expect(one != Partition.folds(50, folds: 5, seed: 2))
  // Neither the samples' order nor the folds' is that of the numbers.
  #expect(one != (0..<50).map { $0 % 5 })
}

@Test func arraysOfStringsAreWrittenAndRead() {
  for strings in [[], ["a"], ["a,b", "\"", "\\", "ä\u{0}\n", ""]] {
    #expect(parseQuotedArray(quotedArray(strings)) == strings)
  }
  #expect(parseQuotedArray(" [ \"a\" , \"\\u00e4\" ] ") == ["a", "ä"])
  for text in [
    "", "a", "[a]", "[\"a\"", "[\"a\",]", "[\"a\"] x", "[1]", "{\"a\":1}", "[\"a\" \"b\"]",
  ] {
    #expect(parseQuotedArray(text) == nil, "\(text)")
  }
}
