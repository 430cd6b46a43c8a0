import Foundation
import Tensors
import Testing

/// `cifar-extract --dataset fashion-mnist DIR`.
@Suite struct IDXTests {
  private let folder: Folder

  /// Twelve pictures of 3 × 2 pixels for training, four for the test, packed or not.
  init() throws {
    folder = try Folder()
    for (name, count) in [("train", 12), ("t10k", 4)] {
      let pixels = (0..<count * 6).map { UInt8($0 * 3 % 251) }
      let pictures = Data([0, 0, 8, 3, 0, 0, 0, UInt8(count), 0, 0, 0, 2, 0, 0, 0, 3] + pixels)
      let labels = Data([0, 0, 8, 1, 0, 0, 0, UInt8(count)] + (0..<count).map { UInt8($0 % 10) })
      try pictures.write(to: folder.url("\(name)-images-idx3-ubyte"))
      try labels.write(to: folder.url("\(name)-labels-idx1-ubyte"))
    }
    let run = try Tools.shell(
      """
      set -e
      mkdir plain packed points; cp *ubyte plain
      for file in *ubyte; do gzip -n <$file >packed/$file.gz; mv $file points/${file/-idx/.idx}; done
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  @Test func filesArePackedOrNot() throws {
    var first: Tensors.Bundle?
    for directory in ["plain", "packed", "points"] {
      let run = try Tools.run(
        "cifar-extract", ["--dataset", "fashion-mnist", directory, "-o", "out"], in: folder)
      #expect(run.status == 0, "\(run.errors)")
      let images = try folder.read("out")
      #expect(images.tensors["images"]?.shape == [12, 1, 2, 3])
      #expect(images.tensors["images"]?.doubles == (0..<72).map { Double($0 * 3 % 251) })
      #expect(images.tensors["labels"]?.doubles == (0..<12).map { Double($0 % 10) })
      #expect(images.metadata["classes"]?.contains("T-shirt/top,Trouser,Pullover") == true)
      #expect(
        first == nil || first?.tensors["images"]?.doubles == images.tensors["images"]?.doubles)
      first = images
    }
  }

  @Test func choicesAreThoseOfRecords() throws {
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --dataset fashion-mnist --split test packed -o test
      cifar-extract --dataset fashion-mnist --classes 'Trouser,Ankle boot' --flip packed -o two
      cifar-extract --dataset fashion-mnist --classes 9,1 --range 1:3 plain -o digits
      patchify --quiet --size 2 --stride 1 two -o patches
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("test").tensors["labels"]?.doubles == [0, 1, 2, 3])
    #expect(try folder.read("two").tensors["index"]?.doubles == [1, 1, 9, 9, 11, 11])
    #expect(try folder.read("digits").metadata["classes"] == "Ankle boot,Trouser")
    #expect(try folder.read("digits").tensors["index"]?.doubles == [9, 11])
  }

  @Test func damageIsNamed() throws {
    func refused(_ script: String, _ message: String) throws {
      let run = try Tools.shell(
        """
        rm -rf bad; cp -r packed bad; cd bad; { \(script); }; cd ..
        cifar-extract --dataset fashion-mnist bad -o out
        """, in: folder)
      #expect(run.status == 1 && run.errors.contains(message), "\(script): \(run.errors)")
      #expect(!folder.files.contains("out"))
    }
    let pictures = "train-images-idx3-ubyte.gz"
    let labels = "train-labels-idx1-ubyte.gz"
    try refused("rm \(labels)", "holds neither train-labels-idx1-ubyte nor")
    try refused("truncate -s -4 \(pictures)", "unexpected end of bad/\(pictures)")
    try refused("printf 'rubbish' >>\(pictures)", "damaged")
    try refused(
      "zcat \(pictures) | head -c 40 | gzip >x; mv x \(pictures)", "12 pictures are promised")
    try refused("(zcat \(pictures); echo) | gzip >x; mv x \(pictures)", "goes on after the 12")
    try refused("mv \(labels) \(pictures)", "holds neither")
    try refused("cp t10k-labels-idx1-ubyte.gz \(labels)", "has 12 pictures, but")
    try refused("cp \(labels) \(pictures)", "is no IDX file of bytes in 3 dimensions")
    try refused(
      "(printf '\\0\\0\\10\\1\\0\\0\\0\\14'; printf 'ABCDEFGHIJKL') >train-labels-idx1-ubyte",
      "label 0 of bad/train-labels-idx1-ubyte is 65")
    for arguments in [[], ["plain", "packed"], ["-"]] as [[String]] {
      let run = try Tools.run(
        "cifar-extract", ["--dataset", "fashion-mnist"] + arguments, in: folder)
      #expect(run.status == 2 && run.errors.contains("needs one directory"), "\(run.errors)")
    }
    let file = try Tools.run(
      "cifar-extract", ["--dataset", "fashion-mnist", "plain/train-images-idx3-ubyte"], in: folder)
    #expect(file.status == 1 && file.errors.contains("is no directory"), "\(file.errors)")
  }
}
