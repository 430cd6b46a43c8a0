import Tensors

extension Mutator {
  /// Changes one tensor; its bytes fit its type and shape afterwards.
  mutating func applyToTensor(_ mutation: Mutation, _ tensor: inout RawBundle.RawTensor) {
    guard let type = tensor.element else { return }
    switch mutation {
    case .changeType: changeType(of: &tensor)
    case .convertType:
      let values = (0..<tensor.count).map { tensor.value($0, type) }
      let other = pick(ElementType.allCases)
      tensor.type = other.rawValue
      tensor.bytes = [UInt8](repeating: 0, count: values.count * other.size)
      for (i, value) in values.enumerated() { tensor.set(i, value, other) }
    case .changeShape: changeShape(of: &tensor)
    case .cutRows, .addRows:
      guard let rows = tensor.shape.first, rows > 0 else { return }
      let row = tensor.bytes.count / rows
      if mutation == .cutRows {
        tensor.shape[0] = random.below(rows)
        tensor.bytes.removeLast(tensor.bytes.count - row * tensor.shape[0])
      } else {
        tensor.shape[0] += 1
        tensor.bytes += tensor.bytes.suffix(row)
      }
    case .emptyDimension:
      guard !tensor.shape.isEmpty else { return }
      tensor.shape[random.below(tensor.shape.count)] = 0
      tensor.bytes = []
    case .hugeDimension:
      guard tensor.shape.count > 1 else { return }
      // No elements, so that any size of another dimension is a valid one.
      let empty = random.below(tensor.shape.count)
      for i in tensor.shape.indices where i != empty {
        tensor.shape[i] = pick([tensor.shape[i], 1 << 16, 1 << 31, 100_000, 3])
      }
      tensor.shape[empty] = 0
      tensor.bytes = []
    default: changeValues(mutation, &tensor, type)
    }
  }

  private mutating func changeType(of tensor: inout RawBundle.RawTensor) {
    let other = pick(ElementType.allCases)
    let count = tensor.bytes.count
    guard let type = tensor.element, let last = tensor.shape.last, last > 0 else { return }
    let bytes = last * type.size
    guard bytes % other.size == 0 else { return }
    tensor.shape[tensor.shape.count - 1] = bytes / other.size
    tensor.type = other.rawValue
    precondition(tensor.count * other.size == count)
  }

  private mutating func changeShape(of tensor: inout RawBundle.RawTensor) {
    switch random.below(5) {
    case 0: tensor.shape.reverse()
    case 1: tensor.shape = [tensor.count]
    case 2: tensor.shape.insert(1, at: random.below(tensor.shape.count + 1))
    case 3:
      guard tensor.shape.count > 1 else { return }
      let last = tensor.shape.removeLast()
      tensor.shape[tensor.shape.count - 1] *= last
    default:
      guard let odd = tensor.shape.lastIndex(where: { $0 > 1 && $0 % 2 == 0 }) else { return }
      tensor.shape[odd] /= 2
      tensor.shape.insert(2, at: odd)
    }
  }

  private static let specials: [Double] = [
    .nan, .infinity, -.infinity, 1e308, -1e308, 1e200, -1e160, 1e30, -1, 0, -0.0, 1, 2, 0.5,
    0x1p-1074, 0x1p-1030, 1e-200, 255, 256, 1_000_000, 2_147_483_647, -2_147_483_648, 4_294_967_295,
    9.3e18, -9.3e18,
  ]

  private mutating func changeValues(
    _ mutation: Mutation, _ tensor: inout RawBundle.RawTensor, _ type: ElementType
  ) {
    let count = tensor.count
    guard count > 0, count <= tensor.bytes.count / type.size else { return }
    switch mutation {
    case .specialValue: tensor.set(random.below(count), pick(Mutator.specials), type)
    case .specialValues:
      for _ in 0..<max(1, count / 4) {
        tensor.set(random.below(count), pick(Mutator.specials), type)
      }
    case .allValues:
      let value = pick(Mutator.specials)
      for i in 0..<count { tensor.set(i, value, type) }
    case .scaleValues:
      let factor = pick([1e-300, 1e-160, 1e-8, -1, 2, 1e8, 1e100, 1e160, 1e300])
      for i in 0..<count { tensor.set(i, tensor.value(i, type) * factor, type) }
    case .shuffleValues:
      let values = (0..<count).map { tensor.value($0, type) }.shuffled(using: &random)
      for i in 0..<count { tensor.set(i, values[i], type) }
    default: break
    }
  }
}

extension RawBundle.RawTensor {
  func value(_ i: Int, _ type: ElementType) -> Double {
    bytes.withUnsafeBytes { bytes in
      func load<T: Element & BitwiseCopyable>(_: T.Type) -> Double {
        bytes.loadUnaligned(fromByteOffset: i * type.size, as: T.self).asDouble
      }
      return switch type {
      case .bool, .u8: load(UInt8.self)
      case .i8: load(Int8.self)
      case .u16: load(UInt16.self)
      case .i16: load(Int16.self)
      case .u32: load(UInt32.self)
      case .i32: load(Int32.self)
      case .u64: load(UInt64.self)
      case .i64: load(Int64.self)
      case .f16: load(Float16.self)
      case .bf16:
        Double(
          Float(
            bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self)) << 16))
      case .f32: load(Float.self)
      case .f64: load(Double.self)
      }
    }
  }

  /// Stores the value of this type that is nearest to `value`; 0 in integers for what is no number.
  mutating func set(_ i: Int, _ value: Double, _ type: ElementType) {
    bytes.withUnsafeMutableBytes { bytes in
      func store<T: BitwiseCopyable>(_ value: T) {
        bytes.storeBytes(of: value, toByteOffset: i * type.size, as: T.self)
      }
      func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) {
        let whole = value.isNaN ? 0 : value.rounded(.towardZero)
        store(T(exactly: whole) ?? (whole < 0 ? T.min : T.max))
      }
      switch type {
      case .bool, .u8: integer(UInt8.self)
      case .i8: integer(Int8.self)
      case .u16: integer(UInt16.self)
      case .i16: integer(Int16.self)
      case .u32: integer(UInt32.self)
      case .i32: integer(Int32.self)
      case .u64: integer(UInt64.self)
      case .i64: integer(Int64.self)
      case .f16: store(Float16(value))
      case .bf16: store(UInt16(Float(value).bitPattern >> 16))
      case .f32: store(Float(value))
      case .f64: store(value)
      }
    }
  }
}
