import Tensors
import Testing

@Test func statisticsOfEachKindOfNumber() {
  let mixed = Statistics(of: Tensor([1, .nan, -3, .infinity, -.infinity, 0.1]))
  #expect(mixed.minimum == "-3.0")
  #expect(mixed.maximum == "1.0")
  #expect(abs(mixed.mean! - (-1.9 / 3)) < 1e-15)
  #expect(mixed.nonFinite == 3)
  let none = Statistics(of: Tensor([Double.nan]))
  #expect(none.minimum == nil && none.maximum == nil && none.mean == nil && none.nonFinite == 1)
  #expect(Statistics(of: Tensor([Float]())).mean == nil)
  // The sum of these overflows, their mean does not.
  let large = Statistics(of: Tensor([1.5e308, 1.5e308, 1.5e308]))
  #expect(abs(large.mean! / 1.5e308 - 1) < 1e-12)
  // Not exact as doubles.
  let long = Statistics(of: Tensor([Int64.max - 1, Int64.min + 1]))
  #expect(long.maximum == "9223372036854775806" && long.minimum == "-9223372036854775807")
  #expect(Statistics(of: Tensor([UInt64.max])).minimum == "18446744073709551615")
  #expect(Statistics(of: Tensor([Float16(1.1)])).minimum == "1.1")
  #expect(Statistics(of: Tensor([Truth(byte: 0), Truth(byte: 9)])).maximum == "1")
  // More than one block.
  let ramp = Statistics(of: Tensor((0..<10_001).map { Int32($0) }))
  #expect(ramp.maximum == "10000" && ramp.mean == 5000 && ramp.minimum == "0")
}

@Test func sumsElementByElement() throws {
  func sum<T: Element>(_ a: [T], _ b: [T]) throws -> [Double] {
    let total = Tensor(a)
    try total.add(Tensor(b), name: "t")
    return total.doubles
  }
  #expect(try sum([Int8(100), -128], [27, 127]) == [127, -1])
  #expect(try sum([0.1, 1], [0.2, -1]) == [0.1 + 0.2, 0])
  #expect(try sum([Float16(1)], [Float16(0.5)]) == [1.5])
  #expect(try sum([BFloat16(bits: 0x3F80)], [BFloat16(bits: 0x3F80)]) == [2])
  for (a, b) in [(UInt8.max, UInt8(1)), (128, 128)] {
    #expect(throws: Failure.data("tensor \"t\": \(a) + \(b) does not fit U8")) {
      _ = try sum([0, a], [0, b])
    }
  }
  #expect(throws: Failure.self) { _ = try sum([Int64.min], [-1]) }
  #expect(throws: Failure.self) { _ = try sum([UInt64.max], [1]) }
  #expect(throws: Failure.self) { _ = try sum([Truth(byte: 1)], [Truth(byte: 1)]) }
}

@Test func brainFloatsRoundToTheNearestTiesToEven() {
  // 1 + 2⁻⁸ lies half way between 1 and the next, 1 + 2⁻⁷; just above it does not.
  #expect(BFloat16(rounding: 1 + 0x1p-8).bits == 0x3F80)
  #expect(BFloat16(rounding: (1 + 0x1p-8).nextUp).bits == 0x3F81)
  #expect(BFloat16(rounding: 1 + 0x3p-8).bits == 0x3F82)
  #expect(BFloat16(rounding: .greatestFiniteMagnitude).bits == 0x7F80)
  #expect(BFloat16(rounding: -.infinity).bits == 0xFF80)
  #expect(BFloat16(rounding: .nan).asFloat.isNaN)
  for bits in stride(from: UInt16(0), to: 0x7F80, by: 37) {
    #expect(BFloat16(rounding: BFloat16(bits: bits).asFloat).bits == bits)
  }
}

@Test func conversionsKeepValuesOrFail() throws {
  #expect(try Tensor([Int64(3), -1]).asInt32("labels").doubles == [3, -1])
  #expect(try Tensor([2.0]).asInt32("labels").type == .i32)
  for bad in [0.5, 3e9, .nan, -.infinity] {
    #expect(throws: Failure.self) { try Tensor([bad]).asInt32("labels") }
  }
  #expect(throws: Failure.self) { try Tensor([UInt64.max]).asInt32("labels") }
  #expect(Tensor([Float(0.5)]).asDouble.type == .f64)
}

@Test func textReadsBackExactly() {
  func texts(_ tensor: Tensor) -> [String] {
    var result: [String] = []
    tensor.forEachText(0..<tensor.count) { result.append($0) }
    return result
  }
  #expect(
    texts(Tensor([0.1, -1e300, Double.leastNonzeroMagnitude])) == ["0.1", "-1e+300", "5e-324"])
  #expect(texts(Tensor([Float(0.1)])) == ["0.1"])
  #expect(texts(Tensor([UInt64.max])) == ["18446744073709551615"])
  #expect(texts(Tensor([Truth(byte: 2), Truth(byte: 0)])) == ["1", "0"])
  var random = SeededGenerator(seed: 5)
  for _ in 0..<1000 {
    let value = Double(bitPattern: random.next())
    if value.isFinite { #expect(Double(decimal: texts(Tensor([value]))[0])! == value) }
  }
}
