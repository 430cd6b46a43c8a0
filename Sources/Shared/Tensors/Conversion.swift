extension Tensor {
  /// The same values as I32, the type of labels and of other indices. Throws if a value is not a whole number that
  /// fits; `name` is the tensor's.
  package func asInt32(_ name: String) throws -> Tensor {
    if type == .i32 { return self }
    let result = Tensor(type: .i32, shape: shape)
    try result.withMutableElements(of: Int32.self) { target in
      for (i, value) in doubles.enumerated() {
        // Large 64-bit integers round on their way here, but stay far outside the range.
        guard let exact = Int32(exactly: value) else {
          throw Failure.data(
            "tensor \(quoted(name)) holds \(value), expected whole numbers that fit I32")
        }
        target[i] = exact
      }
    }
    return result
  }

  /// The same values in double precision; 64-bit integers beyond 2⁵³ round.
  package var asDouble: Tensor { type == .f64 ? self : Tensor(doubles, shape: shape) }

  /// A tensor of this type, which is F32 or F64, and of `shape`, whose rows `body` makes from the rows of this one, in
  /// double precision. Rows are the last dimension; this one's have `width` elements.
  package func mapRows(
    of width: Int, shape: [Int],
    _ body: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) -> Tensor {
    precondition(type == .f32 || type == .f64, "a tensor of real numbers")
    let result = Tensor(type: type, shape: shape)
    let other = shape.last!
    withUnsafeTemporaryAllocation(of: Double.self, capacity: width + other) { room in
      let (source, target) = (room.baseAddress!, room.baseAddress! + width)
      for i in 0..<(width == 0 ? 0 : count / width) {
        copyDoubles(i * width..<(i + 1) * width, into: source)
        body(source, target)
        if type == .f64 {
          result.withMutableElements(of: Double.self) {
            for k in 0..<other { $0[i * other + k] = target[k] }
          }
        } else {
          result.withMutableElements(of: Float.self) {
            for k in 0..<other { $0[i * other + k] = Float(target[k]) }
          }
        }
      }
    }
    return result
  }

  /// Calls `body` with each of the elements `range` as text, in turn: numbers read back exactly, truth values are 0 and
  /// 1.
  package func forEachText(_ range: Range<Int>, _ body: (String) throws -> Void) rethrows {
    func texts<T: Element & LosslessStringConvertible>(_: T.Type) throws {
      try withElements(of: T.self) { elements in
        for i in range { try body(elements[i].description) }
      }
    }
    switch type {
    case .bool:
      try withElements(of: Truth.self) { elements in
        for i in range { try body(elements[i].byte == 0 ? "0" : "1") }
      }
    case .u8: try texts(UInt8.self)
    case .i8: try texts(Int8.self)
    case .u16: try texts(UInt16.self)
    case .i16: try texts(Int16.self)
    case .u32: try texts(UInt32.self)
    case .i32: try texts(Int32.self)
    case .u64: try texts(UInt64.self)
    case .i64: try texts(Int64.self)
    case .f16: try texts(Float16.self)
    case .bf16:
      try withElements(of: BFloat16.self) { elements in
        for i in range { try body(elements[i].asFloat.description) }
      }
    case .f32: try texts(Float.self)
    case .f64: try texts(Double.self)
    }
  }
}
