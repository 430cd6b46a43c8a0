import Schema
import Tensors

/// An `images` bundle, checked from end to end, with the pixels set aside to be read in blocks.
package struct LabelledImages {
  /// U8 [n, channels, height, width].
  package let pixels: RowSource
  /// n, at least 1.
  package let count: Int
  package let shape: ImageShape
  /// I32 [n], each below the number of classes.
  package private(set) var labels: Tensor?
  /// F64 [n] or [n, C], finite.
  package let targets: Tensor?
  /// U8 [n, L], the names of the images.
  package let names: Tensor?
  /// The metadata of the bundle.
  package private(set) var metadata: [String: String]

  /// Reads the whole of `input`; throws `Failure.data` if it is no sound bundle of images. They may have neither labels
  /// nor targets.
  package init(reading input: Input) throws { try self.init(BundleReader(input)) }

  /// As `init(reading:)`, of what comes after the header.
  package init(_ reader: BundleReader) throws {
    let input = reader.input
    try reader.expect(.images)
    metadata = reader.metadata
    var pixels: RowSource?
    var labels: Tensor?
    var targets: Tensor?
    var names: Tensor?
    while let entry = reader.next {
      switch entry.name {
      case "images":
        try entry.expect([.u8], ["[n, channels, height, width]"], of: input.name)
        guard entry.shape[0] > 0 else { throw Failure.data("\(input.name) holds no images") }
        guard entry.shape.allSatisfy({ $0 > 0 }) else {
          throw Failure.data(
            "tensor \"images\" of \(input.name) has the shape \(entry.shape): images of no pixels")
        }
        pixels = try reader.readRows()
      case "labels":
        try entry.expect([.i32], ["[n]"], of: input.name)
        labels = try reader.readTensor()
      case "targets":
        try entry.expect([.f64], ["[n]", "[n, C]"], of: input.name)
        targets = try reader.readTensor()
      case "names":
        names = try reader.readTensor()
      default:
        try reader.skipTensor()
      }
    }
    try reader.finish()

    guard let pixels else { throw Failure.data("\(input.name) has no tensor \"images\"") }
    for (name, tensor) in [("labels", labels), ("targets", targets)] {
      if let tensor, tensor.shape[0] != pixels.shape[0] {
        throw Failure.data(
          "tensor \(quoted(name)) of \(input.name) has \(tensor.shape[0]) rows, but there are "
            + "\(pixels.shape[0]) images")
      }
    }
    var answers = Bundle(metadata: metadata, name: input.name)
    (answers[.labels], answers[.targets], answers[.names]) = (labels, targets, names)
    _ = try answers.sampleNames(pixels.shape[0])
    guard labels == nil || metadata["classes"] != nil else {
      throw Failure.data("the metadata of \(input.name) has no \"classes\"")
    }
    try answers.expectSoundAnswers(samples: pixels.shape[0])
    self.pixels = pixels
    self.labels = labels
    self.names = names
    self.targets = targets
    count = pixels.shape[0]
    shape = ImageShape(
      channels: pixels.shape[1], height: pixels.shape[2], width: pixels.shape[3])
  }

  /// Gives the labels the numbers of the classes of `model`. Throws `Failure.data` if an image has another class.
  mutating func renumber(like model: DataModel, of name: String) throws {
    var answers = Bundle(kind: .images, tensors: [:], metadata: metadata)
    answers.name = name
    answers[.labels] = labels
    answers = try model.conform(answers)
    (labels, metadata) = (answers[.labels], answers.metadata)
  }
}
