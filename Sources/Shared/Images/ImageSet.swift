import Schema
import Tensors

/// Images of one size, each with its place in the source and, if it is known, its class.
package struct ImageSet {
  /// The names of the classes; a label is a place in this list. None if the images have no labels.
  package let classes: [String]
  package let shape: ImageShape
  /// `count × channels × height × width` values.
  package let pixels: Bytes
  package let labels: [Int32]?
  /// The number of each image's record in its source.
  package let index: [Int32]
  /// The name of each image's file, if it has one of its own.
  package let names: [String]?

  package init(
    classes: [String], shape: ImageShape, pixels: Bytes, labels: [Int32]?, index: [Int32],
    names: [String]? = nil
  ) {
    precondition((labels?.count ?? index.count) == index.count, "a label for each image")
    precondition((names?.count ?? index.count) == index.count, "a name for each image")
    precondition(pixels.count == index.count * shape.count, "the pixels of each image")
    self.names = names
    self.classes = classes
    self.shape = shape
    self.pixels = pixels
    self.labels = labels
    self.index = index
  }

  /// The images of a bundle of kind `images`, without labels and names. Throws `Failure.data` if it holds none.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.images)
    let tensor = try bundle.require(.images)
    guard tensor.count > 0 else {
      throw Failure.data(
        "tensor \"images\" of \(bundle.name) is \(tensor.summary): it has no images")
    }
    self.init(
      classes: [],
      shape: ImageShape(
        channels: tensor.shape[1], height: tensor.shape[2], width: tensor.shape[3]),
      pixels: tensor.bytes, labels: nil, index: (0..<tensor.shape[0]).map { Int32($0) })
  }

  package var count: Int { index.count }

  /// The values of image `i`, channel after channel.
  package func image(_ i: Int) -> UnsafePointer<UInt8> {
    UnsafePointer(pixels.base.assumingMemoryBound(to: UInt8.self) + i * shape.count)
  }

  /// The set as a bundle of kind `images`; `metadata` are added by the run.
  package func bundle(metadata: [String: String]) throws -> Bundle {
    var bundle = Bundle(
      kind: .images,
      tensors: [
        "images": Tensor(
          type: .u8, shape: [count, shape.channels, shape.height, shape.width], bytes: pixels),
        "index": Tensor(index),
      ], metadata: metadata)
    bundle[.labels] = labels.map { Tensor($0) }
    bundle[.names] = try names.map { try Tensor(names: $0) }
    if !classes.isEmpty {
      let isPlain = classes.allSatisfy { !$0.contains(",") } && !classes[0].hasPrefix("[\"")
      bundle.metadata["classes"] = isPlain ? classes.joined(separator: ",") : quotedArray(classes)
    }
    return bundle
  }
}

/// The size of an image: its channels are planes of `height × width` values, one after another.
package struct ImageShape: Equatable, Sendable {
  package let channels: Int
  package let height: Int
  package let width: Int

  package init(channels: Int, height: Int, width: Int) {
    precondition(channels > 0 && height > 0 && width > 0, "an image has at least one value")
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// Values of a channel.
  package var plane: Int { height * width }
  /// Values of an image.
  package var count: Int { channels * plane }
}

/// Room for `count` images.
func reserve(_ count: Int, _ shape: ImageShape) throws -> Bytes {
  try expectRoom(for: count, shape)
  return Bytes(uninitialized: count * shape.count)
}

/// Throws if `count` images do not fit into this machine's memory.
func expectRoom(for count: Int, _ shape: ImageShape) throws {
  try expectMemory(
    Double(count) * Double(shape.count),
    for: "\(count) images of \(shape.width)x\(shape.height) pixels")
}
