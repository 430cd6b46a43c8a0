import Tensors
import Testing

private func file(_ dictionary: String, version: UInt8 = 1, _ data: [UInt8] = []) -> [UInt8] {
  let count = dictionary.utf8.count
  let length = (0..<(version == 1 ? 2 : 4)).map { UInt8(count >> (8 * $0) & 0xFF) }
  return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + Array(dictionary.utf8) + data
}

private func read(_ bytes: [UInt8]) throws -> Tensor {
  let scratch = try Scratch(bytes)
  return try NPY.read(Input(path: scratch.path))
}

@Test func readsEveryVersion() throws {
  let dictionary = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }  \n"
  for version: UInt8 in 1...3 {
    let tensor = try read(file(dictionary, version: version, [1, 0, 2, 1]))
    #expect(tensor.type == .i16)
    #expect(tensor.shape == [2])
    #expect(tensor.doubles == [1, 258])
  }
  #expect(throws: Failure.self) { try read(file(dictionary, version: 4, [1, 0, 2, 1])) }
}

@Test func fortranOrderBecomesRowMajor() throws {
  // [[1, 3, 5], [2, 4, 6]], and a cube whose element is its index.
  let matrix = try read(
    file("{'descr':'|u1','fortran_order':True,'shape':(2,3)}", [1, 2, 3, 4, 5, 6]))
  #expect(matrix.doubles == [1, 3, 5, 2, 4, 6])
  let shape = [2, 3, 4]
  var data = [UInt8](repeating: 0, count: 24)
  for i in 0..<2 {
    for j in 0..<3 { for k in 0..<4 { data[i + 2 * (j + 3 * k)] = UInt8((i * 3 + j) * 4 + k) } }
  }
  let cube = try read(file("{'shape':(2,3,4),'descr':\"|u1\",'fortran_order':True}", data))
  #expect(cube.shape == shape)
  #expect(cube.doubles == (0..<24).map(Double.init))
  #expect(
    try read(file("{'descr':'<f8','fortran_order':True,'shape':(0,3)}")).shape == [0, 3])
}

@Test func refusesWhatIsNoPlainArray() throws {
  let bad: [(String, [UInt8], String)] = [
    ("{'descr':'>f8','fortran_order':False,'shape':()}", [], "elements of type \">f8\""),
    ("{'descr':'|O','fortran_order':False,'shape':()}", [], "elements of type \"|O\""),
    ("{'descr':[('a','<f8')],'fortran_order':False,'shape':()}", [], "structured"),
    ("{'descr':'<f8','fortran_order':False}", [], "expected descr"),
    ("{'descr':'<f8','fortran_order':0,'shape':()}", [], "expected False"),
    ("{'descr':'<f8','fortran_order':False,'shape':(-1,)}", [], "dimension"),
    ("{'descr':'<f8','fortran_order':False,'shape':(99999999999999999999,)}", [], "dimension"),
    ("{'descr':'<f8','fortran_order':False,'shape':(4294967296,4294967296)}", [], "too large"),
    ("{'descr':'<f8','descr':'<f8','fortran_order':False,'shape':()}", [], "repeated key"),
    ("{'descr':'|u1','fortran_order':False,'shape':(2,)} x", [1, 2], "text after"),
    ("{'descr':'|u1','fortran_order':False,'shape':(2,)}", [1], "1 of 2 bytes"),
    ("{'descr':'|u1','fortran_order':False,'shape':(2,)}", [1, 2, 3], "goes on after"),
    ("{'descr':'|u1", [], "does not end"),
    ("", [], "expected {"),
  ]
  for (dictionary, data, expected) in bad {
    do {
      _ = try read(file(dictionary, data))
      Issue.record("accepted \(dictionary)")
    } catch let failure as Failure {
      #expect(failure.message.contains(expected), "\(failure.message)")
    }
  }
  let good = file("{'descr':'|u1','fortran_order':False,'shape':(2,)}", [1, 2])
  #expect(try read(good).doubles == [1, 2])
  for count in 0..<good.count {
    #expect(throws: Failure.self) { try read(Array(good[..<count])) }
  }
}

@Test func writesWhatNumPyWrites() throws {
  let scratch = try Scratch()
  let output = try Output(path: scratch.path)
  try NPY.write(Tensor([Float(1), 2, 3], shape: [3]), to: output)
  try output.finish()
  let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"
  let header = dictionary + String(repeating: " ", count: 117 - dictionary.utf8.count) + "\n"
  #expect(
    scratch.bytes == file(header, [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40]))
}

@Test func everyTypeComesBackThroughNPY() throws {
  for type in ElementType.allCases {
    for shape in [[], [0], [2, 3]] {
      let tensor = Tensor(type: type, shape: shape)
      let scratch = try Scratch()
      let output = try Output(path: scratch.path)
      try NPY.write(tensor, to: output)
      try output.finish()
      let back = try NPY.read(Input(path: scratch.path))
      // NPY has no BF16.
      #expect(back.type == (type == .bf16 ? .f32 : type))
      #expect(back.shape == shape)
      #expect(back.doubles == tensor.doubles)
    }
  }
}
