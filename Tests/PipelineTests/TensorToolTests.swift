import Foundation
import Schema
import Tensors
import Testing

private func dataset(_ rows: Range<Int>) -> Bundle {
  Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor(rows.flatMap { [Double($0), -Double($0)] }, shape: [rows.count, 2]),
      "labels": Tensor(rows.map { Int32($0 % 2) }),
      // As long as there are rows: what has a row a sample follows from the name, not the size.
      "mean": Tensor([0.5, 0.25]), "whiten": Tensor([1.0, 0, 0, 1], shape: [2, 2]),
      "pool": Tensor([Int32(0)]),
    ],
    metadata: ["classes": "even,odd", "command": "first --x", "producer": "first 1"])
}

private func csv(
  _ text: String, _ arguments: [String], in folder: Folder
) throws -> (run: Run, bundle: Bundle?) {
  try Data(text.utf8).write(to: folder.url("data.csv"))
  let run = try Tools.run(
    "tensor", ["from-csv"] + arguments + ["-o", "out", "data.csv"], in: folder)
  defer { try? FileManager.default.removeItem(at: folder.url("out")) }
  return (run, run.status == 0 ? try folder.read("out") : nil)
}

// MARK: show and get

@Test func showPrintsWhatABundleHolds() throws {
  let folder = try Folder()
  var bundle = dataset(0..<2)
  bundle.metadata["command"] = "first --x\nsecond"
  bundle.metadata["note"] = "a\u{1B}b"
  bundle.tensors["bad"] = Tensor([Float.nan, 1.5, .infinity], shape: [1, 3])
  bundle.tensors["empty"] = Tensor([Int64](), shape: [0, 4])
  bundle.tensors["scalar"] = Tensor([0.1], shape: [])
  try folder.write(bundle, "in")
  let run = try Tools.run("tensor", ["show", "in"], in: folder)
  #expect(run.errors == "")
  #expect(
    run.text == """
      kind      dataset
      producer  first 1
      recipe    first --x
                second
      classes   even,odd
      note      "a\\u001bb"

      name    type  shape  minimum   mean  maximum  non-finite
      bad     F32   [1,3]      1.5    1.5      1.5           2
      empty   I64   [0,4]        -      -        -           0
      labels  I32   [2]          0    0.5        1           0
      mean    F64   [2]       0.25  0.375      0.5           0
      pool    I32   [1]          0      0        0           0
      scalar  F64   []         0.1    0.1      0.1           0
      whiten  F64   [2,2]      0.0    0.5      1.0           0
      x       F64   [2,2]     -1.0      0      1.0           0

      """)
}

@Test func showReadsPlainSafetensorsFiles() throws {
  let folder = try Folder()
  try folder.write(Bundle(), "in")
  let run = try Tools.run("tensor", ["show", "in"], in: folder)
  #expect(run.status == 0)
  #expect(run.text.hasPrefix("kind      -\nproducer  -\nrecipe    -\n\nname"))
}

@Test func getWritesTextOrNumPyFiles() throws {
  let folder = try Folder()
  try folder.write(
    Bundle(tensors: [
      "m": Tensor([0.1, -1e300, .nan, .infinity], shape: [2, 2]),
      "cube": Tensor((0..<8).map { UInt8($0) }, shape: [2, 2, 2]),
      "v": Tensor([Int64.max, .min]), "s": Tensor([Float(0.1)], shape: []),
      "none": Tensor([Float](), shape: [0, 2]),
    ]), "in")
  func get(_ arguments: String...) throws -> String {
    try Tools.run("tensor", ["get"] + arguments + ["in"], in: folder).text
  }
  #expect(try get("m") == "0.1\t-1e+300\nnan\tinf\n")
  #expect(try get("m", "--csv") == "0.1,-1e+300\nnan,inf\n")
  #expect(try get("cube", "--csv") == "0,1,2,3\n4,5,6,7\n")
  #expect(try get("v") == "9223372036854775807\n-9223372036854775808\n")
  #expect(try get("s") == "0.1\n")
  #expect(try get("none") == "")
  let npy = try Tools.run("tensor", ["get", "v", "--npy", "in"], in: folder).output
  #expect(npy.starts(with: [0x93] + Array("NUMPY".utf8) + [1, 0]))
  #expect(npy.count == 128 + 16)
  let absent = try Tools.run("tensor", ["get", "w", "in"], in: folder)
  #expect(absent.failed(1, "tensor"))
  #expect(absent.errors.contains("no tensor \"w\""))
  #expect(try Tools.run("tensor", ["get", "m", "--csv", "--npy", "in"], in: folder).status == 2)
}

// MARK: from-csv

@Test func csvWithAHeaderAndTextLabels() throws {
  let folder = try Folder()
  let text = "length,species,width\r\n1,setosa,2\r\n3.5, \"versi color\" ,-4e-1\r\n0,setosa,1\r\n"
  let (run, bundle) = try csv(text, ["--labels", "species"], in: folder)
  #expect(run.errors == "")
  let made = try #require(bundle)
  #expect(made.kind == .dataset)
  #expect(made.metadata["classes"] == "[\"setosa\",\"versi color\"]")
  #expect(made.metadata["command"] == "tensor from-csv --labels species")
  #expect(made.tensors["labels"]?.type == .i32)
  #expect(made.tensors["labels"]?.doubles == [0, 1, 0])
  #expect(made.tensors["x"]?.type == .f64)
  #expect(made.tensors["x"]?.shape == [3, 2])
  #expect(made.tensors["x"]?.doubles == [1, 2, 3.5, -0.4, 0, 1])
}

@Test func csvWithoutAHeader() throws {
  let folder = try Folder()
  let byNumber = try #require(
    try csv("1,2,cat\n3,4,ant\n", ["--labels=3", "--bias"], in: folder).bundle)
  #expect(byNumber.tensors["x"]?.doubles == [1, 2, 1, 3, 4, 1])
  #expect(byNumber.tensors["labels"]?.doubles == [1, 0])
  #expect(byNumber.metadata["classes"] == "[\"ant\",\"cat\"]")
  let plain = try #require(try csv("1,2\n3,4\n", [], in: folder).bundle)
  #expect(plain.tensors["x"]?.shape == [2, 2])
  #expect(Set(plain.tensors.keys) == ["x"])
}

@Test func numericLabelsAreSortedByValue() throws {
  let folder = try Folder()
  let made = try #require(
    try csv("x,y\n0,10\n0,9\n0,-1\n0,9.0\n", ["--labels", "y"], in: folder).bundle)
  #expect(made.metadata["classes"] == "[\"-1\",\"9\",\"10\"]")
  #expect(made.tensors["labels"]?.doubles == [2, 1, 0, 1])
  // The header may be numbers, as pandas writes it; then a name goes before a number.
  let pandas = try #require(
    try csv("0,1,label,3\n5,6,7,8\n", ["--labels", "label"], in: folder).bundle)
  #expect(pandas.tensors["x"]?.doubles == [5, 6, 8])
}

@Test func csvTargetsComeInTheOrderAskedFor() throws {
  let folder = try Folder()
  let two = try #require(
    try csv("a,b,c\n1,2,3\n4,5,6\n", ["--targets", "c,a"], in: folder).bundle)
  #expect(two.tensors["targets"]?.shape == [2, 2])
  #expect(two.tensors["targets"]?.doubles == [3, 1, 6, 4])
  #expect(two.tensors["x"]?.doubles == [2, 5])
  let one = try #require(try csv("1,2\n3,4\n", ["--targets", "2"], in: folder).bundle)
  #expect(one.tensors["targets"]?.shape == [2])
  #expect(one.metadata["classes"] == nil)
}

@Test func badCSVIsLocated() throws {
  let folder = try Folder()
  let cases: [(text: String, arguments: [String], message: String)] = [
    ("a,b\n1,2\n3,x\n", [], "data.csv, line 3, column 2 (\"b\"): \"x\", expected a finite number"),
    ("a,b\n1,2\n3,\n", [], "line 3, column 2 (\"b\"): \"\""),
    ("1,2\n3,nan\n", [], "line 2, column 2: \"nan\""),
    ("1,2\n3,inf\n", [], "line 2, column 2: \"inf\""),
    ("1,NA\n3,4\n", [], "line 1, column 2: \"NA\""),
    ("a,b\n1,2\n\n3\n", [], "line 4: 1 fields, expected 2 as on line 1"),
    ("a,b\n1,2,3\n", [], "line 2: 3 fields"),
    ("a,b\n\"1\n", [], "a quoted field does not end"),
    ("", [], "is empty"),
    ("\n\n", [], "is empty"),
    ("a,b\n", [], "a header and no values"),
    ("a,b\n1,2\n", ["--labels", "c"], "no column \"c\""),
    ("a,a\n1,2\n", ["--labels", "a"], "2 columns \"a\""),
    ("a,b\n1,2\n", ["--labels", "3"], "no column 3"),
    ("a,b\n1,2\n", ["--labels", "0"], "no column 0"),
    ("a\n1\n", ["--labels", "a"], "no column beside a"),
    ("a,b\n1,\n", ["--labels", "b"], "line 2: the label \"\" is empty"),
    ("a,b\n1,\"x\ny\"\n", ["--labels", "b"], "holds a control character"),
  ]
  for (text, arguments, message) in cases {
    let run = try csv(text, arguments, in: folder).run
    #expect(run.failed(1, "tensor"), "\(run)")
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(folder.files == ["data.csv"])
  }
  for arguments in [["--labels", "a", "--targets", "b"], ["--targets", "a,a"]] {
    #expect(try csv("a,b\n1,2\n", arguments, in: folder).run.failed(2, "tensor"))
  }
}

// MARK: from-npy

/// A NumPy file of these elements.
private func npy(_ descriptor: String, _ shape: String, _ data: [UInt8]) -> Data {
  let header = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }\n"
  return Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0])
    + Data(header.utf8)
    + Data(data)
}

@Test func numPyFilesBecomeABundleOfTheRightTypes() throws {
  let folder = try Folder()
  try npy("|u1", "2, 2", [1, 2, 3, 4]).write(to: folder.url("x.npy"))
  try npy("<i8", "2,", [1] + [UInt8](repeating: 0, count: 15)).write(to: folder.url("y.npy"))
  let run = try Tools.run(
    "tensor", ["from-npy", "x=x.npy", "labels=y.npy", "-o", "out"], in: folder)
  #expect(run.status == 0, "\(run)")
  let bundle = try folder.read("out")
  #expect(bundle.kind == .dataset)
  #expect(bundle.metadata["classes"] == "[\"0\",\"1\"]")
  #expect(bundle.metadata["command"] == "tensor from-npy x=FILE labels=FILE")
  #expect(bundle.tensors["x"]?.type == .f64)
  #expect(bundle.tensors["x"]?.doubles == [1, 2, 3, 4])
  #expect(bundle.tensors["labels"]?.type == .i32)
  #expect(bundle.tensors["labels"]?.doubles == [1, 0])
  let network = try Tools.run(
    "tensor", ["from-npy", "a=x.npy", "--kind=network", "-o", "network"], in: folder)
  #expect(network.status == 0)
  #expect(try folder.read("network").tensors["a"]?.type == .u8)
}

@Test func numPyFilesThatMakeNoBundleAreRefused() throws {
  let folder = try Folder()
  try npy("|u1", "3, 2", [1, 2, 3, 4, 5, 6]).write(to: folder.url("x.npy"))
  try npy("|u1", "2,", [0, 1]).write(to: folder.url("short.npy"))
  try npy("|u1", "3,", [0, 1]).write(to: folder.url("cut.npy"))
  let cases: [(arguments: [String], status: Int32, message: String)] = [
    (["x=x.npy", "labels=short.npy"], 1, "has 3 rows"),
    (["x=short.npy"], 1, "expected F32 or F64 [n, K, d] or [n, d]"),
    (["x=cut.npy"], 1, "has 2 of 3 bytes"),
    (["images=x.npy"], 1, "expected U8 [n, channels, height, width]"),
    (["x=absent.npy"], 1, "no such file"),
    (["a=x.npy"], 2, "--kind"),
    (["a=x.npy", "--kind=picture"], 2, "expected images, dataset"),
    (["a=x.npy", "--kind=dataset"], 1, "without samples"),
    (["x.npy"], 2, "holds no ="),
    (["=x.npy"], 2, "empty name"),
    (["x="], 2, "empty name"),
    (["x=x.npy", "x=x.npy"], 2, "named twice"),
    (["__metadata__=x.npy"], 2, "__metadata__"),
    ([], 2, "from-npy NAME=FILE"),
  ]
  for (arguments, status, message) in cases {
    let run = try Tools.run("tensor", ["from-npy"] + arguments, in: folder)
    #expect(run.failed(status, "tensor"), "\(arguments): \(run)")
    #expect(run.errors.contains(message), "\(arguments): \(run.errors)")
  }
}

// MARK: slice, concat

@Test func sliceCutsWhatHasARowASample() throws {
  let folder = try Folder()
  try folder.write(dataset(0..<5), "in")
  for (rows, range) in [("1:3", 1..<3), ("3:", 3..<5), (":2", 0..<2), (":", 0..<5)] {
    let run = try Tools.run("tensor", ["slice", "--rows", rows, "-o", "out", "in"], in: folder)
    #expect(run.status == 0, "\(run)")
    let cut = try folder.read("out")
    let expected = dataset(range)
    #expect(Set(cut.tensors.keys) == Set(expected.tensors.keys))
    for (name, tensor) in expected.tensors {
      #expect(cut.tensors[name]?.doubles == tensor.doubles, "\(name) of \(rows)")
      #expect(cut.tensors[name]?.shape == tensor.shape)
      #expect(cut.tensors[name]?.type == tensor.type)
    }
    #expect(cut.metadata["classes"] == "even,odd")
    #expect(cut.metadata["command"] == "first --x\ntensor slice --rows \(rows)")
    #expect(cut.metadata["producer"]?.hasPrefix("tensor ") == true)
  }
}

@Test func rowsThatAreNotThereAreRefused() throws {
  let folder = try Folder()
  try folder.write(dataset(0..<5), "in")
  for rows in ["0:6", "5:", "5:6", "100:200"] {
    let run = try Tools.run("tensor", ["slice", "--rows", rows, "in"], in: folder)
    #expect(run.failed(1, "tensor"), "\(run)")
    #expect(run.errors.contains("has 5 samples"))
  }
  for rows in ["3:3", "3:1", "-1:2", "a:b", "3", "1:2:3", ""] {
    #expect(
      try Tools.run("tensor", ["slice", "--rows=\(rows)", "in"], in: folder).failed(2, "tensor"))
  }
  #expect(try Tools.run("tensor", ["slice", "in"], in: folder).failed(2, "tensor"))
}

@Test func sliceNeedsSamplesThatAgree() throws {
  let folder = try Folder()
  var bundle = dataset(0..<4)
  bundle.tensors["labels"] = Tensor([Int32(0)])
  try folder.write(bundle, "uneven")
  bundle = dataset(0..<4)
  bundle.metadata["kind"] = "arrangements"
  bundle.tensors["patterns"] = Tensor([UInt8(3)], shape: [1, 1])
  try folder.write(bundle, "patterns")
  bundle.metadata["kind"] = nil
  try folder.write(bundle, "kindless")
  for (name, message) in [
    ("uneven", "tensor \"x\" of uneven has 4 rows, but tensor \"labels\" has 1"),
    ("patterns", "activation patterns"), ("kindless", "no \"kind\""),
  ] {
    let run = try Tools.run("tensor", ["slice", "--rows", "0:1", name], in: folder)
    #expect(run.failed(1, "tensor"), "\(run)")
    #expect(run.errors.contains(message), "\(run.errors)")
  }
}

@Test func joiningTheSlicesGivesTheWhole() throws {
  let folder = try Folder()
  try folder.write(dataset(0..<5), "in")
  let run = try Tools.shell(
    """
    tensor slice --rows 0:2 in > a && tensor slice --rows 2:5 in > b && tensor concat a b > out
    """, in: folder)
  #expect(run.status == 0, "\(run)")
  let (whole, joined) = (dataset(0..<5), try folder.read("out"))
  for (name, tensor) in whole.tensors {
    #expect(joined.tensors[name]?.doubles == tensor.doubles)
    #expect(joined.tensors[name]?.shape == tensor.shape)
  }
  #expect(
    joined.metadata["command"] == """
      first --x
      tensor slice --rows 0:2
      first --x
      tensor slice --rows 2:5
      tensor concat FILE FILE
      """)
}

@Test func whatDiffersIsNotJoined() throws {
  let folder = try Folder()
  try folder.write(dataset(0..<2), "in")
  func refuses(_ message: String, _ change: (inout Bundle) -> Void) throws {
    var other = dataset(2..<4)
    change(&other)
    try folder.write(other, "other")
    for arguments in [["in", "other"], ["other", "in"]] {
      let run = try Tools.run("tensor", ["concat"] + arguments, in: folder)
      #expect(run.failed(1, "tensor"), "\(run)")
      #expect(run.errors.contains(message), "\(run.errors)")
    }
  }
  try refuses("metadata \"classes\"") { $0.metadata["classes"] = "a,b" }
  try refuses("metadata \"size\"") { $0.metadata["size"] = "4" }
  try refuses("metadata \"kind\"") { $0.metadata["kind"] = "images" }
  try refuses("they must be equal") { $0.tensors["mean"] = Tensor([0.5, 0.5]) }
  try refuses("they must be equal") { $0.tensors["mean"] = Tensor([0.5]) }
  try refuses("has no tensor \"pool\"") { $0.tensors["pool"] = nil }
  try refuses("tensor \"x\"") { $0.tensors["x"] = Tensor([1.0, 2], shape: [2, 1]) }
  try refuses("tensor \"x\"") { $0.tensors["x"] = Tensor([Float(1), 2, 3, 4], shape: [2, 2]) }
  try refuses("rows") { $0.tensors["labels"] = Tensor([Int32(1)]) }
  #expect(try Tools.run("tensor", ["concat"], in: folder).failed(2, "tensor"))
  #expect(try Tools.run("tensor", ["concat", "-", "-"], in: folder).failed(2, "tensor"))
}

// MARK: rename, sum

@Test func tensorsCanChangePlaces() throws {
  let folder = try Folder()
  try folder.write(dataset(0..<2), "in")
  let run = try Tools.run(
    "tensor", ["rename", "x=mean", "mean=x", "pool=a b", "-o", "out", "in"], in: folder)
  #expect(run.status == 0, "\(run)")
  let renamed = try folder.read("out")
  #expect(Set(renamed.tensors.keys) == ["x", "mean", "a b", "labels", "whiten"])
  #expect(renamed.tensors["x"]?.doubles == [0.5, 0.25])
  #expect(renamed.tensors["mean"]?.shape == [2, 2])
  #expect(renamed.metadata["command"] == "first --x\ntensor rename x=mean mean=x 'pool=a b'")
  for (arguments, status): ([String], Int32) in [
    (["absent=x", "in"], 1), (["x=mean", "in"], 1), (["x=a", "mean=a", "in"], 1),
    (["x=__metadata__", "in"], 2), (["x=", "in"], 2), (["=x", "in"], 2), (["in"], 2),
    (["x=a", "x=b", "in"], 2), (["x=a", "in", "in"], 2), ([], 2),
  ] {
    let run = try Tools.run("tensor", ["rename"] + arguments, in: folder)
    #expect(run.failed(status, "tensor"), "\(arguments): \(run)")
  }
}

@Test func sumAddsElementByElement() throws {
  let folder = try Folder()
  func write(_ name: String, _ x: [Double], _ y: [UInt8]) throws {
    try folder.write(
      Bundle(tensors: ["x": Tensor(x), "y": Tensor(y)], metadata: ["command": name]), name)
  }
  try write("a", [0.1, 1], [100, 1])
  try write("b", [0.2, -1], [155, 2])
  try write("c", [1, 1], [1, 1])
  try write("d", [1], [1, 1])
  let run = try Tools.run("tensor", ["sum", "a", "b", "-o", "out"], in: folder)
  #expect(run.status == 0, "\(run)")
  let sum = try folder.read("out")
  #expect(sum.tensors["x"]?.doubles == [0.1 + 0.2, 0])
  #expect(sum.tensors["y"]?.doubles == [255, 3])
  #expect(sum.metadata["command"] == "a\nb\ntensor sum FILE FILE")
  let overflow = try Tools.run("tensor", ["sum", "a", "b", "c"], in: folder)
  #expect(overflow.failed(1, "tensor"))
  #expect(overflow.errors.contains("tensor \"y\": 255 + 1 does not fit U8"))
  let shapes = try Tools.run("tensor", ["sum", "a", "d"], in: folder)
  #expect(shapes.failed(1, "tensor"))
  #expect(shapes.errors.contains("tensor \"x\" of d is F64 [1], of a F64 [2]"))
}

// MARK: the command line

@Test func commandsAndTheirOptionsAreHeldAgainstEachOther() throws {
  for arguments in [
    [], ["frobnicate"], ["--rows", "0:1"], ["show", "--rows", "0:1"], ["slice", "--csv"],
    ["get"], ["get", "x", "a", "b"], ["show", "a", "b"], ["from-csv", "--npy", "a"],
    ["concat", "a", "--labels", "x"], ["sum", "--bias", "a"],
  ] {
    let run = try Tools.run("tensor", arguments)
    #expect(run.failed(2, "tensor"), "\(arguments): \(run)")
  }
  // Options may stand before the command.
  let folder = try Folder()
  try folder.write(dataset(0..<2), "in")
  let run = try Tools.run("tensor", ["--rows", "0:1", "-o", "out", "slice", "in"], in: folder)
  #expect(run.status == 0, "\(run)")
  #expect(try folder.read("out").metadata["command"] == "first --x\ntensor slice --rows 0:1")
}
