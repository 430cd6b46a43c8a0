import Schema
import Tensors
import Testing

/// A tensor of each type with values at the ends of its range.
private let everyType: [String: Tensor] = [
  "bool": Tensor([Truth(byte: 0), Truth(byte: 1)]),
  "u8": Tensor([UInt8.min, .max]),
  "i8": Tensor([Int8.min, .max]),
  "u16": Tensor([UInt16.min, .max]),
  "i16": Tensor([Int16.min, .max]),
  "u32": Tensor([UInt32.min, .max]),
  "i32": Tensor([Int32.min, .max]),
  "u64": Tensor([UInt64.min, .max]),
  "i64": Tensor([Int64.min, .max]),
  "f16": Tensor([Float16.greatestFiniteMagnitude, .nan]),
  "bf16": Tensor([BFloat16(bits: 0x3F80), BFloat16(bits: 0xFF80)]),
  "f32": Tensor([Float.leastNonzeroMagnitude, -.infinity]),
  "f64": Tensor([0.1, -0.0, .pi], shape: [3, 1]),
]

private func contents(_ tensor: Tensor) -> [UInt8] { tensor.bytes.withBytes { Array($0) } }

@Test func everyElementTypeComesBackBitForBit() throws {
  #expect(Set(everyType.values.map(\.type)) == Set(ElementType.allCases))
  let bundle = Bundle(kind: .dataset, tensors: everyType, metadata: ["note": "a\n\"\\\u{7F}é😀"])
  let back = try Bundle(bytes: bundle.bytes())
  #expect(back.metadata == bundle.metadata)
  #expect(back.tensors.count == everyType.count)
  for (name, tensor) in everyType {
    let read = try #require(back.tensors[name])
    #expect(read.type == tensor.type)
    #expect(read.shape == tensor.shape)
    #expect(contents(read) == contents(tensor))
  }
}

@Test func scalarsAndEmptyTensorsComeBack() throws {
  let bundle = Bundle(tensors: [
    "scalar": Tensor([2.5], shape: []), "none": Tensor([Int32](), shape: [0]),
    "wide": Tensor([Float](), shape: [0, 7]), "thin": Tensor([Float](), shape: [7, 0]),
  ])
  let back = try Bundle(bytes: bundle.bytes())
  #expect(back.tensors["scalar"]?.shape == [])
  #expect(back.tensors["scalar"]?.doubles == [2.5])
  #expect(back.tensors["none"]?.shape == [0])
  #expect(back.tensors["wide"]?.shape == [0, 7])
  #expect(back.tensors["thin"]?.shape == [7, 0])
}

@Test func anEmptyBundleComesBack() throws {
  let bytes = try Bundle().bytes()
  #expect(bytes == file(header: "{}      "))
  #expect(try Bundle(bytes: bytes).tensors.isEmpty)
}

/// The file of `golden`, byte for byte, put together with Python's `struct` and `json`: 144 bytes of
/// header, the last a space, three bytes of U8, eight of F32.
private let goldenBytes: [UInt8] = [
  0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7B, 0x22, 0x5F, 0x5F, 0x6D, 0x65,
  0x74, 0x61, 0x64, 0x61, 0x74, 0x61, 0x5F, 0x5F, 0x22, 0x3A, 0x7B, 0x22, 0x6B, 0x69,
  0x6E, 0x64, 0x22, 0x3A, 0x22, 0x64, 0x61, 0x74, 0x61, 0x73, 0x65, 0x74, 0x22, 0x7D,
  0x2C, 0x22, 0x61, 0x22, 0x3A, 0x7B, 0x22, 0x64, 0x74, 0x79, 0x70, 0x65, 0x22, 0x3A,
  0x22, 0x55, 0x38, 0x22, 0x2C, 0x22, 0x73, 0x68, 0x61, 0x70, 0x65, 0x22, 0x3A, 0x5B,
  0x33, 0x5D, 0x2C, 0x22, 0x64, 0x61, 0x74, 0x61, 0x5F, 0x6F, 0x66, 0x66, 0x73, 0x65,
  0x74, 0x73, 0x22, 0x3A, 0x5B, 0x30, 0x2C, 0x33, 0x5D, 0x7D, 0x2C, 0x22, 0x78, 0x22,
  0x3A, 0x7B, 0x22, 0x64, 0x74, 0x79, 0x70, 0x65, 0x22, 0x3A, 0x22, 0x46, 0x33, 0x32,
  0x22, 0x2C, 0x22, 0x73, 0x68, 0x61, 0x70, 0x65, 0x22, 0x3A, 0x5B, 0x31, 0x2C, 0x32,
  0x5D, 0x2C, 0x22, 0x64, 0x61, 0x74, 0x61, 0x5F, 0x6F, 0x66, 0x66, 0x73, 0x65, 0x74,
  0x73, 0x22, 0x3A, 0x5B, 0x33, 0x2C, 0x31, 0x31, 0x5D, 0x7D, 0x7D, 0x20, 0x01, 0x02,
  0xFF, 0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0xC0,
]

private let golden = Bundle(
  tensors: [
    "x": Tensor([Float(1), -2], shape: [1, 2]), "a": Tensor([UInt8(1), 2, 255]),
  ], metadata: ["kind": "dataset"])

@Test func writesTheGoldenBytes() throws {
  #expect(try golden.bytes() == goldenBytes)
}

@Test func readsTheGoldenBytes() throws {
  let bundle = try Bundle(bytes: goldenBytes)
  #expect(bundle.kind == .dataset)
  #expect(bundle.tensors["a"]?.doubles == [1, 2, 255])
  #expect(bundle.tensors["x"]?.doubles == [1, -2])
  #expect(bundle.tensors["x"]?.shape == [1, 2])
}

@Test func theHeaderIsCanonical() throws {
  let bundle = Bundle(
    tensors: ["b": Tensor([UInt8(0)]), "B": Tensor([UInt8(0)]), "é": Tensor([UInt8(0)])],
    metadata: ["z": "1", "Z": "2", "a": "3"])
  let bytes = try bundle.bytes()
  let length = Int(bytes[0]) | Int(bytes[1]) << 8
  #expect(length % 8 == 0)
  let header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
  let expected: String =
    "{\"__metadata__\":{\"Z\":\"2\",\"a\":\"3\",\"z\":\"1\"},"
    + "\"B\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    + "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
    + "\"é\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}"
  #expect(header.prefix { $0 != " " } == expected)
  #expect(bytes.count == 8 + length + 3)
}

@Test func namesAreSortedByCodePoint() throws {
  // Swift's own order compares normalised forms: there U+1F600 stands as here, but e + U+0301 after
  // f would not.
  let names = ["f", "e\u{301}", "\u{E9}x", "z", "😀"]
  let bundle = Bundle(
    tensors: Dictionary(uniqueKeysWithValues: names.map { ($0, Tensor([UInt8(0)])) }))
  let bytes = try bundle.bytes()
  let scratch = try Scratch(bytes)
  let reader = try BundleReader(Input(path: scratch.path))
  #expect(reader.entries.map(\.name) == ["e\u{301}", "f", "z", "\u{E9}x", "😀"])
}

@Test func writingTwiceGivesTheSameBytes() throws {
  #expect(
    try Bundle(tensors: everyType).bytes()
      == Bundle(bytes: Bundle(tensors: everyType).bytes())
      .bytes())
}

@Test func readsWhatIsNotCanonicalButLegal() throws {
  // Data in another order than the names, spaces, escapes, and the metadata last.
  let header = """
    {"b" : {"shape":[ ],"dtype":"U8","data_offsets":[2,3]},
     "\\u0061\\ud83d\\ude00":{"dtype":"U16","data_offsets":[0,2],"shape":[1]},"__metadata__":{}}
    """
  let bundle = try Bundle(bytes: file(header: header, data: 3))
  #expect(bundle.tensors["b"]?.shape == [])
  #expect(bundle.tensors["a😀"]?.doubles == [0x0707])
}

@Test func rowsAndSkippedTensorsLeaveTheReaderInStep() throws {
  let bundle = Bundle(tensors: [
    "a": Tensor((0..<300).map { UInt8($0 % 256) }),
    "b": Tensor((0..<12).map(Double.init), shape: [4, 3]),
    "c": Tensor([Int32(5)]),
  ])
  let scratch = try Scratch(bundle.bytes())
  let reader = try BundleReader(Input(path: scratch.path))
  try reader.skipTensor()
  let rows = try reader.readTensor(rows: 1..<3)
  #expect(rows.shape == [2, 3])
  #expect(rows.doubles == [3, 4, 5, 6, 7, 8])
  #expect(try reader.readTensor().doubles == [5])
  #expect(reader.next == nil)
  try reader.finish()
}

@Test func rowSourcesReadTheSameFromMemoryAndFromDisk() throws {
  let tensor = Tensor((0..<60).map(Double.init), shape: [10, 3, 2])
  let scratch = try Scratch(Bundle(tensors: ["x": tensor]).bytes())
  for limit in [0, 1 << 20] {
    let source = try BundleReader(Input(path: scratch.path)).readRows(limit: limit)
    let target = Bytes(uninitialized: 3 * source.rowSize)
    for range in [0..<3, 7..<10, 2..<2, 0..<1] {
      try source.read(range, into: target.base)
      let read = target.withBytes {
        Array($0.bindMemory(to: Double.self).prefix(range.count * 6))
      }
      #expect(read == tensor.rows(range).doubles)
    }
  }
}
