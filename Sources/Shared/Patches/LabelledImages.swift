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
  package let labels: Tensor?
  /// F64 [n] or [n, C], finite.
  package let targets: Tensor?
  /// The metadata of the bundle.
  package let metadata: [String: String]

  /// Reads the whole of `input`; throws `Failure.data` if it is no sound bundle of labelled images.
  package init(reading input: Input) throws {
    let reader = try BundleReader(input)
    try reader.expect(.images)
    metadata = reader.metadata
    var pixels: RowSource?
    var labels: Tensor?
    var targets: Tensor?
    while let entry = reader.next {
      switch entry.name {
      case "images":
        try entry.expect([.u8], ["[n, channels, height, width]"])
        guard entry.shape[0] > 0 else { throw Failure.data("\(input.name) holds no images") }
        guard entry.shape.allSatisfy({ $0 > 0 }) else {
          throw Failure.data("tensor \"images\" has the shape \(entry.shape): images of no pixels")
        }
        pixels = try reader.readRows()
      case "labels":
        try entry.expect([.i32], ["[n]"])
        labels = try reader.readTensor()
      case "targets":
        try entry.expect([.f64], ["[n]", "[n, C]"])
        targets = try reader.readTensor()
      default:
        try reader.skipTensor()
      }
    }
    try reader.finish()

    guard let pixels else { throw Failure.data("\(input.name) has no tensor \"images\"") }
    guard labels != nil || targets != nil else {
      throw Failure.data("\(input.name) has neither a tensor \"labels\" nor \"targets\"")
    }
    for (name, tensor) in [("labels", labels), ("targets", targets)] {
      if let tensor, tensor.shape[0] != pixels.shape[0] {
        throw Failure.data(
          "tensor \(quoted(name)) has \(tensor.shape[0]) rows, but there are "
            + "\(pixels.shape[0]) images")
      }
    }
    if let labels { try LabelledImages.check(labels, classes: metadata["classes"], input.name) }
    try targets?.expectFinite("targets")
    self.pixels = pixels
    self.labels = labels
    self.targets = targets
    count = pixels.shape[0]
    shape = ImageShape(
      channels: pixels.shape[1], height: pixels.shape[2], width: pixels.shape[3])
  }

  private static func check(_ labels: Tensor, classes: String?, _ name: String) throws {
    guard let classes else {
      throw Failure.data("the metadata of \(name) has no \"classes\"")
    }
    let count = classes.split(separator: ",", omittingEmptySubsequences: false).count
    try labels.withElements(of: Int32.self) { values in
      if let row = values.firstIndex(where: { $0 < 0 || $0 >= count }) {
        throw Failure.data(
          "tensor \"labels\" holds \(values[row]) in row \(row), expected 0 to \(count - 1) "
            + "(classes: \(classes))")
      }
    }
  }
}
