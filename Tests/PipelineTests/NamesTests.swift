import Foundation
import Schema
import Tensors
import Testing

/// Names that are odd, and what is taken for a number or a bundle and is none.
@Suite struct NamesTests {
  private static let odd = "a\u{1B}[31m\u{202E}\u{9B}\u{7F}\u{2028}b"

  /// Only what a terminal may show: no control but the one line's end, nothing that turns directions.
  private func isPlain(_ text: String) -> Bool {
    text.hasSuffix("\n") && terminalText(String(text.dropLast())) == text.dropLast()
  }

  @Test func namesOfFilesAreEscaped() throws {
    let folder = try Folder()
    let odd = NamesTests.odd
    try FileManager.default.createDirectory(
      at: folder.url("tree/\(odd)"), withIntermediateDirectories: true)
    try Data("a,b\n1,x\n".utf8).write(to: folder.url("\(odd).csv"))
    for (tool, arguments) in [
      ("cifar-extract", ["--png", "tree"]), ("cifar-extract", [odd]), ("tensor", ["show", odd]),
      ("tensor", ["show", "\(odd).csv"]), ("tensor", ["from-csv", "\(odd).csv"]),
      ("patchify", ["-o", "\(odd)/x", odd]),
      ("evaluate", ["--data", odd, odd]), ("solve", ["--activation", "1,0,0", "--beta", odd, odd]),
      ("recover", ["--\(odd)"]), ("baseline", [odd]), ("arrangements", ["--exact", odd, odd]),
    ] {
      let run = try Tools.run(tool, arguments, in: folder)
      #expect(
        run.status > 0 && run.errors.contains("\\u001b[31m\\u202e\\u009b"), "\(tool): \(run.errors)"
      )
      #expect(isPlain(run.errors), "\(tool) \(arguments)")
    }
  }

  @Test func metadataAreEscaped() throws {
    let folder = try Folder()
    let odd = NamesTests.odd
    var bundle = Bundle(
      kind: .images,
      tensors: [
        "images": Tensor(type: .u8, shape: [2, 1, 4, 4]), "labels": Tensor([Int32(0), 7]),
      ],
      metadata: ["classes": "\(odd),c", odd: odd])
    try folder.write(bundle, "images")
    let shown = try Tools.run("tensor", ["show", "images"], in: folder)
    #expect(shown.status == 0 && shown.text.contains("\\u202e") && shown.text.contains("\\u2028"))
    #expect(shown.text.split(separator: "\n").allSatisfy { isPlain("\($0)\n") })
    let run = try Tools.run("patchify", ["images"], in: folder)
    #expect(run.failed(1, "patchify") && isPlain(run.errors), "\(run.errors)")
    bundle.metadata["kind"] = odd
    try folder.write(bundle, "kind")
    for tool in ["patchify", "recover", "baseline"] {
      let run = try Tools.run(tool, ["kind"], in: folder)
      #expect(run.failed(1, tool) && isPlain(run.errors), "\(run.errors)")
    }
  }

  @Test func namesThatAreNotUTF8AreRefused() throws {
    for (script, words) in [
      ("cifar-extract --synthetic 2 -o $'caf\\xe9'", "the argument \"caf\\xe9\" is not UTF-8"),
      (
        "mkdir -p tree/$'caf\\xe9'; cifar-extract --png tree",
        "the name \"caf\\xe9\" in tree is not UTF-8"
      ),
      (
        "mkdir -p tree/a; touch tree/a/$'\\xff.png'; cifar-extract --png tree",
        "the name \"\\xff.png\" in tree/a is not UTF-8"
      ),
      (
        "ln -s $'caf\\xe9' link; cifar-extract --synthetic 2 -o link",
        "\"caf\\xe9\", a name that is not UTF-8"
      ),
    ] {
      let folder = try Folder()
      let run = try Tools.shell(script, in: folder)
      #expect(run.status == 1 || run.status == 2)
      #expect(run.errors.contains(words), "\(run.errors)")
      #expect(folder.files.allSatisfy { $0 == "tree" || $0 == "link" })
    }
  }

  @Test func whatIsNoPictureIsNamed() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      mkdir -p tree/a tree/b; cifar-extract --synthetic 2 --contact-sheet tree/a/1.png -o images
      cp tree/a/1.png tree/b; touch tree/a/notes.txt
      """, in: folder)
    #expect(made.status == 0)
    let run = try Tools.run("cifar-extract", ["--png", "tree", "-o", "out"], in: folder)
    #expect(run.status == 0)
    #expect(
      run.errors
        == "cifar-extract: warning: tree/a/notes.txt is no file named .png, .jpg or .jpeg in the folder of a class: passed over\n"
    )
    let chosen = try Tools.run(
      "cifar-extract", ["--png", "tree", "--classes", "b", "-o", "out"], in: folder)
    #expect(chosen.status == 0 && chosen.errors.isEmpty)
    // Pictures where none is looked for.
    #expect(
      try Tools.shell(
        "mkdir tree/b/more; cp tree/a/1.png tree/b/more; cp tree/a/1.png tree", in: folder
      )
      .status == 0)
    let nested = try Tools.run(
      "cifar-extract", ["--png", "tree", "--classes", "b", "-o", "out"], in: folder)
    #expect(nested.status == 0)
    #expect(nested.errors.contains("2 entries are no files named .png, .jpg or .jpeg in"))
    for (script, words) in [
      ("mkfifo tree/a/2.png", "tree/a/2.png is a device or a pipe"),
      ("ln -s /dev/zero tree/a/2.png", "tree/a/2.png is a device or a pipe"),
      ("truncate -s 1T tree/a/2.png", "tree/a/2.png is no picture"),
      // The header of 16384 x 16384 gray pixels, and as many bytes as could hold them.
      (
        "printf '\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0\\rIHDR\\0\\0\\x40\\0\\0\\0\\x40\\0\\x08\\0\\0\\0\\0\\x8c\\xa3\\x4f\\x58"
          + "\\0\\0\\0\\0IDAT\\x35\\xaf\\x06\\x1e' > tree/a/2.png; head -c 40000 /dev/zero >> tree/a/2.png",
        "16384x16384 pixels, more than"
      ),
    ] {
      let run = try Tools.shell(
        "\(script); timeout 300 cifar-extract --quiet --png tree; code=$?; rm tree/a/2.png; exit $code",
        in: folder)
      #expect(run.failed(1, "cifar-extract"), "\(run.status): \(run.errors)")
      #expect(run.errors.contains(words), "\(run.errors)")
    }
  }

  @Test func numbersAreWholeAndDecimal() throws {
    for text in ["1\\0005", "1\\0garbage", "0x10", "nan", "1e"] {
      let run = try Tools.shell("printf 'a,y\\n\(text),2\\n3,4\\n' | tensor from-csv --targets y")
      #expect(run.failed(1, "tensor"), "\(run.errors)")
      #expect(run.errors.contains("line 2, column 1 (\"a\")"), "\(run.errors)")
    }
    // A first line of what was meant to be numbers is no header that could be passed over.
    let first = try Tools.shell("printf 'nan,1\\n3,4\\n' | tensor from-csv --targets 2")
    #expect(
      first.failed(1, "tensor") && first.errors.contains("line 1, column 1"), "\(first.errors)")
    for call in [
      "solve --activation 1,0,0 --beta 0x1p-3", "solve --activation 0x1,0,0 --beta 1",
      "arrangements --sample 3 --threshold 0x1p4", "patchify --scale 0x0,0x1",
      "baseline --beta 0x1",
      "evaluate --data d --beta 0x1", "recover --tolerance 0x1p-9",
    ] {
      let tool = String(call.prefix { $0 != " " })
      #expect(try Tools.shell("\(call) < /dev/null").failed(2, tool), "\(call)")
    }
    let folder = try Folder()
    for value in ["1\u{0}5", "0x1p-3"] {
      let solution = Bundle(
        kind: .solution, tensors: ["z": Tensor(type: .f64, shape: [1, 1, 2, 3, 3])],
        metadata: ["activation": "1,0,\(value)"])
      try folder.write(solution, "solution")
      let run = try Tools.run("recover", ["solution"], in: folder)
      #expect(run.failed(1, "recover") && run.errors.contains("\"activation\""), "\(run.errors)")
    }
  }

  @Test func whatIsTakenForABundleIsNamed() throws {
    for (start, words) in [
      ("a,b,c\\n1,2,3\\n", "from-csv"), ("a,b\\n", "from-csv"),
      ("\\x93NUMPY\\x01\\x00aaaa", "from-npy"),
      ("\\x89PNG\\r\\n\\x1a\\naaaa", "--png"), ("PK\\x03\\x04aaaaaaa", ".pt"),
      ("\\x80\\x02}q\\x00aaaaa", "pickle"),
      ("\\x1f\\x8b\\x08\\x00aaaaaaaa", "gunzip"), ("{\\\"a\\\": [1, 2, 3]}", "JSON"),
      ("\\x08\\0\\0\\0\\0\\0\\0\\0[       ", "must start with {"),
      ("\\xff\\xff\\xff\\xff\\xff\\xff\\0\\0", "claims a header"),
    ] {
      for tool in ["tensor show", "patchify", "recover"] {
        let folder = try Folder()
        let run = try Tools.shell("printf \"\(start)\" > given; \(tool) given", in: folder)
        #expect(run.failed(1, String(tool.prefix { $0 != " " })), "\(run.errors)")
        #expect(run.errors.contains("given is no bundle: "), "\(run.errors)")
        #expect(run.errors.contains(words), "\(words): \(run.errors)")
      }
    }
  }
}
