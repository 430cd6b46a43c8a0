/// NumPy's file of one array: versions 1 to 3 are read, version 1 is written.
///
/// The bytes 93 4E 55 4D 50 59, the version in two bytes, the header's length in two bytes (version 1)
/// or four, a Python dictionary of the element type, the order and the shape, and the elements.
/// Source: NumPy Enhancement Proposal 1 and `numpy.lib.format`.
package enum NPY {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  private static let types: [(descriptor: String, type: ElementType)] = [
    ("|b1", .bool), ("|u1", .u8), ("|i1", .i8), ("<u2", .u16), ("<i2", .i16), ("<u4", .u32),
    ("<i4", .i32), ("<u8", .u64), ("<i8", .i64), ("<f2", .f16), ("<f4", .f32), ("<f8", .f64),
  ]

  /// Reads the one array of a file, in C or Fortran order, and checks that nothing follows it.
  package static func read(_ input: Input) throws -> Tensor {
    func part(_ count: Int) throws -> Bytes {
      let bytes = try input.readBytes(count)
      guard bytes.count == count else {
        throw Failure.data("unexpected end of \(input.name): not a whole NPY header")
      }
      return bytes
    }
    let start = try input.readBytes(8)
    guard start.withBytes({ $0.starts(with: magic) }) else {
      throw Failure.data("\(input.name) is not an NPY file")
    }
    guard start.count == 8 else {
      throw Failure.data("unexpected end of \(input.name): not a whole NPY header")
    }
    let version = start.withBytes { $0[6] }
    let length: Int
    switch version {
    case 1: length = try part(2).withBytes { Int($0[0]) | Int($0[1]) << 8 }
    case 2, 3:
      length = try part(4).withBytes { $0.reversed().reduce(0) { $0 << 8 | Int($1) } }
    default: throw Failure.data("\(input.name) is NPY version \(version), expected 1, 2 or 3")
    }
    let header = try part(length)
    var parser = NPYHeaderParser(header.withBytes { Array($0) }, name: input.name)
    let (descriptor, isFortran, shape) = try parser.parse()
    guard let type = types.first(where: { $0.descriptor == descriptor })?.type else {
      throw Failure.data(
        "\(input.name) holds elements of type \(quoted(descriptor)), expected one of "
          + types.map(\.descriptor).joined(separator: ", "))
    }
    guard let size = byteCount(type, shape) else {
      throw Failure.data("\(input.name) is \(describe(type, shape)): too large a shape")
    }
    let data = try input.readBytes(size)
    guard data.count == size else {
      throw Failure.data(
        "unexpected end of \(input.name): \(describe(type, shape)) has \(data.count) of "
          + "\(size) bytes")
    }
    guard try input.readBytes(1).count == 0 else {
      throw Failure.data("\(input.name) goes on after its array")
    }
    let tensor = Tensor(type: type, shape: shape, bytes: data)
    return isFortran ? transposed(tensor) : tensor
  }

  /// The elements of `tensor`, laid out with the first index fastest, in row-major order.
  private static func transposed(_ tensor: Tensor) -> Tensor {
    let size = tensor.type.size
    let result = Tensor(type: tensor.type, shape: tensor.shape)
    var strides: [Int] = []
    var stride = 1
    for dimension in tensor.shape {
      strides.append(stride)
      stride *= dimension
    }
    var index = [Int](repeating: 0, count: tensor.shape.count)
    var source = 0
    for target in 0..<tensor.count {
      (result.bytes.base + target * size).copyMemory(
        from: tensor.bytes.base + source * size, byteCount: size)
      // Counts up, the last index fastest, and keeps `source` in step.
      var axis = index.count - 1
      while axis >= 0 {
        index[axis] += 1
        source += strides[axis]
        if index[axis] < tensor.shape[axis] { break }
        source -= strides[axis] * tensor.shape[axis]
        index[axis] = 0
        axis -= 1
      }
    }
    return result
  }

  /// Writes `tensor` as version 1.0, byte for byte as `numpy.save` does. BF16, which NPY lacks, is written as F32,
  /// which holds all its values.
  package static func write(_ tensor: Tensor, to output: Output) throws {
    if tensor.type == .bf16 { return try write(widened(tensor), to: output) }
    let descriptor = types.first { $0.type == tensor.type }!.descriptor
    let shape =
      tensor.shape.map(String.init).joined(separator: ", ") + (tensor.shape.count == 1 ? "," : "")
    var header = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }"
    // NumPy leaves room for a longer first dimension, then pads the line to a multiple of 64 with at
    // least one space.
    header += String(repeating: " ", count: room(for: tensor.shape))
    let length = (10 + header.utf8.count + 1) / 64 * 64 + 64 - 10
    guard length <= UInt16.max else {
      throw Failure.data("\(tensor.shape.count) dimensions are too many for an NPY file")
    }
    header += String(repeating: " ", count: length - header.utf8.count - 1) + "\n"
    let start = magic + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)]
    try start.withUnsafeBytes { try output.write($0) }
    try output.write(header)
    try tensor.bytes.withBytes { try output.write($0) }
  }

  private static func room(for shape: [Int]) -> Int {
    shape.first.map { max(0, 21 - "\($0)".utf8.count) } ?? 0
  }

  private static func widened(_ tensor: Tensor) -> Tensor {
    let result = Tensor(type: .f32, shape: tensor.shape)
    tensor.withElements(of: BFloat16.self) { source in
      result.withMutableElements(of: Float.self) { target in
        for i in 0..<source.count { target[i] = source[i].asFloat }
      }
    }
    return result
  }
}
