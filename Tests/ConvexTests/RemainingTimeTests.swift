import Glibc
import Testing

@testable import Convex

@Suite struct RemainingTimeTests {
  /// A gap that falls by a factor e each second.
  @Test func aSteadyFallIsForetold() throws {
    var remaining = RemainingTime()
    #expect(remaining.seconds(at: 0, gap: 1, goal: 1e-4, of: 1) == nil)
    for k in 1...8 {
      let left = remaining.seconds(at: Double(k), gap: exp(-Double(k)), goal: 1e-4, of: 1)
      #expect(abs(try #require(left) - (log(1e4) - Double(k))) < 1e-9)
    }
    #expect(remaining.seconds(at: 10, gap: 1e-5, goal: 1e-4, of: 1) == 0)
  }

  @Test func aStallAndAnotherBetaTellNothing() {
    var remaining = RemainingTime()
    for k in 0..<5 {
      #expect(remaining.seconds(at: Double(k), gap: 0.5, goal: 1e-4, of: 1) == nil)
    }
    #expect(remaining.seconds(at: 6, gap: 0.1, goal: 1e-4, of: 1) != nil)
    #expect(remaining.seconds(at: 7, gap: 0.01, goal: 1e-4, of: 0.5) == nil)
    #expect(remaining.seconds(at: 8, gap: .infinity, goal: 1e-4, of: 0.5) == nil)
    #expect(remaining.seconds(at: 9, gap: -1, goal: 1e-4, of: 0.5) == nil)
    for k in 0..<10_000 {
      _ = remaining.seconds(at: 10 + Double(k), gap: 0.01 / Double(k + 1), goal: 1e-9, of: 0.5)
    }
  }

  @Test func timesAreSaidAsPeopleSayThem() {
    #expect(
      [0.2, 41, 99.4, 120, 5000, 9000].map(RemainingTime.text)
        == ["1 s", "41 s", "99 s", "2 min", "83 min", "3 h"])
  }
}
