import CFaults
import Glibc

/// Bytes outside Swift's arrays: they are not zeroed before they are filled, and growing them moves pages instead of
/// copying.
package final class Bytes: @unchecked Sendable {
  package private(set) var base: UnsafeMutableRawPointer
  package private(set) var count: Int
  /// The mapped pages, if the bytes are those of a file.
  private let mapping: (base: UnsafeMutableRawPointer, count: Int)?

  /// The bytes of a file at `offset`, copied only if they are written to; `nil` if the system cannot map them. `name`
  /// is the name of the file in the message if its end disappears while they are in use.
  init?(mapping descriptor: Int32, at offset: Int, count: Int, name: String) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = offset / page * page
    let length = offset - start + count
    guard
      let mapped = mmap(
        nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, off_t(start)),
      mapped != MAP_FAILED
    else { return nil }
    mapping = (mapped, length)
    base = mapped + (offset - start)
    self.count = count
    faults_add_mapping(mapped, length, terminalText(name))
  }

  /// `count` bytes, all zero.
  package init(zeroed count: Int) {
    guard let memory = calloc(max(count, 1), 1) else {
      fatalError("no memory for \(count) bytes")
    }
    mapping = nil
    base = memory
    self.count = count
    adviseLargePages(base, count)
  }

  /// `count` bytes, not initialised.
  package init(uninitialized count: Int) {
    guard let memory = malloc(max(count, 1)) else { fatalError("no memory for \(count) bytes") }
    mapping = nil
    base = memory
    self.count = count
    adviseLargePages(base, count)
  }

  /// The bytes, alive for as long as `body` runs: `base` alone does not keep its owner.
  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(self) {
      try body(UnsafeRawBufferPointer(start: base, count: count))
    }
  }

  package func resize(to count: Int) {
    precondition(mapping == nil, "mapped bytes do not change their size")
    guard let memory = realloc(base, max(count, 1)) else {
      fatalError("no memory for \(count) bytes")
    }
    base = memory
    self.count = count
    adviseLargePages(base, count)
  }

  /// `resize` that returns whether there was enough memory, for sizes that depend on the user's data.
  func grow(to count: Int) -> Bool {
    precondition(mapping == nil, "mapped bytes do not change their size")
    guard Double(count) <= memoryLimit, let memory = faults_try_realloc(base, max(count, 1))
    else { return false }
    base = memory
    self.count = count
    adviseLargePages(base, count)
    return true
  }

  deinit {
    guard let mapping else { return free(base) }
    faults_remove_mapping(mapping.base)
    munmap(mapping.base, mapping.count)
  }
}

/// A dense row-major array of one element type. Copies of the value share the elements: fill it before handing it on.
package struct Tensor: Sendable {
  package let type: ElementType
  package let shape: [Int]
  package let bytes: Bytes

  /// A tensor over bytes that fit its type and shape.
  package init(type: ElementType, shape: [Int], bytes: Bytes) {
    precondition(bytes.count == shape.reduce(type.size, *), "bytes do not fit the shape")
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  /// Zeros.
  package init(type: ElementType, shape: [Int]) {
    self.init(type: type, shape: shape, bytes: Bytes(zeroed: shape.reduce(type.size, *)))
  }

  /// A copy of the values in row-major order.
  package init<T: Element>(_ values: [T], shape: [Int]) {
    precondition(values.count == shape.reduce(1, *), "values do not fit the shape")
    self.init(type: T.elementType, shape: shape)
    values.withUnsafeBytes { source in
      if let from = source.baseAddress {
        bytes.base.copyMemory(from: from, byteCount: source.count)
      }
    }
  }

  package init<T: Element>(_ values: [T]) { self.init(values, shape: [values.count]) }

  package var count: Int { shape.reduce(1, *) }

  /// The elements as they are stored; `T` must be the tensor's type.
  package func withElements<T: Element, R>(
    of _: T.Type, _ body: (UnsafeBufferPointer<T>) throws -> R
  ) rethrows -> R {
    precondition(T.elementType == type, "tensor of \(type), read as \(T.elementType)")
    return try body(
      UnsafeBufferPointer(start: bytes.base.assumingMemoryBound(to: T.self), count: count))
  }

  /// The elements, for the maker of the tensor to fill in.
  package func withMutableElements<T: Element, R>(
    of _: T.Type, _ body: (UnsafeMutableBufferPointer<T>) throws -> R
  ) rethrows -> R {
    precondition(T.elementType == type, "tensor of \(type), written as \(T.elementType)")
    return try body(
      UnsafeMutableBufferPointer(start: bytes.base.assumingMemoryBound(to: T.self), count: count))
  }

  /// The elements `range`, converted to double precision, into `target`.
  package func copyDoubles(_ range: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the tensor")
    func convert<T: Element>(_: T.Type) {
      let source = bytes.base.assumingMemoryBound(to: T.self) + range.lowerBound
      for i in 0..<range.count { target[i] = source[i].asDouble }
    }
    switch type {
    case .bool: convert(Truth.self)
    case .u8: convert(UInt8.self)
    case .i8: convert(Int8.self)
    case .u16: convert(UInt16.self)
    case .i16: convert(Int16.self)
    case .u32: convert(UInt32.self)
    case .i32: convert(Int32.self)
    case .u64: convert(UInt64.self)
    case .i64: convert(Int64.self)
    case .f16: convert(Float16.self)
    case .bf16: convert(BFloat16.self)
    case .f32: convert(Float.self)
    case .f64:
      target.update(
        from: bytes.base.assumingMemoryBound(to: Double.self) + range.lowerBound, count: range.count
      )
    }
  }

  /// All elements in double precision.
  package var doubles: [Double] {
    [Double](unsafeUninitializedCapacity: count) { buffer, filled in
      if let base = buffer.baseAddress { copyDoubles(0..<count, into: base) }
      filled = count
    }
  }

  /// Whether all elements are finite numbers; as fast as memory.
  package var isFinite: Bool {
    func holds<T: SIMDScalar & BinaryFloatingPoint>(_: T.Type) -> Bool {
      let base = UnsafeRawPointer(bytes.base)
      // 0 times a number is 0, unless the number is infinite or NaN.
      var lanes = SIMD16<T>.zero
      let whole = count / 16 * 16
      for i in stride(from: 0, to: whole, by: 16) {
        lanes += 0 * base.loadUnaligned(fromByteOffset: i * type.size, as: SIMD16<T>.self)
      }
      let rest = base.assumingMemoryBound(to: T.self)
      return lanes.indices.allSatisfy { lanes[$0] == 0 }
        && (whole..<count).allSatisfy { rest[$0].isFinite }
    }
    switch type {
    case .f32: return withExtendedLifetime(bytes) { holds(Float.self) }
    case .f64: return withExtendedLifetime(bytes) { holds(Double.self) }
    default: return nonFiniteCount == 0
    }
  }

  /// How many elements are not finite numbers; 0 for integers.
  package var nonFiniteCount: Int {
    func count<T: Element & BinaryFloatingPoint>(_: T.Type) -> Int {
      withElements(of: T.self) { $0.reduce(into: 0) { $0 += $1.isFinite ? 0 : 1 } }
    }
    switch type {
    case .f16: return count(Float16.self)
    case .f32: return count(Float.self)
    case .f64: return count(Double.self)
    case .bf16:
      return withElements(of: BFloat16.self) {
        $0.reduce(into: 0) { $0 += $1.bits & 0x7F80 == 0x7F80 ? 1 : 0 }
      }
    default: return 0
    }
  }

  /// The rows `range` of the first dimension, copied.
  package func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      !shape.isEmpty && range.lowerBound >= 0 && range.upperBound <= shape[0],
      "rows outside the tensor")
    let row = shape.dropFirst().reduce(type.size, *)
    let copy = Bytes(uninitialized: row * range.count)
    copy.base.copyMemory(from: bytes.base + row * range.lowerBound, byteCount: copy.count)
    return Tensor(type: type, shape: [range.count] + shape.dropFirst(), bytes: copy)
  }

  /// The rows `chosen` of the first dimension, copied in this order.
  package func rows(_ chosen: [Int]) -> Tensor {
    precondition(
      !shape.isEmpty && chosen.allSatisfy { (0..<shape[0]).contains($0) }, "rows outside the tensor"
    )
    let row = shape.dropFirst().reduce(type.size, *)
    let copy = Bytes(uninitialized: row * chosen.count)
    for (place, i) in chosen.enumerated() {
      (copy.base + place * row).copyMemory(from: bytes.base + i * row, byteCount: row)
    }
    return Tensor(type: type, shape: [chosen.count] + shape.dropFirst(), bytes: copy)
  }
}
