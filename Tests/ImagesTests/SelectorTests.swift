import Images
import Tensors
import Testing

@Suite struct SelectorTests {
  private let known = ["a", "b", "c"]

  /// The places taken of records with these labels, and their new labels.
  private func taken(
    _ labels: [Int], _ selection: Selection, warnings: inout [String]
  ) throws -> (places: [Int], labels: [Int32]) {
    var selector = try Selector(selection, among: known)
    var places: [Int] = []
    var new: [Int32] = []
    for (place, label) in labels.enumerated() {
      if let label = selector.take(label) {
        places.append(place)
        new.append(label)
      }
    }
    var heard: [String] = []
    let kept = try selector.finish(Listener(warn: { heard.append($0) }))
    warnings = heard
    guard let kept else { return (places, new) }
    return (kept.map { places[$0] }, kept.map { new[$0] })
  }

  private func taken(
    _ labels: [Int], _ change: (inout Selection) -> Void
  ) throws -> (places: [Int], labels: [Int32]) {
    var selection = Selection()
    change(&selection)
    var warnings: [String] = []
    let result = try taken(labels, selection, warnings: &warnings)
    #expect(warnings.isEmpty)
    return result
  }

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return ""
    } catch { return (error as? Failure)?.message ?? "\(error)" }
  }

  private let labels = [0, 1, 2, 2, 1, 0, 0, 2, 1, 1]

  @Test func takesEverythingUnasked() throws {
    let all = try taken(labels) { _ in }
    #expect(all.places == Array(0..<10))
    #expect(all.labels == labels.map(Int32.init))
  }

  @Test func relabelsInTheOrderGiven() throws {
    let chosen = try taken(labels) { $0.classes = ["c", "0"] }
    #expect(chosen.places == [0, 2, 3, 5, 6, 7])
    #expect(chosen.labels == [1, 0, 0, 1, 1, 0])
  }

  @Test func namesGoBeforeNumbers() throws {
    var selection = Selection()
    selection.classes = ["1", "2"]
    let selector = try Selector(selection, among: ["x", "2", "1"])
    #expect(selector.classes == ["1", "2"])
  }

  @Test func theRangeCountsTheChosenClasses() throws {
    #expect(
      try taken(labels) {
        $0.classes = ["b"]
        $0.range = 1..<3
      }.places == [4, 8])
    #expect(try taken(labels) { $0.range = 8..<Int.max }.places == [8, 9])
  }

  @Test func perClassComesAfterTheRange() throws {
    #expect(
      try taken(labels) {
        $0.range = 2..<10
        $0.perClass = 2
      }.places == [2, 3, 4, 5, 6, 8])
  }

  @Test func samplesInTheOrderOfTheSource() throws {
    let many = Array(repeating: labels, count: 50).flatMap { $0 }
    func sample(_ seed: Int) throws -> [Int] {
      try taken(many) {
        $0.classes = ["a"]
        $0.sample = 20
        $0.seed = seed
      }.places
    }
    let chosen = try sample(7)
    #expect(chosen.count == 20 && chosen == chosen.sorted())
    #expect(chosen.allSatisfy { many[$0] == 0 })
    #expect(try chosen == sample(7))
    #expect(try chosen != sample(8))
  }

  @Test func warnsOfARangeBeyondTheEnd() throws {
    var selection = Selection()
    selection.range = 5..<20
    var warnings: [String] = []
    #expect(try taken(labels, selection, warnings: &warnings).places == [5, 6, 7, 8, 9])
    #expect(warnings.count == 1 && warnings[0].contains("10"))
  }

  @Test func refusesWhatCannotBeTaken() {
    func refusal(_ change: (inout Selection) -> Void) -> String {
      message { _ = try taken(labels, change) }
    }
    #expect(refusal { $0.classes = ["d"] }.contains("a, b, c"))
    #expect(refusal { $0.classes = ["3"] }.contains("\"3\""))
    #expect(refusal { $0.classes = ["-1"] }.contains("\"-1\""))
    #expect(refusal { $0.classes = ["a", "0"] }.contains("twice"))
    #expect(refusal { $0.range = 10..<11 }.contains("only 10"))
    #expect(refusal { $0.perClass = 4 }.contains("\"a\" has only 3"))
    #expect(refusal { $0.sample = 11 }.contains("11"))
    #expect(message { _ = try taken([0, 0]) { $0.classes = ["b"] } }.contains("no images"))
  }
}
