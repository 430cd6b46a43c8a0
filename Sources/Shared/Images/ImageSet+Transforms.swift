import Tensors

extension ImageSet {
  /// The images averaged to `width × height` pixels; see `AreaAverage`.
  package func resized(width: Int, height: Int) throws -> ImageSet {
    if (width, height) == (shape.width, shape.height) { return self }
    guard shape.plane <= AreaAverage.limit else {
      throw Failure.data(
        "images of \(shape.width)x\(shape.height) pixels are too large to be averaged")
    }
    let small = ImageShape(channels: shape.channels, height: height, width: width)
    let target = try reserve(count, small)
    let average = AreaAverage(
      height: shape.height, width: shape.width, toHeight: height, toWidth: width)
    let planes = target.base.assumingMemoryBound(to: UInt8.self)
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: average.scratch) { sums in
      for plane in 0..<count * shape.channels {
        average.apply(
          image(0) + plane * shape.plane, to: planes + plane * small.plane,
          sums: sums.baseAddress!)
      }
    }
    return with(small, target)
  }

  /// The images with every pixel repeated, to `width × height` pixels, which may be no multiple.
  package func magnified(width: Int, height: Int) throws -> ImageSet {
    if (width, height) == (shape.width, shape.height) { return self }
    let large = ImageShape(channels: shape.channels, height: height, width: width)
    let target = try reserve(count, large)
    let planes = target.base.assumingMemoryBound(to: UInt8.self)
    for plane in 0..<count * shape.channels {
      let (source, copy) = (image(0) + plane * shape.plane, planes + plane * large.plane)
      for y in 0..<height {
        let line = source + y * shape.height / height * shape.width
        for x in 0..<width { copy[y * width + x] = line[x * shape.width / width] }
      }
    }
    return with(large, target)
  }

  /// The luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, in one channel: its weights in 2⁻¹⁶,
  /// rounded to nearest, so that the values are those of Pillow's mode "L".
  package func grayscale() throws -> ImageSet {
    if shape.channels == 1 { return self }
    let gray = ImageShape(channels: 1, height: shape.height, width: shape.width)
    let target = try reserve(count, gray)
    let luma = target.base.assumingMemoryBound(to: UInt8.self)
    for i in 0..<count {
      let (red, out) = (image(i), luma + i * gray.plane)
      let (green, blue) = (red + gray.plane, red + 2 * gray.plane)
      for p in 0..<gray.plane {
        let sum = 19595 &* UInt32(red[p]) &+ 38470 &* UInt32(green[p]) &+ 7471 &* UInt32(blue[p])
        out[p] = UInt8(truncatingIfNeeded: (sum &+ 0x8000) &>> 16)
      }
    }
    return with(gray, target)
  }

  /// Every image followed by its mirror image (left and right exchanged), which has its label and
  /// index.
  package func withMirrors() throws -> ImageSet {
    let target = try reserve(2 * count, shape)
    let doubled = target.base.assumingMemoryBound(to: UInt8.self)
    let width = shape.width
    for i in 0..<count {
      let (source, copy) = (image(i), doubled + 2 * i * shape.count)
      copy.update(from: source, count: shape.count)
      let mirror = copy + shape.count
      for row in stride(from: 0, to: shape.count, by: width) {
        let (from, to) = (source + row, mirror + row)
        for x in 0..<width { to[x] = from[width &- 1 &- x] }
      }
    }
    return ImageSet(
      classes: classes, shape: shape, pixels: target,
      labels: labels.map { $0.flatMap { [$0, $0] } }, index: index.flatMap { [$0, $0] },
      names: names.map { $0.flatMap { [$0, $0] } })
  }

  /// The same images with other pixels.
  func with(_ shape: ImageShape, _ pixels: Bytes) -> ImageSet {
    ImageSet(
      classes: classes, shape: shape, pixels: pixels, labels: labels, index: index, names: names)
  }
}
