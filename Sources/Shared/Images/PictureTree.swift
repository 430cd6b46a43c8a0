import Tensors

/// Reads a directory of PNG and JPEG files: a tree with a folder for each class, or a folder of pictures alone, which
/// have no labels then.
///
/// Classes are the folders in the order of their names' bytes, records the files `*.png`, `*.jpg` and `*.jpeg` of each in
/// that order too; `index` counts over all of them, and `names` are their paths in the directory. Hidden entries are
/// passed over, and, with a warning, folders within the folders of classes, files of other names in them, and pictures
/// beside them. Only the pictures that `selection` takes are read; it may name classes that have no folder.
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
  var tree = PictureTree(root: root)
  guard !folders.isEmpty else {
    guard all.contains(where: isPicture) else {
      throw Failure.data(
        "\(root) holds no folders, expected one a class, and no files named .png, .jpg or .jpeg")
    }
    guard selection.classes == nil, selection.perClass == nil else {
      throw Failure.data(
        "\(root) holds pictures and no folders, so that they have no classes to choose from")
    }
    var selector = try Selector(selection, among: ["all"])
    try tree.add(all, label: 0, &selector, listener)
    tree.warn(listener)
    return try tree.images(&selector, classes: [], size: size, listener)
  }
  let known = try folders + lackingClasses(selection, folders, in: root, listener)
  var selector = try Selector(selection, among: known)
  tree.others = all.filter { isPicture($0) && !folders.contains($0) }.map { joined(root, $0) }
  for (label, folder) in folders.enumerated() {
    let path = joined(root, folder)
    let entries = try entries(of: path)
    let isChosen = selector.classes.contains(folder)
    if isChosen, !entries.contains(where: { isPicture($0) && !isDirectory(joined(path, $0)) }) {
      throw emptyFolder(path, entries)
    }
    try tree.add(
      entries, of: folder, label: label, reportsOthers: isChosen, &selector, listener)
  }
  tree.warn(listener)
  return try tree.images(&selector, classes: selector.classes, size: size, listener)
}

/// The classes that `selection` names and that have no folder, which are no numbers of folders either.
private func lackingClasses(
  _ selection: Selection, _ folders: [String], in root: String, _ listener: Listener
) throws -> [String] {
  let names = selection.classes ?? []
  let lacking = names.filter { name in
    !folders.contains(name) && !(Int(name).map { folders.indices.contains($0) } ?? false)
  }
  guard lacking.count < names.count || names.isEmpty else {
    throw Failure.data(
      "\(root) has none of the folders \(names.joined(separator: ", ")), only "
        + folders.joined(separator: ", "))
  }
  if !lacking.isEmpty {
    listener.warn(
      "\(root) has no folder \(lacking.joined(separator: ", ")): no picture is of this class")
  }
  return lacking
}

private func emptyFolder(_ path: String, _ entries: [String]) -> Failure {
  let files = entries.filter { !isDirectory(joined(path, $0)) }
  if files.isEmpty, !entries.isEmpty {
    return .data(
      "\(path) holds folders and no pictures: a folder stands for a class, so that --png \(path) may be meant "
        + "(--split train or test takes the folder of that name)")
  }
  return .data(
    "\(path) holds no PNG or JPEG files" + (files.first.map { ", but others, such as \($0)" } ?? "")
  )
}

private func isPicture(_ name: String) -> Bool {
  let name = name.lowercased()
  return [".png", ".jpg", ".jpeg"].contains { name.hasSuffix($0) }
}

/// The files of a directory that are to be read.
private struct PictureTree {
  let root: String
  private var taken: [(name: String, label: Int32, index: Int)] = []
  private var found = 0
  /// Entries that are passed over.
  var others: [String] = []

  init(root: String) { self.root = root }

  /// Adds the pictures among the `entries` of `folder`, or of the root.
  mutating func add(
    _ entries: [String], of folder: String? = nil, label: Int, reportsOthers: Bool = true,
    _ selector: inout Selector, _ listener: Listener
  ) throws {
    for entry in entries {
      let name = folder.map { joined($0, entry) } ?? entry
      let path = joined(root, name)
      guard isPicture(entry), !isDirectory(path) else {
        if reportsOthers { others.append(path) }
        continue
      }
      try listener.found(path)
      if let label = selector.take(label) { taken.append((name, label, found)) }
      found += 1
    }
  }

  func warn(_ listener: Listener) {
    guard let first = others.first else { return }
    listener.warn(
      others.count == 1
        ? "\(first) is no file named .png, .jpg or .jpeg in the folder of a class: passed over"
        : "\(others.count) entries are no files named .png, .jpg or .jpeg in the folder of a class: passed over, such "
          + "as \(first)")
  }

  /// Reads the pictures.
  mutating func images(
    _ selector: inout Selector, classes: [String], size: (width: Int, height: Int)?,
    _ listener: Listener
  ) throws -> ImageSet {
    if let kept = try selector.finish(listener) { taken = kept.map { taken[$0] } }
    var images: ImageBuilder?
    var first: Picture?
    var anyColour = false
    for (done, file) in taken.enumerated() {
      let path = joined(root, file.name)
      let picture = try readPicture(path: path)
      anyColour = anyColour || picture.channels == 3
      if let first, size == nil, (first.width, first.height) != (picture.width, picture.height) {
        throw Failure.data(
          "\(path) has \(picture.width)x\(picture.height) pixels, "
            + "\(joined(root, taken[0].name)) \(first.width)x\(first.height): --resize makes them equal"
        )
      }
      first = first ?? picture
      let planes = try planes(of: picture, size: size, path: path)
      let builder = images ?? ImageBuilder(planes.shape)
      images = builder
      try builder.append(
        planes.bytes.base, label: file.label, index: file.index, name: file.name)
      listener.progress("\(done + 1) of \(taken.count) pictures read")
    }
    guard let all = images?.finish(classes: classes, keeping: nil) else {
      throw Failure.data("there are no pictures")
    }
    return anyColour ? all : all.firstChannel()
  }
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
  let one = ImageSet(classes: [], shape: shape, pixels: pixels, labels: nil, index: [0])
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
    return with(gray, pixels)
  }
}
