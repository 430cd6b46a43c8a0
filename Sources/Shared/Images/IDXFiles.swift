import Glibc
import Tensors

/// Data sets in the IDX files that MNIST began with (LeCun, Cortes and Burges): pictures and labels apart, each a header
/// of big-endian numbers and bytes, packed by gzip or not.
package enum IDXDataset: String, CaseIterable, Sendable {
  /// Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017.
  case fashionMNIST = "fashion-mnist"

  /// The names of the classes, in the order of their numbers.
  package var classes: [String] {
    [
      "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
      "Ankle boot",
    ]
  }

  /// Reads the pictures of `split` in the directory `path` and takes those that `selection` chooses. Every label is
  /// checked, whether it is taken or not.
  package func read(
    _ path: String, split: Split, _ selection: Selection, _ listener: Listener
  ) throws -> ImageSet {
    guard isDirectory(path) else {
      throw Failure.data(
        "\(path) is no directory: \(rawValue) is files of pictures and of labels in one, such as "
          + "train-images-idx3-ubyte.gz")
    }
    let start = split == .train ? "train" : "t10k"
    let pictures = try file("\(start)-images", "idx3-ubyte", in: path)
    let labels = try file("\(start)-labels", "idx1-ubyte", in: path)
    for file in [pictures, labels] { try listener.found(file) }
    return try read(
      GzipInput(Input(path: pictures)), GzipInput(Input(path: labels)), selection, listener)
  }

  /// The path of a file by the names that it has in the world: with a hyphen or a point before its kind, packed or not.
  private func file(_ name: String, _ kind: String, in directory: String) throws -> String {
    let names = ["\(name)-\(kind)", "\(name).\(kind)"].flatMap { [$0, "\($0).gz"] }
    for name in names where access(joined(directory, name), F_OK) == 0 {
      return joined(directory, name)
    }
    throw Failure.data("\(directory) holds neither \(names[0]) nor \(names[1])")
  }

  package func read(
    _ pictures: Input, _ labels: Input, _ selection: Selection, _ listener: Listener
  ) throws -> ImageSet {
    try read(GzipInput(pictures), GzipInput(labels), selection, listener)
  }

  private func read(
    _ pictures: GzipInput, _ labels: GzipInput, _ selection: Selection, _ listener: Listener
  ) throws -> ImageSet {
    let sizes = try IDXDataset.header(pictures, dimensions: 3)
    let (count, height, width) = (sizes[0], sizes[1], sizes[2])
    guard [height, width].allSatisfy({ (1...1024).contains($0) }) else {
      throw Failure.data(
        "\(pictures.name) has pictures of \(width) × \(height) pixels, expected 1 to 1024 each")
    }
    let shape = ImageShape(channels: 1, height: height, width: width)
    let labelCount = try IDXDataset.header(labels, dimensions: 1)[0]
    guard labelCount == count else {
      throw Failure.data(
        "\(pictures.name) has \(count) pictures, but \(labels.name) has \(labelCount) labels")
    }
    guard count > 0 else { throw Failure.data("\(pictures.name) holds no pictures") }
    var selector = try Selector(selection, among: classes)
    let taken = ImageBuilder(shape)
    let pixels = Bytes(uninitialized: shape.count)
    let label = Bytes(uninitialized: 1)
    for number in 0..<count {
      guard try pictures.read(into: pixels.base, count: shape.count) == shape.count else {
        throw Failure.data("unexpected end of \(pictures.name): \(count) pictures are promised")
      }
      guard try labels.read(into: label.base, count: 1) == 1 else {
        throw Failure.data("unexpected end of \(labels.name): \(count) labels are promised")
      }
      let own = Int(label.base.load(as: UInt8.self))
      guard own < classes.count else {
        throw Failure.data(
          "label \(number) of \(labels.name) is \(own), expected 0 to \(classes.count - 1)")
      }
      if let own = selector.take(own) {
        try taken.append(pixels.base, label: own, index: number)
      }
      if number % 10_000 == 9_999 { listener.progress("\(number + 1) pictures read") }
    }
    for input in [pictures, labels] where try input.read(into: label.base, count: 1) > 0 {
      throw Failure.data("\(input.name) goes on after the \(count) that it promises")
    }
    return taken.finish(classes: selector.classes, keeping: try selector.finish(listener))
  }

  /// The sizes in the header: 0, 0, 8 for bytes, the number of dimensions, then 4 bytes for each, big-endian.
  private static func header(_ input: GzipInput, dimensions: Int) throws -> [Int] {
    let length = 4 + 4 * dimensions
    let bytes = Bytes(uninitialized: length)
    let got = try input.read(into: bytes.base, count: length)
    let header = bytes.withBytes { Array($0.prefix(got)) }
    guard header.prefix(4).elementsEqual([0, 0, 8, UInt8(dimensions)]) else {
      throw Failure.data(
        "\(input.name) is no IDX file of bytes in \(dimensions) dimension\(dimensions == 1 ? "" : "s")"
      )
    }
    guard got == length else { throw Failure.data("unexpected end of \(input.name) in its header") }
    return (1...dimensions).map { k in
      header[4 * k..<4 * k + 4].reduce(0) { $0 << 8 | Int($1) }
    }
  }
}
