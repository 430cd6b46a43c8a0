import Foundation
import Schema
import Tensors
import Testing

/// Ten images of two classes, 3 × 12 × 12, the same on every run.
private func images(_ count: Int = 10) -> Bundle {
  var state: UInt32 = 7
  let pixels = (0..<count * 432).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(state >> 24)
  }
  return Bundle(
    kind: .images,
    tensors: [
      "images": Tensor(pixels, shape: [count, 3, 12, 12]),
      "labels": Tensor((0..<count).map { Int32($0 % 2) }),
    ], metadata: ["classes": "cat,dog", "command": "make-images", "producer": "test"])
}

private let whitening =
  "--size 3 --stride 2 --padding 1 --pool 2 --contrast 0.1 --whiten 0.05 --components 9 --bias"

@Suite struct PatchifyTests {
  let folder: Folder
  init() throws {
    folder = try Folder()
    try folder.write(images(), "images.st")
  }

  @Test func defaultsAreThoseOfTheContract() throws {
    #expect(try Tools.run("patchify", ["images.st", "-o", "x.st"], in: folder).status == 0)
    let bundle = try folder.read("x.st")
    #expect(bundle.kind == .dataset)
    #expect(bundle.tensors["x"]?.summary == "F32 [10, 9, 48]")
    #expect(bundle.tensors["pool"]?.summary == "I32 [9]")
    #expect(bundle.metadata["command"] == "make-images\npatchify")
    #expect(bundle.metadata["producer"]?.hasPrefix("patchify ") == true)
    #expect(bundle.metadata["scale"] == "-1,1")
    #expect(bundle.metadata["stride"] == "4")
    // Channel, row, column; the second patch starts at column 4.
    let pixels = try folder.read("images.st").tensors["images"]!.doubles
    let x = bundle.tensors["x"]!.doubles
    for (feature, pixel) in [(0, 4), (1, 5), (4, 16), (16, 148), (47, 3 * 12 + 7 + 288)] {
      #expect(abs(x[48 + feature] - (pixels[pixel] / 127.5 - 1)) < 1e-6)
    }
    try Tools.run("patchify", ["--moments", "images.st", "-o", "m.st"], in: folder)
    #expect(try folder.read("m.st").tensors["moments"]?.summary == "F64 [10, 1, 1224]")
    try Tools.run("patchify", ["--flatten", "images.st", "-o", "f.st"], in: folder)
    #expect(try folder.read("f.st").tensors["x"]?.summary == "F32 [10, 1, 432]")
  }

  @Test func standardStreamsAndFilesGiveTheSameBytes() throws {
    for options in [whitening, whitening + " --moments"] {
      try Tools.shell("patchify \(options) images.st -o a", in: folder)
      let run = try Tools.shell("cat images.st | patchify \(options) | cat", in: folder)
      #expect(run.status == 0 && run.errors.isEmpty)
      #expect(try Data(contentsOf: folder.url("a")) == run.output)
      let again = try Tools.shell("patchify \(options) < images.st", in: folder)
      #expect(again.output == run.output)
    }
  }

  @Test func threadsDoNotChangeTheNumbers() throws {
    try folder.write(images(3000), "many.st")
    for options in [whitening, whitening + " --moments"] {
      let results = try (1...3).map { threads in
        try Tools.shell("patchify \(options) --threads \(threads) many.st -o t.st", in: folder)
        let bundle = try folder.read("t.st")
        return (bundle.tensors["x"] ?? bundle.tensors["moments"])!.doubles
      }
      for other in results.dropFirst() {
        let difference = zip(results[0], other).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(difference < 1e-5)
      }
    }
  }

  @Test func likeRepeatsTheSteps() throws {
    for kind in ["", " --moments", " --dtype F64", " --moments --dtype F32"] {
      let script = """
        patchify \(whitening)\(kind) images.st -o train.st &&
        patchify --like train.st images.st -o same.st &&
        patchify --like <(cat train.st) images.st -o piped.st
        """
      #expect(try Tools.shell(script, in: folder).status == 0)
      var train = try folder.read("train.st")
      for name in ["same.st", "piped.st"] {
        var same = try folder.read(name)
        #expect(same.metadata["command"] == "make-images\npatchify --like BUNDLE")
        same.metadata["command"] = train.metadata["command"]
        #expect(same.metadata == train.metadata)
        try folder.write(same, "a")
        train.name = ""
        try folder.write(train, "b")
        #expect(try Data(contentsOf: folder.url("a")) == Data(contentsOf: folder.url("b")))
      }
    }
    // The kind can be asked for beside it.
    let script = """
      patchify \(whitening) images.st -o train.st &&
      patchify \(whitening) --moments images.st -o a.st &&
      patchify --moments --like train.st images.st -o b.st
      """
    #expect(try Tools.shell(script, in: folder).status == 0)
    #expect(
      try folder.read("a.st").tensors["moments"]!.doubles
        == folder.read("b.st").tensors["moments"]!.doubles)
  }

  @Test func badUsageAndBadDataAreToldApart() throws {
    try folder.write(images(), "other.st")
    var wide = images()
    wide.tensors["images"] = Tensor(type: .u8, shape: [10, 1, 12, 36])
    try folder.write(wide, "wide.st")
    var renamed = images()
    renamed.metadata["classes"] = "cat,cow"
    try folder.write(renamed, "renamed.st")
    var wrong = images()
    wrong.tensors["labels"] = Tensor([Int32](repeating: 2, count: 10))
    try folder.write(wrong, "wrong.st")
    try folder.write(Bundle(kind: .images, tensors: [:]), "empty.st")
    try Tools.run("patchify", ["images.st", "-o", "train.st"], in: folder)
    try Tools.shell(
      "head -c -1 images.st > short.st; (cat images.st; echo) > long.st", in: folder)
    let before = folder.files
    let cases: [(String, Int32, String)] = [
      ("--size 13 images.st", 2, "13 × 13"), ("--size 0 images.st", 2, "--size"),
      ("--stride 0 images.st", 2, "--stride"), ("--padding -1 images.st", 2, "--padding"),
      ("--padding 4 images.st", 2, "--padding 4"), ("--pool 4 images.st", 2, "--pool 4"),
      ("--pool 0 images.st", 2, "--pool"), ("--pool all images.st", 2, "--pool"),
      ("--scale 1,1 images.st", 2, "--scale"), ("--scale 1 images.st", 2, "--scale"),
      ("--whiten -1 images.st", 2, "--whiten"), ("--contrast nan images.st", 2, "--contrast"),
      ("--components 5 images.st", 2, "--whiten"),
      ("--whiten 1 --components 49 images.st", 2, "--components 49"),
      ("--flatten --size 4 images.st", 2, "--size"),
      ("--flatten --stride 4 images.st", 2, "--stride"),
      ("--flatten --pool 2 images.st", 2, "--pool 2"),
      ("--dtype F16 images.st", 2, "F32 or F64"),
      ("--like train.st --size 4 images.st", 2, "--size"),
      ("--like train.st --bias images.st", 2, "--bias"),
      ("--like - < images.st", 2, "standard input"),
      ("--moments extra images.st", 2, "unexpected argument"),
      ("--like train.st wide.st", 1, "1 channel"),
      ("--like train.st renamed.st", 1, "cat,cow"),
      ("--like images.st images.st", 1, "\"images\""),
      ("train.st", 1, "\"dataset\""), ("wrong.st", 1, "sample 0 is 2"), ("empty.st", 1, "images"),
      ("short.st", 1, "unexpected end"), ("long.st", 1, "goes on"),
      ("/dev/null", 1, "empty"), ("missing.st", 1, "missing.st"),
    ]
    for (arguments, status, phrase) in cases {
      let run = try Tools.shell("patchify -o out.st \(arguments)", in: folder)
      #expect(run.status == status, "\(arguments): \(run.status) \(run.errors)")
      #expect(run.errors.hasPrefix("patchify: "), "\(arguments): \(run.errors)")
      #expect(run.errors.contains(phrase), "\(arguments): \(run.errors)")
      #expect(folder.files == before, "\(arguments) left something behind")
      let piped = try Tools.shell("patchify \(arguments)", in: folder)
      #expect(piped.output.isEmpty && piped.status == status)
    }
  }

  @Test func aFullDiskAndAClosedPipeAreErrors() throws {
    try folder.write(images(2000), "many.st")
    for options in ["", "--moments"] {
      let full = try Tools.shell("patchify \(options) many.st > /dev/full", in: folder)
      #expect(full.status == 1 && full.errors.contains("no space left"), "\(full.errors)")
      let closed = try Tools.shell("patchify \(options) many.st | head -c 100 > x", in: folder)
      #expect(closed.status != 0)
    }
  }

  @Test func droppedDirectionsAreWarnedOf() throws {
    let loud = try Tools.shell("patchify --contrast 0 --whiten 0 images.st > x", in: folder)
    #expect(loud.status == 0 && loud.errors.contains("47 directions"), "\(loud.errors)")
    let quiet = try Tools.shell(
      "patchify --quiet --contrast 0 --whiten 0 images.st > x", in: folder)
    #expect(quiet.status == 0 && quiet.errors.isEmpty)
  }
}
