import Tensors
import Testing

@Suite struct RandomSourceTests {
  private func draw<T>(_ count: Int, _ body: () -> T) -> [T] { (0..<count).map { _ in body() } }

  /// The first words of xoshiro256** from the state that SplitMix64 makes of the seed 0: seeding or
  /// stepping that changes breaks every recorded experiment.
  @Test func theSequenceStays() {
    var source = RandomSource(seed: 0)
    let words = draw(3) { source.next() }
    #expect(words == [0x99EC_5F36_CB75_F2B4, 0xBF6E_1F78_4956_452A, 0x1A5F_849D_4933_E6E0])
  }

  @Test func seedsAndStreamsDiffer() {
    var firsts: Set<UInt64> = []
    for seed in -5..<5 {
      for stream in 0..<10 {
        var source = RandomSource(seed: seed, stream: stream)
        firsts.insert(source.next())
      }
    }
    #expect(firsts.count == 100)
  }

  @Test func uniformHasItsMoments() {
    var source = RandomSource(seed: 1)
    let values = draw(100_000) { source.uniform() }
    #expect(values.allSatisfy { $0 >= 0 && $0 < 1 })
    let mean = values.reduce(0, +) / 1e5
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 1e5
    #expect(abs(mean - 0.5) < 0.005)
    #expect(abs(variance - 1 / 12.0) < 0.002)
  }

  @Test func gaussianHasItsMoments() {
    var source = RandomSource(seed: 2)
    let values = draw(100_000) { source.gaussian() }
    #expect(abs(values.reduce(0, +) / 1e5) < 0.015)
    #expect(abs(values.reduce(0) { $0 + $1 * $1 } / 1e5 - 1) < 0.02)
    #expect(abs(values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / 1e5 - 3) < 0.15)
    let within = Double(values.count { abs($0) < 1 }) / 1e5
    #expect(abs(within - 0.6827) < 0.006)
  }

  @Test func belowIsUniform() {
    var source = RandomSource(seed: 3)
    var counts = [Int](repeating: 0, count: 7)
    for _ in 0..<70_000 { counts[source.below(7)] += 1 }
    #expect(counts.allSatisfy { abs($0 - 10_000) < 500 })
  }

  @Test func samplesAreAscendingAndEvenlySpread() {
    var source = RandomSource(seed: 4)
    var counts = [Int](repeating: 0, count: 10)
    for _ in 0..<10_000 {
      let chosen = source.sample(3, of: 10)
      #expect(chosen.count == 3 && zip(chosen, chosen.dropFirst()).allSatisfy { $0 < $1 })
      for i in chosen { counts[i] += 1 }
    }
    #expect(counts.allSatisfy { abs($0 - 3_000) < 250 })
    #expect(source.sample(5, of: 5) == [0, 1, 2, 3, 4])
    #expect(source.sample(0, of: 5).isEmpty)
  }
}
