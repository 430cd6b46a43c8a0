import Foundation
import Images
import Schema
import Tensors
import Testing

/// `cifar-extract --png` of folders as cameras and users leave them.
@Suite struct PictureFolderTests {
  private let folder: Folder
  private let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fuzzing/corpus/jpeg")

  init() throws { folder = try Folder() }

  private func make(_ directory: String) throws {
    try FileManager.default.createDirectory(
      at: folder.url(directory), withIntermediateDirectories: true)
  }

  /// A PNG of 10 × 12 pixels of one gray.
  private func png(_ path: String, _ gray: UInt8) throws {
    var picture = Picture(width: 10, height: 12, channels: 1)
    for i in picture.pixels.indices { picture.pixels[i] = gray }
    let output = try Output(path: folder.path(path))
    try writePNG(picture, to: output)
    try output.finish()
  }

  private func jpeg(_ path: String, _ name: String = "good-gray") throws {
    try FileManager.default.copyItem(
      at: corpus.appendingPathComponent(name), to: folder.url(path))
  }

  private func extract(_ arguments: String...) throws -> Run {
    try Tools.run("cifar-extract", arguments + ["-o", "out"], in: folder)
  }

  @Test func aFlatFolderHasNamesAndNoLabels() throws {
    try make("new")
    try png("new/b ä.png", 7)
    try jpeg("new/a.JPG")
    try jpeg("new/c.jpeg")
    try Data("notes".utf8).write(to: folder.url("new/notes.txt"))
    let run = try extract("--png", "new")
    #expect(run.status == 0, "\(run)")
    #expect(run.errors.contains("new/notes.txt is no file named .png, .jpg or .jpeg"))
    let bundle = try folder.read("out")
    #expect(bundle[.images]?.shape == [3, 1, 12, 10])
    #expect(try bundle.sampleNames(3) == ["a.JPG", "b ä.png", "c.jpeg"])
    #expect(bundle[.labels] == nil && bundle.metadata["classes"] == nil)
    let pixels = bundle[.images]!.doubles
    #expect(pixels[0] == 0 && pixels[53] == 59 && pixels[120] == 7 && pixels[239] == 7)
    #expect(try extract("--png", "new", "--flip", "--range", "1:3").status == 0)
    let flipped = try folder.read("out")
    #expect(try flipped.sampleNames(4) == ["b ä.png", "b ä.png", "c.jpeg", "c.jpeg"])
    #expect(flipped.tensors["index"]?.doubles == [1, 1, 2, 2])
    #expect(try extract("--png", "new", "--contact-sheet", "sheet.png").status == 0)
    let chosen = try extract("--png", "new", "--per-class", "1")
    #expect(chosen.failed(1, "cifar-extract") && chosen.errors.contains("have no classes"))
  }

  @Test func aTreeMayLackClasses() throws {
    for name in ["cat", "dog, wet"] { try make("tree/\(name)") }
    try png("tree/cat/1.png", 1)
    try jpeg("tree/dog, wet/2.jpg")
    #expect(try extract("--png", "tree").status == 0)
    var bundle = try folder.read("out")
    #expect(try bundle.classNames() == ["cat", "dog, wet"])
    #expect(try bundle.sampleNames(2) == ["cat/1.png", "dog, wet/2.jpg"])
    let run = try extract("--png", "tree", "--classes", "bird,cat")
    #expect(run.status == 0 && run.errors.contains("tree has no folder bird"), "\(run)")
    bundle = try folder.read("out")
    #expect(bundle.metadata["classes"] == "bird,cat" && bundle[.labels]?.doubles == [1])
    let none = try extract("--png", "tree", "--classes", "bird,cow")
    #expect(
      none.failed(1, "cifar-extract") && none.errors.contains("none of the folders bird, cow"))
  }

  @Test func foldersOfPartsAreNoClasses() throws {
    try make("all/train/cat")
    try make("all/test/cat")
    try png("all/train/cat/1.png", 1)
    try png("all/test/cat/1.png", 2)
    let run = try extract("--png", "all")
    #expect(run.failed(1, "cifar-extract"), "\(run)")
    #expect(
      run.errors.contains("all/test holds folders and no pictures")
        && run.errors.contains("--split"))
    #expect(try extract("--png", "all", "--split", "test").status == 0)
  }

  @Test func badPicturesAreRefused() throws {
    try make("bad")
    try jpeg("bad/1.jpg")
    for name in ["cut-in-data", "cmyk", "text"] {
      try jpeg("bad/2.jpg", name)
      let run = try extract("--png", "bad")
      #expect(run.failed(1, "cifar-extract") && run.errors.contains("bad/2.jpg"), "\(run)")
      try FileManager.default.removeItem(at: folder.url("bad/2.jpg"))
    }
    #expect(folder.files == ["bad"])
    // A PNG under another name is one all the same.
    try png("bad/2.jpg", 3)
    #expect(try extract("--png", "bad").status == 0)
  }

  /// From two folders of pictures to a table by file name.
  @Test func picturesArePredictedByName() throws {
    for name in ["dark", "light"] { try make("train/\(name)") }
    try make("new")
    try make("test/light")
    for i in 0..<12 {
      try png("train/dark/\(i).png", UInt8(20 + i))
      try png("train/light/\(i).png", UInt8(200 + i))
    }
    try png("new/night.png", 30)
    try png("new/noon.png", 210)
    try png("test/light/1.png", 205)
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --png train | patchify --size 4 --bias -o train.data
      cifar-extract --png new | patchify --like train.data -o new.data
      cifar-extract --png test | patchify --like train.data -o test.data
      cifar-extract --png test | patchify --size 4 --bias --defer -o deferred
      tensor concat new.data new.data | tensor slice --rows 1:3 -o two
      arrangements --quiet --sample 10 train.data | solve --activation gated-relu --beta 0.1 | recover >network
      evaluate network new.data --predictions table
      evaluate network test.data
      evaluate network deferred
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let table = String(decoding: try Data(contentsOf: folder.url("table")), as: UTF8.self)
    let rows = table.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
    #expect(rows[0].prefix(4) == ["index", "name", "prediction", "class"])
    #expect(rows[1][1] == "night.png" && rows[1][3] == "dark")
    #expect(rows[2][1] == "noon.png" && rows[2][3] == "light")
    // The class that the test images lack keeps its number.
    #expect(try folder.read("test.data")[.labels]?.doubles == [1])
    #expect(try folder.read("test.data").classNames() == ["dark", "light"])
    #expect(run.text.components(separatedBy: "accuracy\t1.0\n").count == 3)
    #expect(try folder.read("two").sampleNames(2) == ["noon.png", "night.png"])
    for tool in ["solve --activation 1,0,0 --beta 1", "baseline"] {
      let run = try Tools.shell("\(tool) new.data", in: folder)
      #expect(
        run.status == 1 && run.errors.contains("neither \"labels\" nor \"targets\""), "\(run)")
    }
  }
}
