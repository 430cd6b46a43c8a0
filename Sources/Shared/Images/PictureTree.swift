import Tensors

/// Reads a directory of PNG files with a folder for each class.
///
/// Classes are the folders in the order of their names' bytes, records the files `*.png` of each in that order too;
/// `index` counts over all of them. Hidden entries are passed over, and, with a warning, folders within the folders of
/// classes, files of other names in them, and pictures beside them. Only the pictures that `selection` takes are read.
/// - Parameters:
///   - size: The size to which each picture is averaged as it is read; without it all must be of one size.
///   - split: If it is given, the tree is the folder of that name in `directory`.
package func readPictureTree(
  _ directory: String, split: Split? = nil, size: (width: Int, height: Int)? = nil,
  _ selection: Selection, _ listener: Listener
) throws -> ImageSet {
  let root = split.map { joined(directory, $0.rawValue) } ?? directory
  let all = try entries(of: root)
  let folders = all.filter { isDirectory(joined(root, $0)) }
  guard !folders.isEmpty else {
    throw Failure.data("\(root) holds no folders, expected one a class")
  }
  if let odd = folders.first(where: { $0.contains(",") }) {
    throw Failure.data("the folder \(quoted(odd)) cannot name a class: it has a comma")
  }
  var selector = try Selector(selection, among: folders)
  var taken: [(path: String, label: Int32, index: Int)] = []
  var others = all.filter { isPicture($0) && !folders.contains($0) }.map { joined(root, $0) }
  var index = 0
  for (label, folder) in folders.enumerated() {
    let path = joined(root, folder)
    let entries = try entries(of: path)
    let files = entries.filter { !isDirectory(joined(path, $0)) }
    let names = files.filter(isPicture)
    if selector.classes.contains(folder) {
      let taken = Set(names)
      others += entries.filter { !taken.contains($0) }.map { joined(path, $0) }
    }
    for name in names {
      try listener.found(joined(path, name))
      if let label = selector.take(label) { taken.append((joined(path, name), label, index)) }
      index += 1
    }
    if names.isEmpty, selector.classes.contains(folder) {
      throw Failure.data(
        "\(path) holds no PNG files" + (files.first.map { ", but others, such as \($0)" } ?? ""))
    }
  }
  if let first = others.first {
    listener.warn(
      others.count == 1
        ? "\(first) is no file named .png in the folder of a class: passed over"
        : "\(others.count) entries are no files named .png in the folder of a class: passed over, such as \(first)"
    )
  }
  if let kept = try selector.finish(listener) { taken = kept.map { taken[$0] } }
  return try read(taken, classes: selector.classes, size: size, listener)
}

private func isPicture(_ name: String) -> Bool { name.lowercased().hasSuffix(".png") }

private func read(
  _ files: [(path: String, label: Int32, index: Int)], classes: [String],
  size: (width: Int, height: Int)?, _ listener: Listener
) throws -> ImageSet {
  var images: ImageBuilder?
  var first: Picture?
  var anyColour = false
  for (done, file) in files.enumerated() {
    let picture = try readPNG(path: file.path)
    anyColour = anyColour || picture.channels == 3
    if let first, size == nil, (first.width, first.height) != (picture.width, picture.height) {
      throw Failure.data(
        "\(file.path) has \(picture.width)x\(picture.height) pixels, "
          + "\(files[0].path) \(first.width)x\(first.height): --resize makes them equal")
    }
    first = first ?? picture
    let planes = try planes(of: picture, size: size, path: file.path)
    let builder = images ?? ImageBuilder(planes.shape)
    images = builder
    try builder.append(planes.bytes.base, label: file.label, index: file.index)
    listener.progress("\(done + 1) of \(files.count) pictures read")
  }
  guard let all = images?.finish(classes: classes, keeping: nil) else {
    throw Failure.data("there are no pictures")
  }
  return anyColour ? all : all.firstChannel()
}

/// The picture as three planes (a gray one three times, because it is not yet known whether all are gray), averaged to
/// `size`.
private func planes(
  of picture: Picture, size: (width: Int, height: Int)?, path: String
) throws -> (shape: ImageShape, bytes: Bytes) {
  let shape = ImageShape(channels: 3, height: picture.height, width: picture.width)
  let pixels = try reserve(1, shape)
  let target = pixels.base.assumingMemoryBound(to: UInt8.self)
  picture.pixels.withUnsafeBufferPointer { source in
    for channel in 0..<3 {
      let plane = target + channel * shape.plane
      let offset = min(channel, picture.channels - 1)
      for p in 0..<shape.plane { plane[p] = source[p * picture.channels + offset] }
    }
  }
  guard let size else { return (shape, pixels) }
  let one = ImageSet(classes: [], shape: shape, pixels: pixels, labels: [0], index: [0])
  let small = try one.resized(width: size.width, height: size.height)
  return (small.shape, small.pixels)
}

extension ImageSet {
  /// The first channel alone.
  fileprivate func firstChannel() -> ImageSet {
    let gray = ImageShape(channels: 1, height: shape.height, width: shape.width)
    for i in 1..<max(count, 1) {
      (pixels.base + i * gray.plane).copyMemory(from: image(i), byteCount: gray.plane)
    }
    pixels.resize(to: count * gray.plane)
    return ImageSet(classes: classes, shape: gray, pixels: pixels, labels: labels, index: index)
  }
}
