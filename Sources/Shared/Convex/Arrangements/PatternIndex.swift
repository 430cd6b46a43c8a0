/// Finds patterns by their bits.
struct PatternIndex {
  private let patterns: Patterns
  /// Open addressing: −1 is an empty place.
  private var table: [Int32]
  /// The numbers of the patterns that differ from all before them, in ascending order.
  private(set) var firsts: [Int] = []

  init(_ patterns: Patterns) {
    self.patterns = patterns
    var capacity = 16
    while capacity < 2 * patterns.count { capacity *= 2 }
    table = Array(repeating: -1, count: capacity)
    for index in 0..<patterns.count {
      let place = place(of: patterns.bits(index))
      if table[place] < 0 {
        table[place] = Int32(index)
        firsts.append(index)
      }
    }
  }

  /// The number of the first pattern with these bits.
  func find(_ bits: [UInt8]) -> Int? {
    let found = bits.withUnsafeBufferPointer { table[place(of: $0.baseAddress!)] }
    return found < 0 ? nil : Int(found)
  }

  /// The place in the table at which the pattern stands, or would stand.
  private func place(of bits: UnsafePointer<UInt8>) -> Int {
    var place = Int(truncatingIfNeeded: hash(bits)) & (table.count - 1)
    while table[place] >= 0, !areEqual(patterns.bits(Int(table[place])), bits) {
      place = (place + 1) & (table.count - 1)
    }
    return place
  }

  private func areEqual(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>) -> Bool {
    for byte in 0..<patterns.stride where a[byte] != b[byte] { return false }
    return true
  }

  /// Mixes eight bytes at a time by multiplication.
  private func hash(_ bits: UnsafePointer<UInt8>) -> UInt64 {
    let bytes = UnsafeRawPointer(bits)
    var value: UInt64 = 0
    func mix(_ word: UInt64) {
      let product = (value ^ word ^ 0x9E37_79B9_7F4A_7C15)
        .multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
      value = product.high ^ product.low
    }
    var offset = 0
    while offset + 8 <= patterns.stride {
      mix(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset += 8
    }
    while offset < patterns.stride {
      mix(UInt64(bytes.load(fromByteOffset: offset, as: UInt8.self)))
      offset += 1
    }
    return value
  }
}
