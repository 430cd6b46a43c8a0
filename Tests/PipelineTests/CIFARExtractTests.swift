import Foundation
import Testing

/// `cifar-extract` as its users run it, on records made here.
@Suite struct CIFARExtractTests {
  /// A record whose pixels tell its number.
  private static func record(_ number: Int, labels: [UInt8]) -> Data {
    var data = Data(labels)
    for i in 0..<3072 { data.append(UInt8(truncatingIfNeeded: number * 31 + i * 7 + i / 32)) }
    return data
  }

  /// Records whose classes take turns: the record's number modulo 10.
  private static func batch(_ numbers: Range<Int>) -> Data {
    numbers.reduce(into: Data()) { $0 += record($1, labels: [UInt8($1 % 10)]) }
  }

  /// `root/cifar-10-batches-bin` with batches of 20 training records and 10 test records.
  private static func archive() throws -> Folder {
    let folder = try Folder()
    let batches = folder.url("root/cifar-10-batches-bin")
    try FileManager.default.createDirectory(at: batches, withIntermediateDirectories: true)
    for i in 0..<5 {
      try batch(20 * i..<20 * (i + 1)).write(
        to: batches.appendingPathComponent("data_batch_\(i + 1).bin"))
    }
    try batch(500..<510).write(to: batches.appendingPathComponent("test_batch.bin"))
    return folder
  }

  private func extract(
    _ arguments: [String], input: Data = Data(), in folder: Folder
  ) throws -> Bundle {
    let run = try Tools.run(
      "cifar-extract", arguments + ["-o", "out.images"], input: input, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.isEmpty, "\(run.errors)")
    try #require(run.status == 0)
    return try folder.read("out.images")
  }

  private func integers(_ bundle: Bundle, _ name: String) throws -> [Int] {
    try #require(bundle.tensors[name]).withElements(of: Int32.self) { $0.map(Int.init) }
  }

  private func image(_ bundle: Bundle, _ i: Int) throws -> [UInt8] {
    let images = try #require(bundle.tensors["images"])
    let size = images.shape.dropFirst().reduce(1, *)
    return images.withElements(of: UInt8.self) { Array($0[i * size..<(i + 1) * size]) }
  }

  /// Runs a command that must fail with `status`, say all of `words`, and write nothing.
  private func refuse(
    _ arguments: [String], input: Data = Data(), status: Int32, _ words: [String], in folder: Folder
  ) throws {
    let run = try Tools.run("cifar-extract", arguments, input: input, in: folder)
    #expect(run.status == status, "\(arguments)")
    #expect(run.output.isEmpty, "\(arguments)")
    #expect(run.errors.hasPrefix("cifar-extract: "))
    for word in words { #expect(run.errors.contains(word), "\(run.errors)") }
    let before = folder.files
    let toFile = try Tools.run(
      "cifar-extract", ["-o", "refused.images"] + arguments, input: input, in: folder)
    #expect(toFile.status == status)
    #expect(folder.files == before, "\(arguments)")
  }

  @Test func readsTheBatchesOfADirectory() throws {
    let folder = try CIFARExtractTests.archive()
    for path in ["root", "root/", "root/cifar-10-batches-bin"] {
      let bundle = try extract([path], in: folder)
      #expect(bundle.tensors["images"]?.shape == [100, 3, 32, 32])
      #expect(try integers(bundle, "index") == Array(0..<100))
      #expect(try integers(bundle, "labels") == (0..<100).map { $0 % 10 })
      #expect(try image(bundle, 57) == Array(CIFARExtractTests.record(57, labels: [])))
      #expect(bundle.metadata["kind"] == "images")
      #expect(
        bundle.metadata["classes"]
          == "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck")
      #expect(bundle.metadata["command"] == "cifar-extract")
    }
    let test = try extract(["--split", "test", "root"], in: folder)
    #expect(try integers(test, "index") == Array(0..<10))
    #expect(try image(test, 3) == Array(CIFARExtractTests.record(503, labels: [])))
  }

  @Test func filesAndStandardInputAgreeWithTheDirectory() throws {
    let folder = try CIFARExtractTests.archive()
    let batches = (1...5).map { "root/cifar-10-batches-bin/data_batch_\($0).bin" }
    let all = CIFARExtractTests.batch(0..<100)
    let expected = try Tools.run("cifar-extract", ["root"], in: folder).output
    #expect(expected.count > 100 * 3072)
    #expect(try Tools.run("cifar-extract", batches, in: folder).output == expected)
    #expect(try Tools.run("cifar-extract", [], input: all, in: folder).output == expected)
    #expect(try Tools.run("cifar-extract", ["-"], input: all, in: folder).output == expected)
  }

  @Test func choosesInTheDocumentedOrder() throws {
    let folder = try CIFARExtractTests.archive()
    let bundle = try extract(
      ["--per-class=3", "--range", "4:14", "--classes", "ship,1", "--flip", "root"], in: folder)
    // Places 4 … 13 of the records 1, 8, 11, 18, …, then three of each class.
    let index = [21, 28, 31, 38, 41, 48]
    #expect(try integers(bundle, "index") == index.flatMap { [$0, $0] })
    #expect(
      try integers(bundle, "labels")
        == index.flatMap { [Int](repeating: $0 % 10 == 8 ? 0 : 1, count: 2) })
    #expect(bundle.metadata["classes"] == "ship,automobile")
    #expect(
      bundle.metadata["command"]
        == "cifar-extract --per-class 3 --range 4:14 --classes ship,1 --flip")
    let (straight, mirror) = (try image(bundle, 4), try image(bundle, 5))
    #expect(straight == Array(CIFARExtractTests.record(31, labels: [])))
    #expect(
      mirror == stride(from: 0, to: 3072, by: 32).flatMap { straight[$0..<$0 + 32].reversed() })
  }

  @Test func samplesWithASeed() throws {
    let folder = try CIFARExtractTests.archive()
    func sample(_ seed: String) throws -> [Int] {
      let bundle = try extract(["--sample", "30", "--seed", seed, "root"], in: folder)
      let index = try integers(bundle, "index")
      for (i, number) in index.enumerated() {
        #expect(try image(bundle, i) == Array(CIFARExtractTests.record(number, labels: [])))
      }
      return index
    }
    let first = try sample("1")
    #expect(first.count == 30 && first == Array(Set(first)).sorted())
    #expect(try sample("1") == first)
    #expect(try sample("2") != first)
  }

  @Test func resizesAndTurnsGray() throws {
    let folder = try CIFARExtractTests.archive()
    let bundle = try extract(["--resize", "10x8", "--grayscale", "root"], in: folder)
    #expect(bundle.tensors["images"]?.shape == [100, 1, 8, 10])
  }

  @Test func readsBothLabelsOfCIFAR100() throws {
    let folder = try Folder()
    let records = (0..<40).map {
      CIFARExtractTests.record($0, labels: [UInt8($0 % 20), UInt8(2 * $0)])
    }
    let directory = folder.url("cifar-100-binary")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try records.reduce(Data(), +).write(to: directory.appendingPathComponent("train.bin"))
    let fine = try extract(["--dataset", "cifar-100", "."], in: folder)
    #expect(try integers(fine, "labels") == (0..<40).map { 2 * $0 })
    #expect(try image(fine, 9) == Array(CIFARExtractTests.record(9, labels: [])))
    let coarse = try extract(
      ["--dataset=cifar-100-coarse", "--classes", "fish,0", "cifar-100-binary"], in: folder)
    #expect(try integers(coarse, "index") == [0, 1, 20, 21])
    #expect(try integers(coarse, "labels") == [1, 0, 1, 0])
    #expect(coarse.metadata["classes"] == "fish,aquatic_mammals")
    try refuse(
      ["--dataset", "cifar-100", "--split", "test", "."], status: 1, ["test.bin"], in: folder)
    try refuse(
      ["cifar-100-binary/train.bin"], status: 1, ["122960 bytes", "--dataset cifar-100"],
      in: folder)
  }

  @Test func drawsTheSameTexturesEachTime() throws {
    let folder = try Folder()
    let arguments = ["--synthetic", "20", "--contact-sheet", "sheet.png"]
    let first = try Tools.run("cifar-extract", arguments, in: folder)
    #expect(first.status == 0)
    #expect(try Data(contentsOf: folder.url("sheet.png")).starts(with: [0x89, 0x50, 0x4E, 0x47]))
    #expect(try Tools.run("cifar-extract", arguments, in: folder).output == first.output)
    #expect(folder.files == ["sheet.png"])
    let bundle = try extract(arguments, in: folder)
    #expect(bundle.tensors["images"]?.shape == [20, 3, 32, 32])
    // The sheet is a side product, and no part of the recipe.
    #expect(bundle.metadata["command"] == "cifar-extract --synthetic 20")
  }

  @Test func readsItsOwnPicturesBack() throws {
    let folder = try Folder()
    let tree = folder.url("tree")
    for name in ["b", "a"] {
      try FileManager.default.createDirectory(
        at: tree.appendingPathComponent(name), withIntermediateDirectories: true)
    }
    // A contact sheet of one image is that image, magnified twice within a margin of 8.
    for (path, seed) in [("b/1.png", "1"), ("a/2.PNG", "2"), ("a/1.png", "3")] {
      _ = try extract(
        [
          "--synthetic", "1", "--classes", "rows", "--seed", seed, "--contact-sheet",
          "tree/" + path,
        ],
        in: folder)
    }
    try Data("notes".utf8).write(to: tree.appendingPathComponent("README"))
    let bundle = try extract(["--png", "tree"], in: folder)
    #expect(bundle.tensors["images"]?.shape == [3, 3, 80, 80])
    #expect(try integers(bundle, "labels") == [0, 0, 1])
    #expect(bundle.metadata["classes"] == "a,b")
    #expect(bundle.metadata["command"] == "cifar-extract --png DIR")
    let original = try extract(
      ["--synthetic", "1", "--classes", "rows", "--seed", "2"], in: folder)
    let (large, small) = (try image(bundle, 1), try image(original, 0))
    for (y, x) in [(0, 0), (3, 31), (31, 30)] {
      for channel in 0..<3 {
        #expect(
          large[channel * 6400 + (8 + 2 * y) * 80 + 9 + 2 * x]
            == small[channel * 1024 + y * 32 + x])
      }
    }
    let chosen = try extract(["--png", "tree", "--classes", "b", "--resize", "5x4"], in: folder)
    #expect(try integers(chosen, "index") == [2])
    #expect(chosen.tensors["images"]?.shape == [1, 3, 4, 5])
    // Pictures of several sizes need --resize.
    _ = try extract(
      ["--synthetic", "2", "--contact-sheet", "tree/b/2.png", "--resize", "9x9"], in: folder)
    let files = folder.files
    try refuse(["--png", "tree"], status: 1, ["tree/b/2.png", "80x80", "--resize"], in: folder)
    #expect(folder.files == files)
    let equal = try extract(["--png", "tree", "--resize", "8x8"], in: folder)
    #expect(equal.tensors["images"]?.shape == [4, 3, 8, 8])
    try Data("no picture".utf8).write(to: tree.appendingPathComponent("b/3.png"))
    try refuse(["--png", "tree", "--resize", "8x8"], status: 1, ["tree/b/3.png"], in: folder)
  }

  @Test func refusesBadRecords() throws {
    let folder = try CIFARExtractTests.archive()
    let batch = CIFARExtractTests.batch(0..<4)
    try refuse([], status: 1, ["standard input", "empty"], in: folder)
    for size in [1, 3072, 3074, 4 * 3073 - 1] {
      try refuse(
        [], input: batch.prefix(size), status: 1, ["\(size) bytes", "3073"], in: folder)
    }
    var wrong = batch
    wrong[2 * 3073] = 10
    // Also where its class would not have been taken.
    try refuse(
      ["--classes", "cat"], input: wrong, status: 1, ["record 2", "label 10", "0 to 9"], in: folder)
    try refuse(["missing"], status: 1, ["missing", "no such file"], in: folder)
    try FileManager.default.removeItem(
      at: folder.url("root/cifar-10-batches-bin/data_batch_3.bin"))
    try refuse(["root"], status: 1, ["lacks data_batch_3.bin"], in: folder)
    try FileManager.default.createDirectory(
      at: folder.url("bare"), withIntermediateDirectories: true)
    try refuse(["bare"], status: 1, ["cifar-10-batches-bin"], in: folder)
    try refuse(["--png", "bare"], status: 1, ["no folders"], in: folder)
  }

  @Test func refusesBadChoices() throws {
    let folder = try CIFARExtractTests.archive()
    let cases: [([String], Int32, [String])] = [
      (["--classes", "cat,unicorn"], 2, ["unicorn", "airplane", "truck"]),
      (["--classes", "cat,3"], 2, ["twice"]),
      (["--classes", "cat,,dog"], 2, ["--classes"]),
      (["--classes", ""], 2, ["--classes"]),
      (["--range", "5:5"], 2, ["--range"]),
      (["--range", "9"], 2, ["--range"]),
      (["--range", "-3:5"], 2, ["--range"]),
      (["--range", "100:200"], 1, ["100"]),
      (["--per-class", "11"], 1, ["airplane", "10"]),
      (["--per-class", "0"], 2, ["--per-class"]),
      (["--sample", "101"], 1, ["101", "100"]),
      (["--resize", "10"], 2, ["--resize"]),
      (["--resize", "0x10"], 2, ["--resize"]),
      (["--resize", "10x99999999999999999999"], 2, ["--resize"]),
      (["--dataset", "mnist"], 2, ["cifar-100-coarse"]),
      (["--split", "validation"], 2, ["train, test"]),
      (["--contact-sheet", "-"], 2, ["--contact-sheet"]),
      (["--contact-sheet", "no/such/sheet.png"], 1, ["no/such/sheet.png"]),
      (["--synthetic", "5"], 2, ["root"]),
      (["--unknown"], 2, ["--unknown"]),
    ]
    for (arguments, status, words) in cases {
      try refuse(arguments + ["root"], status: status, words, in: folder)
    }
    try refuse(["--synthetic", "5", "--png", "root"], status: 2, ["exclude"], in: folder)
    try refuse(["--synthetic", "5", "--dataset", "cifar-10"], status: 2, ["--dataset"], in: folder)
  }

  @Test func warnsAndGoesOn() throws {
    let folder = try CIFARExtractTests.archive()
    let range = try Tools.run("cifar-extract", ["--range", "90:2000", "root"], in: folder)
    #expect(range.status == 0 && range.errors.contains("warning"))
    let quiet = try Tools.run("cifar-extract", ["--quiet", "--range=90:2000", "root"], in: folder)
    #expect(quiet.status == 0 && quiet.errors.isEmpty)
    let split = try Tools.run(
      "cifar-extract", ["--split", "test", "root/cifar-10-batches-bin/data_batch_1.bin"],
      in: folder)
    #expect(split.status == 0 && split.errors.contains("--split"))
  }

  @Test func aFullDiskAndAClosedPipeShow() throws {
    let full = try Tools.shell("cifar-extract --synthetic 50 > /dev/full")
    #expect(full.status == 1 && full.errors.contains("no space left"))
    let closed = try Tools.shell("cifar-extract --synthetic 500 | head -c 10 > /dev/null")
    #expect(closed.status != 0)
    let terminal = try Tools.shell(
      "script -qec 'cifar-extract --synthetic 5' /dev/null < /dev/null")
    #expect(terminal.status == 2 && terminal.text.contains("terminal"))
  }
}
