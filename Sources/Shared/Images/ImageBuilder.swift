import Tensors

/// Collects images of one size if their number is not known beforehand.
final class ImageBuilder {
  private let shape: ImageShape
  private let pixels: Bytes
  private var labels: [Int32] = []
  private var index: [Int32] = []
  private var names: [String] = []

  init(_ shape: ImageShape) {
    self.shape = shape
    pixels = Bytes(uninitialized: max(1, (1 << 20) / shape.count) * shape.count)
  }

  /// Adds the image at `source`, `shape.count` bytes. All images have names, or none.
  func append(
    _ source: UnsafeRawPointer, label: Int32, index number: Int, name: String? = nil
  ) throws {
    guard let number = Int32(exactly: number) else {
      throw Failure.data("more than \(Int32.max) records")
    }
    let offset = labels.count * shape.count
    if offset == pixels.count {
      try expectRoom(for: labels.count + 1, shape)
      pixels.resize(to: 2 * offset)
    }
    (pixels.base + offset).copyMemory(from: source, byteCount: shape.count)
    labels.append(label)
    index.append(number)
    if let name { names.append(name) }
  }

  /// The images at the places `kept`, which ascend, or all images; without classes they have no labels. The builder
  /// cannot be used after this.
  func finish(classes: [String], keeping kept: [Int]?) -> ImageSet {
    if let kept {
      // Images move only to the front, so that none is overwritten that is still to be moved.
      for (to, from) in kept.enumerated() where to != from {
        (pixels.base + to * shape.count).copyMemory(
          from: pixels.base + from * shape.count, byteCount: shape.count)
      }
      labels = kept.map { labels[$0] }
      index = kept.map { index[$0] }
      if !names.isEmpty { names = kept.map { names[$0] } }
    }
    pixels.resize(to: labels.count * shape.count)
    return ImageSet(
      classes: classes, shape: shape, pixels: pixels, labels: classes.isEmpty ? nil : labels,
      index: index, names: names.isEmpty ? nil : names)
  }
}
