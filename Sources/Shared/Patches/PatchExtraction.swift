import LinearAlgebra
import Schema
import Tensors

/// The product of the patches: the patches themselves; the images, from which readers cut them; or their pooled
/// moments.
package enum PatchProduct: String, CaseIterable, MetadataValue {
  case dataset, deferred, moments

  package var kind: Kind { self == .moments ? .moments : .dataset }
  /// The tensor's name in the bundle.
  package var tensor: String {
    switch self {
    case .dataset: "x"
    case .deferred: "images"
    case .moments: "moments"
    }
  }
}

/// The way from a bundle of images to one of features, in blocks: whatever the number of images, only a block of them
/// and its results are in memory.
///
/// The result does not depend on the size of the blocks.
package struct PatchExtraction {
  package let images: LabelledImages
  package let steps: PatchSteps
  /// What the images go through first.
  package let layers: LayerStack
  package let grid: PatchGrid
  package let product: PatchProduct
  /// F32 or F64: the type of the features, also if they are yet to be cut.
  package let type: ElementType
  /// How many bytes of output, or of input if there is no output, a block aims at.
  package var blockBytes = 4 << 20
  /// Called with the number of images done, and the number to do: all images once for each pass.
  package var progress: ((Int, Int) -> Void)?

  /// The most features for which second moments are computed: a matrix of them is 2 GB.
  private static let limit = 16_384
  /// The most bytes that one image may become.
  private static let bytesLimit = 1 << 30

  /// Throws `Failure.usage` if the steps do not suit the images.
  package init(
    images: LabelledImages, steps: PatchSteps, layers: LayerStack = LayerStack(),
    product: PatchProduct, type: ElementType
  ) throws {
    precondition(type == .f32 || type == .f64, "features are F32 or F64")
    self.images = images
    self.steps = steps
    self.layers = layers
    self.product = product
    self.type = type
    grid = try PatchGrid(
      image: layers.map(of: images.shape, for: "the input"), window: steps.window,
      pooling: steps.pooling, mirrored: steps.mirrors)
    if let components = steps.components, components > grid.features {
      throw Failure.usage(
        "--components \(components) is more than the \(grid.features) features of a patch")
    }
    let squared = steps.whitening != nil ? grid.features : steps.components ?? grid.features
    if steps.whitening != nil || product == .moments, squared > PatchExtraction.limit {
      throw Failure.usage(
        "a patch has \(squared) features, too many for second moments: the limit is "
          + "\(PatchExtraction.limit)")
    }
    let width = (steps.components ?? grid.features) + (steps.bias ? 1 : 0)
    if product == .moments {
      try PatchExtraction.expectRoom(
        grid.regions, PooledMoments.length(width), type, Failure.usage)
    } else {
      try PatchExtraction.expectRoom(grid.count, width, type, Failure.usage)
    }
  }

  /// Throws if `rows` × `columns` numbers of `type` are too many for one image.
  static func expectRoom(
    _ rows: Int, _ columns: Int, _ type: ElementType, _ failure: (String) -> Failure
  ) throws {
    let (numbers, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow, numbers <= bytesLimit / type.size else {
      throw failure("every image would become \(rows) × \(columns) numbers, which is too much")
    }
  }

  private var bounds: FeatureBounds { FeatureBounds(grid: grid, steps: steps, layers: layers) }

  // MARK: Fitting

  /// Reads all images and fits the statistics that the steps need; `nil` if they need none. `rank` is that of the
  /// patches' covariance, if it was computed.
  package func fit() throws -> (fit: PatchFit, rank: Int?)? {
    guard steps.needsFit else { return nil }
    // This bounds the sums: there is no mean yet, and nothing is whitened.
    try bounds.expectFinite(nil, images: images.count, product: .deferred, type: .f64)
    let squares = steps.whitening != nil
    // Every thread has a matrix of its own: not too many of them.
    let room = (1 << 30) / (squares ? grid.features * grid.features * 8 : 8)
    let batch = PatchTransform.batch(grid)
    let workers = max(1, min(Threads.count, room, images.count / batch))
    let order = Array(0..<grid.count)
    let transforms = (0..<workers).map { _ in
      PatchTransform(
        grid: grid, steps: steps, layers: layers, fit: nil, bias: false, order: order)
    }
    let sums = (0..<workers).map { _ in
      PatchStatistics(
        features: grid.features, rows: batch * grid.count, covariance: squares,
        squares: steps.standardizes)
    }
    try forEachBlock(bytesPerImage: images.shape.count, pass: 0) { pixels, block in
      forEachBatch(of: block, workers: workers) { worker, range in
        let rows = transforms[worker].rows(
          pixels + (range.lowerBound - block.lowerBound) * images.shape.count, count: range.count)
        sums[worker].add(rows, rows: range.count * grid.count)
      }
    }
    for other in sums.dropFirst() { sums[0].add(other) }
    let mean = sums[0].mean
    if steps.standardizes {
      return (PatchFit(channels(mean, squares: sums[0].meanSquares)), nil)
    }
    guard let epsilon = steps.whitening, let covariance = sums[0].covariance() else {
      return (PatchFit(mean: mean, whiten: nil), nil)
    }
    let (whiten, rank) = try Whitening.matrix(
      covariance: covariance, epsilon: epsilon, components: steps.components)
    return (PatchFit(mean: mean, whiten: whiten), rank)
  }

  /// Mean and deviation of each channel, for each feature, of those of all features; a constant channel stays.
  private func channels(_ mean: [Double], squares: [Double]) -> Standardization {
    let size = grid.patchHeight * grid.patchWidth
    var (shift, divisor) = ([Double](), [Double]())
    for channel in 0..<grid.image.channels {
      let own = channel * size..<(channel + 1) * size
      let centre = mean[own].reduce(0, +) / Double(size)
      let square = squares[own].reduce(0, +) / Double(size)
      let variance = max(0, square - centre * centre)
      // Of a constant the difference of the two is their rounding.
      let isConstant = variance <= 1e-13 * square
      shift += [Double](repeating: isConstant ? 0 : centre, count: size)
      divisor += [Double](repeating: isConstant ? 1 : variance.squareRoot(), count: size)
    }
    return Standardization(
      shift: shift + (steps.bias ? [0] : []), divisor: divisor + (steps.bias ? [1] : []))
  }

  // MARK: Writing

  /// Writes the bundle to `output`, which the caller finishes. `metadata` are those of this command.
  package func write(
    to output: Output, fit: PatchFit?, metadata: [String: String]
  ) throws {
    precondition((fit != nil) == steps.needsFit, "the steps need a fit, or need none")
    try bounds.expectFinite(fit, images: images.count, product: product, type: type)
    let width = PatchTransform.width(grid: grid, fit: fit, bias: steps.bias)
    let imageShape = imageShape(width: width)
    var small: [String: Tensor] = [:]
    small["labels"] = images.labels
    small["targets"] = images.targets
    small["names"] = images.names
    small["mean"] = fit?.mean.map { Tensor($0) }
    small["shift"] = fit?.standardization.map { Tensor($0.shift) }
    small["divisor"] = fit?.standardization.map { Tensor($0.divisor) }
    small["whiten"] = fit?.whiten.map { Tensor($0.values, shape: [$0.rows, $0.columns]) }
    if product != .moments { small["pool"] = Tensor(grid.pool) }
    let layers = layers.bundle
    small.merge(layers.tensors) { $1 }

    // Pixels stay as they came.
    let stored = product == .deferred ? ElementType.u8 : type
    let bytesPerImage = imageShape.reduce(stored.size, *)
    var entries = small.map { (name: $0.key, type: $0.value.type, shape: $0.value.shape) }
    entries.append((product.tensor, stored, [images.count] + imageShape))
    entries.sort { $0.name < $1.name }
    let writer = try BundleWriter(
      output, tensors: entries,
      metadata: metadata.merging(ownMetadata) { $1 }.merging(layers.metadata) { $1 })
    for entry in entries {
      if let tensor = small[entry.name] {
        try writer.write(
          UnsafeRawBufferPointer(start: tensor.bytes.base, count: tensor.bytes.count))
      } else if product == .deferred {
        try writeImages(writer)
      } else {
        try writeFeatures(writer, fit: fit, bytesPerImage: bytesPerImage)
      }
    }
    try writer.finish()
  }

  /// The shape of an image's part of the product: [K, d]; the image's own; or for moments [R, d(d+1)/2 + d].
  private func imageShape(width: Int) -> [Int] {
    switch product {
    case .dataset: [grid.count, width]
    case .deferred: [images.shape.channels, images.shape.height, images.shape.width]
    case .moments: [grid.regions, PooledMoments.length(width)]
    }
  }

  /// The kind, the choices, and the properties of the images.
  private var ownMetadata: [String: String] {
    var result = steps.metadata
    result["kind"] = product.kind.rawValue
    if product == .deferred { result["dtype"] = type.rawValue }
    result["classes"] = images.metadata["classes"]
    result["channels"] = "\(images.shape.channels)"
    result["height"] = "\(images.shape.height)"
    result["width"] = "\(images.shape.width)"
    return result
  }

  private func writeImages(_ writer: BundleWriter) throws {
    try forEachBlock(bytesPerImage: images.shape.count, pass: steps.needsFit ? 1 : 0) {
      pixels, range in
      try writer.write(
        UnsafeRawBufferPointer(start: pixels, count: range.count * images.shape.count))
    }
  }

  private func writeFeatures(
    _ writer: BundleWriter, fit: PatchFit?, bytesPerImage: Int
  ) throws {
    let (order, ranges) =
      product == .moments ? grid.byRegion : (Array(0..<grid.count), [])
    let workers = max(1, min(Threads.count, images.count / PatchTransform.batch(grid)))
    let transforms = (0..<workers).map { _ in
      PatchTransform(
        grid: grid, steps: steps, layers: layers, fit: fit, bias: steps.bias, order: order)
    }
    let width = transforms[0].width
    let moments = (0..<workers).map { _ in
      product == .moments ? PooledMoments(width: width, ranges: ranges) : nil
    }
    let blocks = BlockWriter(
      writer, size: imagesPerBlock(bytesPerImage: bytesPerImage) * bytesPerImage)
    try forEachBlock(bytesPerImage: bytesPerImage, pass: steps.needsFit ? 1 : 0) { pixels, range in
      let block = blocks.target
      forEachBatch(of: range, workers: workers) { worker, batch in
        let first = batch.lowerBound - range.lowerBound
        let rows = transforms[worker].rows(
          pixels + first * images.shape.count, count: batch.count)
        let target = block + first * bytesPerImage
        if let moments = moments[worker] {
          for image in 0..<batch.count {
            let x = rows + image * grid.count * width
            let out = target + image * bytesPerImage
            if type == .f64 {
              moments.write(x, to: out.assumingMemoryBound(to: Double.self))
            } else {
              moments.write(x, to: out.assumingMemoryBound(to: Float.self))
            }
          }
        } else {
          store(rows, count: batch.count * grid.count * width, to: target)
        }
      }
      try blocks.write(range.count * bytesPerImage)
    }
    try blocks.finish()
  }

  private func store(_ rows: UnsafePointer<Double>, count: Int, to target: UnsafeMutableRawPointer)
  {
    if type == .f64 {
      target.copyMemory(from: rows, byteCount: count * 8)
    } else {
      let out = target.assumingMemoryBound(to: Float.self)
      for i in 0..<count { out[i] = Float(rows[i]) }
    }
  }

  // MARK: Blocks of batches of images

  /// A whole number of batches, at least one for each thread.
  private func imagesPerBlock(bytesPerImage: Int) -> Int {
    let batch = PatchTransform.batch(grid)
    let perImage = max(bytesPerImage, images.shape.count)
    let batches = max(Threads.count, blockBytes / max(1, perImage * batch))
    return min(batches * batch, images.count)
  }

  /// Reads the images block by block and calls `body` with the pixels and the images' numbers.
  private func forEachBlock(
    bytesPerImage: Int, pass: Int, _ body: (UnsafePointer<UInt8>, Range<Int>) throws -> Void
  ) throws {
    let size = imagesPerBlock(bytesPerImage: bytesPerImage)
    let pixels = Bytes(uninitialized: size * images.shape.count)
    let passes = steps.needsFit ? 2 : 1
    for start in stride(from: 0, to: images.count, by: size) {
      let range = start..<min(start + size, images.count)
      try images.pixels.read(range, into: pixels.base)
      try body(pixels.base.assumingMemoryBound(to: UInt8.self), range)
      progress?(pass * images.count + range.upperBound, passes * images.count)
    }
  }

  /// Calls `body` for every batch of `block`, on all threads. A batch has the same worker however the blocks are cut,
  /// so that sums do not depend on the blocks.
  private func forEachBatch(
    of block: Range<Int>, workers: Int, _ body: (_ worker: Int, _ range: Range<Int>) -> Void
  ) {
    let batch = PatchTransform.batch(grid)
    let batches = block.lowerBound / batch..<(block.upperBound + batch - 1) / batch
    Threads.perform(workers) { worker in
      let skipped = (worker - batches.lowerBound % workers + workers) % workers
      for number in stride(
        from: batches.lowerBound + skipped, to: batches.upperBound, by: workers)
      {
        body(worker, number * batch..<min((number + 1) * batch, block.upperBound))
      }
    }
  }
}
