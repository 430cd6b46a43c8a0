extension Tensor {
  /// Adds `other`, of the same type and shape, element by element, to this tensor in place: its elements must not be
  /// shared yet. Throws if integers overflow and for BOOL; `name` is the tensor's. BF16 adds in single precision and
  /// rounds to the nearest, ties to even.
  package func add(_ other: Tensor, name: String) throws {
    precondition(type == other.type && shape == other.shape, "tensors of two shapes or types")
    func integers<T: Element & FixedWidthInteger>(_: T.Type) throws {
      try zip(other, T.self) { sum, term in
        let (result, overflow) = sum.addingReportingOverflow(term)
        guard !overflow else {
          throw Failure.data(
            "tensor \(quoted(name)): \(sum) + \(term) does not fit \(type.rawValue)")
        }
        sum = result
      }
    }
    func floats<T: Element & BinaryFloatingPoint>(_: T.Type) {
      zip(other, T.self) { $0 += $1 }
    }
    switch type {
    case .bool: throw Failure.data("tensor \(quoted(name)) is BOOL, which has no sum")
    case .u8: try integers(UInt8.self)
    case .i8: try integers(Int8.self)
    case .u16: try integers(UInt16.self)
    case .i16: try integers(Int16.self)
    case .u32: try integers(UInt32.self)
    case .i32: try integers(Int32.self)
    case .u64: try integers(UInt64.self)
    case .i64: try integers(Int64.self)
    case .f16: floats(Float16.self)
    case .bf16:
      zip(other, BFloat16.self) { $0 = BFloat16(rounding: $0.asFloat + $1.asFloat) }
    case .f32: floats(Float.self)
    case .f64: floats(Double.self)
    }
  }

  private func zip<T: Element>(
    _ other: Tensor, _: T.Type, _ body: (inout T, T) throws -> Void
  ) rethrows {
    try withMutableElements(of: T.self) { sums in
      try other.withElements(of: T.self) { terms in
        for i in 0..<sums.count { try body(&sums[i], terms[i]) }
      }
    }
  }
}

extension BFloat16 {
  package var asFloat: Float { Float(bitPattern: UInt32(bits) << 16) }

  /// The value nearest to `value`, ties to even.
  package init(rounding value: Float) {
    if value.isNaN {
      self.init(bits: 0x7FC0)
    } else {
      // Half a unit in the last place less one bit, and that bit if the result would be odd.
      let pattern = value.bitPattern
      self.init(bits: UInt16((pattern + 0x7FFF + (pattern >> 16 & 1)) >> 16))
    }
  }
}
