import LinearAlgebra
import Testing

/// How often each index was visited; each slot is written by one part only, as `Threads` promises.
private func visits(_ count: Int, _ body: (UnsafeMutablePointer<Int>) -> Void) -> [Int] {
  var result = [Int](repeating: 0, count: count)
  result.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { body(base) } }
  return result
}

// The number of threads is one for the whole process: tests that set it take turns.
@Suite(.serialized) struct ThreadsTests {
  @Test func everyIndexOnce() {
    defer { Threads.use(1) }
    for threads in [1, 2, 3, 7] {
      Threads.use(threads)
      #expect(Threads.count == threads)
      for count in [0, 1, 2, 3, 5, 8, 64, 1001] {
        let parts = visits(count) { slots in Threads.perform(count) { slots[$0] += 1 } }
        #expect(parts.allSatisfy { $0 == 1 })
        for grain in [0, 1, 3, 8, 2000] {
          let split = visits(count) { slots in
            Threads.split(count, grain: grain) { range in for i in range { slots[i] += 1 } }
          }
          #expect(split.allSatisfy { $0 == 1 }, "\(count) over \(threads), grain \(grain)")
        }
      }
    }
    Threads.use(-3)
    #expect(Threads.count == 1)
  }

  @Test func partsAreOneAThreadAndNotTooShort() {
    defer { Threads.use(1) }
    Threads.use(4)
    for (total, grain, parts) in [(100, 1, 4), (100, 50, 2), (100, 51, 1), (3, 1, 3), (0, 1, 1)] {
      let starts = visits(101) { slots in
        Threads.split(total, grain: grain) { slots[$0.lowerBound] += 1 }
      }
      #expect(starts.reduce(0, +) == parts)
    }
  }

  @Test func withinAPartThereIsOneThread() {
    defer { Threads.use(1) }
    Threads.use(3)
    for outer in [1, 5] {
      let inner = visits(outer * 40) { slots in
        Threads.perform(outer) { part in
          // Were these parts on threads of their own, they would race for `last`.
          var last = -1
          Threads.perform(20) { k in
            slots[part * 40 + k] += k == last + 1 ? 1 : 100
            last = k
          }
          Threads.split(20) { range in for k in range { slots[part * 40 + 20 + k] += 1 } }
        }
      }
      #expect(inner.allSatisfy { $0 == 1 })
    }
  }
}
