import LinearAlgebra
import Schema
import Tensors

/// The hidden layer of a trained network as a step on the way to further features: layer after layer (Belilovsky,
/// Eickenberg and Oyallon 2019). It looks at the patches, or at the features, that its network was trained on.
package struct HiddenLayer: Sendable {
  /// The tensors and metadata that say all this.
  let part: Bundle
  /// How its patches are cut; nil if it looks at features.
  let recipe: PatchRecipe?
  /// u, m × d.
  let filters: Matrix
  /// g, m × d, and t, if neurons are gated.
  let gates: Matrix?
  let thresholds: [Double]
  /// Which patches the units of product gates take.
  private let units: UnitSigns?
  /// b, which is added to x · u.
  let bias: [Double]?
  let activation: Activation
  /// The side of the squares of positions whose outputs are averaged.
  let average: Int
  /// No output is larger, if it looks at patches.
  let magnitude: Double

  /// m, the numbers that it puts out.
  package var outputs: Int { filters.rows }

  /// The shape of what it makes of an image, a channel for each neuron; nil if it looks at features. Rows and columns
  /// of positions that fill no square are left out.
  var map: ImageShape? {
    recipe.map {
      ImageShape(
        channels: outputs, height: $0.grid.rows / average, width: $0.grid.columns / average)
    }
  }

  private static let tensors: [TensorKey] =
    [
      .hiddenWeight, .hiddenBias, .mean, .whiten, .shift, .divisor,
    ] + GateKeys.neurons.all

  /// Throws `Failure.data` if the part has what no layer has: it would say what nobody reads.
  private static func expectKnown(_ part: Bundle) throws {
    let known = tensors
    if let name = part.tensors.keys.sorted().first(where: { name in
      !known.contains { $0.name == name }
    })
      ?? part.metadata.keys.sorted().first(where: {
        !Preparation.inherited.contains($0) && !["activation", "average"].contains($0)
      })
    {
      throw Failure.data("\(part.name) has \(quoted(name)), which no layer has")
    }
  }

  /// Reads a layer that comes after `earlier`. Throws `Failure.data` if its tensors do not fit each other or the layer
  /// before.
  init(_ part: Bundle, after earlier: LayerStack) throws {
    self.part = part
    try HiddenLayer.expectKnown(part)
    activation = try part.read(.activation)
    guard activation != .quantized else {
      throw Failure.data(
        "\(part.name) is a quantised network, which has no hidden layer of this kind")
    }
    let weights = try part.require(.hiddenWeight)
    try weights.expectFinite(TensorKey.hiddenWeight.name, of: part.name)
    let (m, d) = (weights.shape[0], weights.shape[1])
    guard m > 0, d > 0 else {
      throw Failure.data(
        "tensor \"hidden.weight\" of \(part.name) is \(weights.summary): it has no neurons")
    }
    filters = Matrix(m, d, weights.doubles)
    if activation == .gatedReLU {
      let own = try GateTensors(part, .neurons, count: m, dimension: d)
      gates = Matrix(m, d, own.vectors.doubles)
      thresholds = own.thresholds?.doubles ?? [Double](repeating: 0, count: m)
      units = own.units.map { UnitSigns($0) }
    } else {
      (gates, thresholds, units) = (nil, [], nil)
    }
    bias = try part[.hiddenBias].map { _ in try part.require(.hiddenBias, shape: [m]).doubles }
    average =
      part.metadata["average"] == nil
      ? 1
      : try part.value("average", "a whole number of at least 1") {
        Int($0).flatMap { $0 >= 1 ? $0 : nil }
      }
    guard part.metadata["flatten"] != nil else {
      (recipe, magnitude) = (nil, .infinity)
      guard earlier.layers.allSatisfy({ $0.recipe == nil }) else {
        throw Failure.data(
          "\(part.name) was trained on features, but the layer before it makes images")
      }
      return
    }
    let recipe = try PatchRecipe(part, after: earlier)
    let width = PatchTransform.width(grid: recipe.grid, fit: recipe.fit, bias: recipe.steps.bias)
    guard width == d else {
      throw Failure.data(
        "tensor \"hidden.weight\" of \(part.name) is \(weights.summary), but its patches have \(width) features"
      )
    }
    guard average <= min(recipe.grid.rows, recipe.grid.columns) else {
      throw Failure.data(
        "metadata \"average\" of \(part.name) is \"\(average)\", but there are \(recipe.grid.rows) × "
          + "\(recipe.grid.columns) patches")
    }
    self.recipe = recipe
    let largest = FeatureBounds(grid: recipe.grid, steps: recipe.steps, layers: earlier)
      .largest(recipe.fit)
    magnitude = HiddenLayer.largestOutput(activation, filters, bias, largest)
    guard magnitude <= 1e150 else {
      throw Failure.data("\(part.name) puts out numbers of up to \(magnitude), which are too large")
    }
  }

  /// No output is larger, if no feature is larger than `feature`.
  private static func largestOutput(
    _ activation: Activation, _ filters: Matrix, _ bias: [Double]?, _ feature: Double
  ) -> Double {
    var product = 0.0
    for j in 0..<filters.rows {
      var sum = abs(bias?[j] ?? 0)
      for k in 0..<filters.columns { sum += abs(filters[j, k]) * feature }
      product = max(product, sum.isNaN ? .infinity : sum)
    }
    guard case .polynomial(let p) = activation else { return product }
    return abs(p.a) * product * product + abs(p.b) * product + abs(p.c)
  }

  /// Writes the outputs of `count` rows of d numbers to `outputs`, count × m. `products` has as much room.
  func apply(
    _ rows: UnsafePointer<Double>, count: Int, into outputs: UnsafeMutablePointer<Double>,
    products: UnsafeMutablePointer<Double>
  ) {
    let (m, d) = (filters.rows, filters.columns)
    gemm(count, m, d, rows, .plain, filters.base, .transposed, outputs, ldc: m)
    if let bias {
      for k in 0..<count {
        for j in 0..<m { outputs[k * m + j] += bias[j] }
      }
    }
    switch activation {
    case .relu:
      for k in 0..<count * m { outputs[k] = max(0, outputs[k]) }
    case .gatedReLU:
      gemm(count, m, d, rows, .plain, gates!.base, .transposed, products, ldc: m)
      for k in 0..<count {
        for j in 0..<m where products[k * m + j] < thresholds[j] { outputs[k * m + j] = 0 }
      }
      guard let units else { break }
      let taken = Matrix(units.count, count)
      units.update(rows, rows: count, into: taken.base, stride: count)
      for k in 0..<count {
        for j in 0..<m where taken[units.index[j], k] == 0 { outputs[k * m + j] = 0 }
      }
    case .polynomial(let p):
      for k in 0..<count * m {
        let t = outputs[k]
        outputs[k] = (p.a * t + p.b) * t + p.c
      }
    case .linear, .circular, .quantized: break
    }
  }
}

/// The hidden layers that images, or features, go through one after another.
package struct LayerStack: Sendable {
  package private(set) var layers: [HiddenLayer] = []

  package init() {}

  /// Those that `bundle` says its data went through.
  package init(_ bundle: Bundle) throws {
    for part in try NumberedParts.layers.read(bundle) { try append(part) }
  }

  mutating func append(_ part: Bundle) throws {
    layers.append(try HiddenLayer(part, after: self))
  }

  /// Their tensors and metadata, as a bundle has them that is made after them.
  package var bundle: Bundle {
    var bundle = Bundle()
    NumberedParts.layers.write(layers.map(\.part), to: &bundle)
    return bundle
  }

  /// Whether they look at features, and not at images.
  package var areOfFeatures: Bool { layers.first.map { $0.recipe == nil } ?? false }

  /// The largest magnitude of what patches are cut from: of a scaled pixel, or of an output of the last layer.
  func magnitude(of scale: PixelScale) -> Double { layers.last?.magnitude ?? scale.magnitude }
}

/// What a stack makes of one image after another. Each thread needs one, which holds the memory of an image.
final class LayerMaps {
  private let stack: LayerStack
  private let transform: PatchTransform
  private let last: HiddenLayer
  /// The last layer's outputs at each position, its gates' products, and the map [channels, height, width] for the
  /// image and for its mirror image.
  private let outputs: Matrix
  private let products: Matrix
  private let results: [Matrix]
  /// Those of a square.
  private let sums: Matrix
  private var mirrored: [UInt8] = []

  /// `stack` has at least one layer, and all of them look at patches.
  init(_ stack: LayerStack, mirrored isMirrored: Bool) {
    self.stack = stack
    last = stack.layers.last!
    let recipe = last.recipe!
    // One image at a time, so that its numbers do not depend on others; of a mirrored grid the image's own patches.
    transform = PatchTransform(recipe, order: Array(0..<recipe.grid.positions), batch: 1)
    let positions = recipe.grid.positions
    outputs = Matrix(positions, last.outputs)
    sums = Matrix(1, last.outputs)
    products = Matrix(last.activation == .gatedReLU ? positions : 0, last.outputs)
    let map = last.map!
    results = (0..<(isMirrored ? 2 : 1)).map { _ in Matrix(map.channels, map.height * map.width) }
  }

  /// The map of the image at `pixels`, or of its mirror image, valid until that is asked for again.
  func map(of pixels: UnsafePointer<UInt8>, mirrored isMirrored: Bool) -> UnsafePointer<Double> {
    let recipe = last.recipe!
    let rows =
      isMirrored
      ? mirror(pixels).withUnsafeBufferPointer { transform.rows($0.baseAddress!, count: 1) }
      : transform.rows(pixels, count: 1)
    last.apply(rows, count: recipe.grid.positions, into: outputs.base, products: products.base)
    let result = results[isMirrored ? 1 : 0]
    let (map, size, m) = (last.map!, last.average, last.outputs)
    let share = 1 / Double(size * size)
    for row in 0..<map.height {
      for column in 0..<map.width {
        let place = row * map.width + column
        for j in 0..<m { sums.base[j] = 0 }
        for a in 0..<size {
          for b in 0..<size {
            let own = outputs.row((row * size + a) * recipe.grid.columns + column * size + b)
            for j in 0..<m { sums.base[j] += own[j] }
          }
        }
        for j in 0..<m { result[j, place] = sums.base[j] * share }
      }
    }
    return UnsafePointer(result.base)
  }

  /// The image mirrored left for right.
  private func mirror(_ pixels: UnsafePointer<UInt8>) -> [UInt8] {
    let shape = last.recipe!.shape
    if mirrored.isEmpty { mirrored = [UInt8](repeating: 0, count: shape.count) }
    for row in 0..<shape.channels * shape.height {
      for x in 0..<shape.width {
        mirrored[row * shape.width + x] = pixels[row * shape.width + shape.width - 1 - x]
      }
    }
    return mirrored
  }
}
