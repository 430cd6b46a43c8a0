import Glibc
import Tensors

/// Ten classes of textures, 32 × 32 pixels in colour, so that everything can run without a data set.
///
/// A class is a sum of waves, with a number, orientations and lengths of its own; or noise. An image draws wavelengths,
/// phases, a small turn, colours, contrast and noise at random, so that no single pixel and no mean colour tells the
/// class, but the correlations of near pixels mostly do. A network of 4 × 4 filters tells most of them apart, not all.
package enum SyntheticTextures {
  static let shape = ImageShape(channels: 3, height: 32, width: 32)

  package static let classes = [
    "rows", "columns", "rising", "falling", "broad-rows", "broad-columns", "plaid", "lattice",
    "clouds", "grain",
  ]

  /// Takes the images that `selection` chooses from `count` images, of the classes 0, 1, …, 9, 0, 1, … in turn. Image
  /// `i` depends only on the seed, the split and `i`.
  package static func make(
    _ count: Int, split: Split = .train, _ selection: Selection, _ listener: Listener
  ) throws -> ImageSet {
    guard Int32(exactly: count) != nil else {
      throw Failure.usage("cannot number \(count) images, at most \(Int32.max)")
    }
    var selector = try Selector(selection, among: classes)
    var taken: [(label: Int32, index: Int32)] = []
    for i in 0..<count {
      if let label = selector.take(i % classes.count) { taken.append((label, Int32(i))) }
      // Checked before the list of them alone fills the memory.
      if selection.sample == nil, i & 0xF_FFFF == 0 { try expectRoom(for: taken.count, shape) }
    }
    if let kept = try selector.finish(listener) { taken = kept.map { taken[$0] } }
    let pixels = try reserve(taken.count, shape)
    for (place, image) in taken.enumerated() {
      var random = RandomSource(
        seed: selection.seed, stream: 1 + 2 * Int(image.index) + (split == .test ? 1 : 0))
      let target = pixels.base.assumingMemoryBound(to: UInt8.self) + place * shape.count
      draw(Int(image.index) % classes.count, &random, to: target)
      listener.progress("\(place + 1) of \(taken.count) images drawn")
    }
    return ImageSet(
      classes: selector.classes, shape: shape, pixels: pixels, labels: taken.map(\.label),
      index: taken.map(\.index))
  }

  private static func draw(
    _ label: Int, _ random: inout RandomSource, to target: UnsafeMutablePointer<UInt8>
  ) {
    let pattern = pattern(label, &random)
    let contrast = random.uniform(in: 25..<50)
    let noise = random.uniform(in: 10..<28)
    // The wave goes between two colours, about a random mean, along a direction near grey.
    var colour = (0..<3).map { _ in 1 + 0.4 * random.gaussian() }
    let length = colour.reduce(0) { $0 + $1 * $1 }.squareRoot()
    colour = colour.map { $0 / length * contrast * 1.7 }
    for channel in 0..<shape.channels {
      let mean = random.uniform(in: 110..<146)
      let plane = target + channel * shape.plane
      for p in 0..<shape.plane {
        let value = mean + colour[channel] * pattern[p] + noise * random.roughlyGaussian()
        plane[p] = UInt8(min(255, max(0, value.rounded())))
      }
    }
  }

  /// The texture before colour and noise, of variance ½.
  private static func pattern(_ label: Int, _ random: inout RandomSource) -> [Double] {
    let turn = random.gaussian() * 0.15
    let (vertical, diagonal) = (Double.pi / 2, Double.pi / 4)
    let fine = random.uniform(in: 3.5..<7)
    let broad = random.uniform(in: 9..<16)
    var waves: [(angle: Double, length: Double)]
    switch label {
    case 0: waves = [(vertical, fine)]
    case 1: waves = [(0, fine)]
    case 2: waves = [(diagonal, fine)]
    case 3: waves = [(-diagonal, fine)]
    case 4: waves = [(vertical, broad)]
    case 5: waves = [(0, broad)]
    case 6: waves = [(0, fine), (vertical, fine)]
    case 7: waves = [(diagonal, fine), (-diagonal, fine)]
    case 8: waves = (0..<6).map { _ in (random.uniform(in: 0..<2 * .pi), broad) }
    default: return (0..<shape.plane).map { _ in random.roughlyGaussian() / 2.0.squareRoot() }
    }
    var pattern = [Double](repeating: 0, count: shape.plane)
    for (angle, length) in waves {
      let phase = random.uniform(in: 0..<2 * .pi)
      let (dx, dy) = (
        2 * .pi / length * cos(angle + turn), 2 * .pi / length * sin(angle + turn)
      )
      for p in pattern.indices {
        let (x, y) = (Double(p % shape.width), Double(p / shape.width))
        pattern[p] += sin(dx * x + dy * y + phase)
      }
    }
    let scale = 1 / Double(waves.count).squareRoot()
    return pattern.map { $0 * scale }
  }
}

extension RandomSource {
  /// Mean 0, variance 1, and near enough to normal for pixel noise: the sum of the eight bytes of one
  /// random word.
  fileprivate mutating func roughlyGaussian() -> Double {
    let word = next()
    // Add bytes in pairs of lanes, then the four lanes by one multiplication.
    let pairs = (word & 0x00FF_00FF_00FF_00FF) &+ (word >> 8 & 0x00FF_00FF_00FF_00FF)
    let sum = (pairs &* 0x0001_0001_0001_0001) >> 48
    return (Double(sum) - 1020) / 209.022
  }
}
