import LinearAlgebra
import Tensors
import Testing

@Suite struct KeepSmallestTests {
  /// The numbers that are kept are those that sorting puts first.
  @Test func agreesWithSorting() {
    var random = RandomSource(seed: 3)
    for size in [0, 1, 2, 3, 10, 100, 1000] {
      // Few different keys: many are equal.
      for different in [1, 3, 1_000_000] {
        let keys = (0..<max(1, size)).map { _ in Double(random.below(different)) }
        let numbers = (0..<size).filter { _ in random.below(4) > 0 }
        for limit in [-1, 0, 1, 2, size / 3, size] {
          var kept = numbers
          kept.keepSmallest(limit, by: keys)
          let sorted = numbers.sorted { keys[$0] == keys[$1] ? $0 < $1 : keys[$0] < keys[$1] }
          #expect(kept.sorted() == sorted.prefix(max(0, limit)).sorted())
        }
      }
    }
  }
}
