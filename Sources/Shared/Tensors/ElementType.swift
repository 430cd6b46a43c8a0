/// The element types of bundles, under their names in a safetensors header.
package enum ElementType: String, CaseIterable, Sendable {
  case bool = "BOOL"
  case u8 = "U8"
  case i8 = "I8"
  case u16 = "U16"
  case i16 = "I16"
  case u32 = "U32"
  case i32 = "I32"
  case u64 = "U64"
  case i64 = "I64"
  case f16 = "F16"
  case bf16 = "BF16"
  case f32 = "F32"
  case f64 = "F64"

  /// The number of bytes of an element.
  package var size: Int {
    switch self {
    case .bool, .u8, .i8: 1
    case .u16, .i16, .f16, .bf16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64: 8
    }
  }

  package var isFloatingPoint: Bool {
    switch self {
    case .f16, .bf16, .f32, .f64: true
    default: false
    }
  }
}

/// A Swift type whose values are stored as they are in a tensor of `elementType`.
package protocol Element: Sendable {
  static var elementType: ElementType { get }
  /// The value as a double; integers beyond 2⁵³ round to the nearest.
  var asDouble: Double { get }
}

extension UInt8: Element {
  package static var elementType: ElementType { .u8 }
  package var asDouble: Double { Double(self) }
}
extension Int8: Element {
  package static var elementType: ElementType { .i8 }
  package var asDouble: Double { Double(self) }
}
extension UInt16: Element {
  package static var elementType: ElementType { .u16 }
  package var asDouble: Double { Double(self) }
}
extension Int16: Element {
  package static var elementType: ElementType { .i16 }
  package var asDouble: Double { Double(self) }
}
extension UInt32: Element {
  package static var elementType: ElementType { .u32 }
  package var asDouble: Double { Double(self) }
}
extension Int32: Element {
  package static var elementType: ElementType { .i32 }
  package var asDouble: Double { Double(self) }
}
extension UInt64: Element {
  package static var elementType: ElementType { .u64 }
  package var asDouble: Double { Double(self) }
}
extension Int64: Element {
  package static var elementType: ElementType { .i64 }
  package var asDouble: Double { Double(self) }
}
extension Float16: Element {
  package static var elementType: ElementType { .f16 }
  package var asDouble: Double { Double(self) }
}
extension Float: Element {
  package static var elementType: ElementType { .f32 }
  package var asDouble: Double { Double(self) }
}
extension Double: Element {
  package static var elementType: ElementType { .f64 }
  package var asDouble: Double { self }
}

/// The upper half of a single-precision number: 8 bits of exponent, 7 of fraction.
package struct BFloat16: Element {
  package var bits: UInt16
  package init(bits: UInt16) { self.bits = bits }
  package static var elementType: ElementType { .bf16 }
  package var asDouble: Double { Double(Float(bitPattern: UInt32(bits) << 16)) }
}

/// A truth value in a byte; every byte but 0 is true.
package struct Truth: Element {
  package var byte: UInt8
  package init(byte: UInt8) { self.byte = byte }
  package static var elementType: ElementType { .bool }
  package var asDouble: Double { byte == 0 ? 0 : 1 }
}
