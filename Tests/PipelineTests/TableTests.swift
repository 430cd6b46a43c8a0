import Foundation
import Schema
import Tensors
import Testing

/// `tensor from-csv` of tables as users have them.
@Suite struct TableTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: folder.url(name))
  }

  private func tensor(_ arguments: String...) throws -> Run {
    try Tools.run("tensor", arguments, in: folder)
  }

  /// The bundle that `from-csv` makes of `text`.
  private func made(_ text: String, _ arguments: String...) throws -> (Bundle, errors: String) {
    try write(text, "made.csv")
    let run = try Tools.run(
      "tensor", ["from-csv", "made.csv", "-o", "made"] + arguments, in: folder)
    try #require(run.status == 0, "\(run.errors)")
    return (try folder.read("made"), run.errors)
  }

  private func refuses(
    _ text: String, _ arguments: String..., status: Int32 = 1, with words: String
  ) throws {
    try write(text, "bad.csv")
    let run = try Tools.run("tensor", ["from-csv", "bad.csv", "-o", "bad"] + arguments, in: folder)
    #expect(run.failed(status, "tensor"), "\(arguments): \(run)")
    #expect(run.errors.contains(words), "\(arguments): \(run.errors)")
    #expect(!folder.files.contains("bad"))
  }

  @Test func namesOfFeaturesAndOfClassesAreKept() throws {
    let (bundle, _) = try made(
      "a,\"b, c\",kind\n1,2,\"yes, maybe\"\n3,4,no\n", "--labels", "kind", "--bias")
    #expect(try bundle.featureNames() == ["a", "b, c"])
    #expect(try bundle.classNames() == ["no", "yes, maybe"])
    #expect(bundle.metadata["features"] == "[\"a\",\"b, c\"]")
    #expect(bundle[.labels]?.doubles == [1, 0])
    #expect(bundle[.x]?.shape == [2, 3])
    // What numbers stand for has no names.
    #expect(try made("1,2\n3,4\n").0.featureNames() == nil)
  }

  @Test func otherDelimitersAreReadAndHintedAt() throws {
    let (semicolons, _) = try made("a;b\n1;2\n", "--delimiter", ";", "--targets", "b")
    #expect(semicolons[.x]?.doubles == [1])
    let (tabs, _) = try made("a\tb\n1\t 2\n", "--delimiter", "tab")
    #expect(tabs[.x]?.doubles == [1, 2])
    try refuses("a;b;c\n1;2;3\n", "--labels", "c", with: "--delimiter ';'")
    try refuses("a\tb\n1\t2\n", "--labels", "b", with: "--delimiter tab")
    try refuses("a,b\n", "--delimiter", "1", status: 2, with: "no part of a number")
    try refuses("a,b\n", "--delimiter", ";;", status: 2, with: "one character")
  }

  @Test func aHeaderIsSaidWhereItCannotBeTold() throws {
    let numbers = "1,2,label\n1,2,0\n3,4,1\n"
    try refuses(numbers, "--labels", "3", with: "--header yes or --header no")
    let (header, _) = try made(numbers, "--labels", "3", "--header", "yes")
    #expect(header[.x]?.doubles == [1, 2, 3, 4])
    #expect(try header.featureNames() == ["1", "2"])
    #expect(try header.classNames() == ["0", "1"])
    let (sample, _) = try made(numbers, "--labels", "3", "--header", "no")
    #expect(sample[.x]?.shape == [3, 2])
    #expect(try sample.classNames() == ["0", "1", "label"])
    // Text labels are no sign of a header.
    #expect(try made("1,2,cat\n3,4,dog\n", "--labels", "3").0[.x]?.shape == [2, 2])
    try refuses("1,b\n2,3\n", with: "--header yes")
    try refuses("a,b\n1,2\n", "--header", "no", with: "line 1, column 1")
    try refuses("a,b\n1,2\n", "--header", "maybe", status: 2, with: "yes, no or auto")
  }

  @Test func missingValuesBecomeTheMeanOfTheirColumn() throws {
    let text = "a,b,y\n1,?,0\n?,4,1\n4,8,0\n1,?,1\n"
    try refuses(text, "--labels", "y", with: "line 2, column 2 (\"b\"): \"?\"")
    try refuses(text, "--labels", "y", with: "--missing ?")
    let (bundle, errors) = try made(text, "--labels", "y", "--missing", "?", "--bias")
    #expect(bundle[.x]?.doubles == [1, 6, 1, 2, 4, 1, 4, 8, 1, 1, 6, 1])
    #expect(bundle[.fill]?.doubles == [2, 6])
    #expect(errors.contains("1 missing values of column \"a\" are now its mean, 2.0"))
    #expect(errors.contains("2 missing values of column \"b\" are now its mean, 6.0"))
    try FileManager.default.copyItem(at: folder.url("made"), to: folder.url("train"))
    // An earlier table's means, whatever these rows have.
    let (later, _) = try made("b,a\n?,100\n1,?\n", "--like", "train")
    #expect(later[.x]?.doubles == [100, 6, 1, 2, 1, 1])
    #expect(later[.labels] == nil)
    // An empty cell is a text too; a target is never made up.
    #expect(try made("a,b\n1,2\n3,\n", "--missing", "").0[.x]?.doubles == [1, 2, 3, 2])
    try refuses("a,y\n1,NA\n", "--targets", "y", "--missing", "NA", with: "column 2 (\"y\")")
    try refuses("a,b\nNA,1\nNA,2\n", "--missing", "NA", with: "no value in column \"a\"")
  }

  @Test func anEarlierTableWithoutMissingValuesHasTheirMeansToo() throws {
    _ = try made("a,b\n1,10\n3,20\n", "--standardize")
    try FileManager.default.copyItem(at: folder.url("made"), to: folder.url("train"))
    let (later, _) = try made("a,b\n-,20\n", "--like", "train", "--missing", "-")
    #expect(later[.x]?.doubles == [0, 1])
    var network = Bundle(
      kind: .network, tensors: ["hidden.weight": Tensor([1.0, 2], shape: [1, 2])])
    network.metadata["features"] = "[\"a\",\"b\"]"
    try folder.write(network, "network")
    try refuses(
      "a,b\n-,1\n", "--like", "network", "--missing", "-", with: "make its dataset with --missing")
  }

  @Test func columnsAreDroppedOrNameTheSamples() throws {
    let (bundle, _) = try made(
      "id,a,note,y\nfirst,1,x,0\nzweite ä,2,\"p,q\",1\n", "--id", "id", "--drop", "note",
      "--targets", "y")
    #expect(bundle[.x]?.doubles == [1, 2])
    #expect(try bundle.sampleNames(2) == ["first", "zweite ä"])
    #expect(bundle[.names]?.type == .u8)
    try refuses("a,b\n1,2\n", "--drop", "a,b", with: "no column beside a, b")
    try refuses("a,b\n1,2\n", "--drop", "c", with: "no column \"c\"")
    try refuses("a,b\n1,2\n", "--drop", "a", "--id", "a", status: 2, with: "named twice")
  }

  /// Cut, joined, split and shown like every tensor that has a row a sample.
  @Test func namesGoWithTheirSamples() throws {
    try write("id,a\nlonger name,1\nb,2\n", "one.csv")
    try write("id,a\nc,3\n", "two.csv")
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv one.csv --id id -o one; tensor from-csv two.csv --id id -o two
      tensor concat one two -o all; tensor slice --rows 1:3 all -o part
      tensor split --fraction 0.34 all -o train --rest rest
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("all").sampleNames(3) == ["longer name", "b", "c"])
    #expect(try folder.read("part").sampleNames(2) == ["b", "c"])
    let parts = try folder.read("train").sampleNames(1)! + folder.read("rest").sampleNames(2)!
    #expect(Set(parts) == ["longer name", "b", "c"])
  }

  @Test func aLaterTableIsReadLikeTheFirst() throws {
    try write("a,b,kind\n1,10,x\n3,30,y\n2,50,z\n", "train.csv")
    let run = try tensor(
      "from-csv", "train.csv", "--labels", "kind", "--bias", "--standardize", "-o", "train")
    #expect(run.status == 0, "\(run.errors)")
    let train = try folder.read("train")
    // Two columns exchanged, one more, and no sample of class x.
    let (later, errors) = try made("kind,b,more,a\ny,30,?,3\nz,10,?,1\n", "--like", "train")
    #expect(errors.contains("left out: \"more\""))
    #expect(later[.labels]?.doubles == [1, 2])
    #expect(try later.classNames() == ["x", "y", "z"])
    let x = train[.x]!.doubles
    #expect(later[.x]!.doubles[0] == x[3] && later[.x]!.doubles[3] == x[0])
    #expect(later[.x]!.doubles[2] == 1)
    #expect(later[.shift]!.doubles == train[.shift]!.doubles)
    // A network reads tables too.
    var network = train
    network.metadata["kind"] = "network"
    network.tensors = network.tensors.filter { ["shift", "divisor"].contains($0.key) }
    network[.hiddenWeight] = Tensor([1.0, 1, 1], shape: [1, 3])
    try folder.write(network, "network")
    let (same, _) = try made("kind,b,a\ny,30,3\nz,10,1\n", "--like", "network")
    #expect(same[.x]!.doubles == later[.x]!.doubles)
    try refuses("a,kind\n1,x\n", "--like", "train", with: "no column \"b\", a feature of train")
    try refuses(
      "a,b,kind\n1,2,w\n", "--like", "train",
      with: "the label \"w\" is none of the classes of train")
    try refuses("1,2,3,4\n", "--like", "train", with: "4 columns of features, but train has 2")
  }

  @Test func classesCanBeNamed() throws {
    let (bundle, _) = try made(
      "a,y\n1,2.0\n2,b\n", "--labels", "y", "--classes", "b,\"c,d\",2")
    #expect(bundle[.labels]?.doubles == [2, 0])
    #expect(try bundle.classNames() == ["b", "c,d", "2"])
    try refuses("a,y\n1,z\n", "--labels", "y", "--classes", "a,b", with: "classes of --classes")
    try refuses("a,y\n1,z\n", "--labels", "y", "--classes", "a,a", status: 2, with: "--classes")
  }

  @Test func labelsFromNumPyAreClassesWhateverTheirNumbers() throws {
    func labels(_ values: [Int8], _ arguments: String...) throws -> Run {
      let header =
        "{'descr': '|i1', 'fortran_order': False, 'shape': (\(values.count),), }\n"
      let magic = Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0])
      try (magic + Data(header.utf8) + Data(values.map { UInt8(bitPattern: $0) }))
        .write(to: folder.url("y.npy"))
      try (magic + Data(header.utf8) + Data(values.map { UInt8(bitPattern: $0) }))
        .write(to: folder.url("x.npy"))
      var x = Bundle(tensors: ["x": Tensor(values.map { Double($0) }, shape: [values.count, 1])])
      x.name = "x"
      try folder.write(x, "x")
      return try Tools.shell(
        "tensor get x --npy x >x.npy && tensor from-npy x=x.npy labels=y.npy -o out "
          + arguments.joined(separator: " "), in: folder)
    }
    #expect(try labels([1, -1, 1]).status == 0)
    var bundle = try folder.read("out")
    #expect(bundle[.labels]?.doubles == [1, 0, 1])
    #expect(try bundle.classNames() == ["-1", "1"])
    #expect(try labels([3, 1, 2, 3], "--classes a,b,c").status == 0)
    bundle = try folder.read("out")
    #expect(bundle[.labels]?.doubles == [2, 0, 1, 2])
    #expect(try bundle.classNames() == ["a", "b", "c"])
    // Of classes from 0 some may be absent; of others nobody could tell which.
    #expect(try labels([0, 2], "--classes a,b,c").status == 0)
    #expect(try folder.read("out")[.labels]?.doubles == [0, 2])
    let run = try labels([1, 2], "--classes a,b,c")
    #expect(run.status == 1 && run.errors.contains("--classes has 3 names"), "\(run.errors)")
  }

  /// Records larger than the reader's window, and a window's end at every place of a record.
  @Test func longTablesStream() throws {
    var text = "name,a,b\n"
    for i in 0..<40_000 { text += "\"r\(i)\"\"\n\",\(i), \(Double(i) / 7)\r\n" }
    let (bundle, _) = try made(text, "--id", "name")
    #expect(bundle[.x]?.shape == [40_000, 2])
    #expect(bundle[.x]?.doubles == (0..<40_000).flatMap { [Double($0), Double($0) / 7] })
    #expect(try bundle.sampleNames(40_000)?[39_999] == "r39999\"\n")
  }

  @Test func aDescriptionThatIsNoneIsRefused() throws {
    _ = try made("a,b\n1,10\n3,20\n")
    for (key, value, words) in [
      ("features", "a,b", "expected a JSON array"), ("features", "[\"a\"]", "another number"),
      ("delimiter", "ab", "one character"), ("target_columns", "y", "JSON array"),
    ] {
      var bundle = try folder.read("made")
      bundle.metadata[key] = value
      try folder.write(bundle, "broken")
      try refuses("a,b\n1,2\n", "--like", "broken", with: words)
    }
    for (key, tensor, words) in [
      (TensorKey.fill, Tensor([1.0]), "\"fill\""),
      (.shift, Tensor([1.0, 2]), "no tensor \"divisor\""),
    ] {
      var bundle = try folder.read("made")
      bundle[key] = tensor
      try folder.write(bundle, "broken")
      try refuses("a,b\n1,2\n", "--like", "broken", with: words)
    }
  }
}
