import Glibc

/// Pseudo-random numbers that depend on the seed alone, not on the machine or the version of the standard library: all
/// random numbers of the tools come from this generator and its methods.
///
/// xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), its
/// state filled by SplitMix64 as its authors advise.
package struct RandomSource: RandomNumberGenerator, Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)
  /// The second of a pair of normal numbers, until it is asked for.
  private var spare: Double?

  /// The generator of `seed`. Streams of one seed are independent: each part of a divided work draws from its own
  /// stream, and the parts may be done in any order.
  package init(seed: Int, stream: Int = 0) {
    // The stream goes through the mixing function before it meets the seed, so that the streams of
    // neighbouring seeds do not coincide.
    var counter = UInt64(bitPattern: Int64(stream))
    var mixed = UInt64(bitPattern: Int64(seed))
    if stream != 0 { mixed ^= RandomSource.splitMix(&counter) }
    state = (
      RandomSource.splitMix(&mixed), RandomSource.splitMix(&mixed),
      RandomSource.splitMix(&mixed), RandomSource.splitMix(&mixed)
    )
  }

  /// One step of SplitMix64 (Steele, Lea and Flood, 2014).
  private static func splitMix(_ counter: inout UInt64) -> UInt64 {
    counter &+= 0x9E37_79B9_7F4A_7C15
    var z = counter
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package mutating func next() -> UInt64 {
    func rotated(_ x: UInt64, _ k: UInt64) -> UInt64 { x &<< k | x &>> (64 &- k) }
    let result = rotated(state.1 &* 5, 7) &* 9
    let shifted = state.1 &<< 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotated(state.3, 45)
    return result
  }

  /// Uniform over the multiples of 2⁻⁵³ in [0, 1).
  package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Uniform in [`range.lowerBound`, `range.upperBound`).
  package mutating func uniform(in range: Range<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }

  /// Normal with mean 0 and variance 1 (Marsaglia's polar method).
  package mutating func gaussian() -> Double {
    if let spare {
      self.spare = nil
      return spare
    }
    while true {
      let x = 2 * uniform() - 1
      let y = 2 * uniform() - 1
      let square = x * x + y * y
      if square > 0 && square < 1 {
        let factor = (-2 * log(square) / square).squareRoot()
        spare = y * factor
        return x * factor
      }
    }
  }

  /// Uniform over 0 ..< `count`, without bias (Lemire, 2019).
  package mutating func below(_ count: Int) -> Int {
    precondition(count > 0, "nothing to choose from")
    let bound = UInt64(count)
    var product = next().multipliedFullWidth(by: bound)
    if product.low < bound {
      let threshold = (0 &- bound) % bound
      while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
    }
    return Int(product.high)
  }

  /// `size` different numbers of 0 ..< `count` in ascending order, every subset being equally likely (Knuth, The Art of
  /// Computer Programming, algorithm 3.4.2 S).
  package mutating func sample(_ size: Int, of count: Int) -> [Int] {
    precondition(size >= 0 && size <= count, "more than there are")
    var chosen: [Int] = []
    chosen.reserveCapacity(size)
    for i in 0..<count where chosen.count < size {
      if below(count - i) < size - chosen.count { chosen.append(i) }
    }
    return chosen
  }
}
