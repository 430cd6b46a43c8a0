import LinearAlgebra
import Schema
import Tensors

/// The way in which a bundle's patches were cut, or are to be cut, from images, by its metadata and the tensors `mean`
/// and `whiten`.
struct PatchRecipe: Sendable {
  /// The shape of the images.
  let shape: ImageShape
  let steps: PatchSteps
  /// What the images go through first.
  let layers: LayerStack
  let grid: PatchGrid
  let fit: PatchFit?

  /// Throws `Failure.data` if `bundle` does not tell, or tells something impossible. `earlier` are the layers that come
  /// first; by default they are the bundle's own.
  init(_ bundle: Bundle, after earlier: LayerStack? = nil) throws {
    layers = try earlier ?? LayerStack(bundle)
    guard bundle.metadata["flatten"] != nil else {
      throw Failure.data("\(bundle.name) does not tell how patches were cut: not made by patchify")
    }
    steps = try PatchSteps(metadata: bundle)
    func integer(_ key: String) throws -> Int {
      try bundle.value(key, "a whole number of at least 1") {
        Int($0).flatMap { $0 >= 1 && $0 <= 1 << 20 ? $0 : nil }
      }
    }
    shape = ImageShape(
      channels: try integer("channels"), height: try integer("height"), width: try integer("width"))
    do {
      grid = try PatchGrid(
        image: layers.map(of: shape, for: bundle.name), window: steps.window,
        pooling: steps.pooling, mirrored: steps.mirrors)
    } catch let failure as Failure {
      // The metadata are wrong, not this command line.
      throw Failure.data("\(bundle.name): \(failure.message)")
    }
    fit = try PatchFit(of: bundle, steps: steps, features: grid.features)
  }
}

/// The shape of the patches of a bundle's rows: features are ordered channel, row, column.
package struct PatchShape: Sendable, Equatable {
  package let channels, height, width: Int

  package init(channels: Int, height: Int, width: Int) {
    (self.channels, self.height, self.width) = (channels, height, width)
  }

  /// Throws `Failure.data` if `bundle` does not tell how its patches were cut, or they were projected to other features.
  package init(_ bundle: Bundle) throws {
    let recipe = try PatchRecipe(bundle)
    guard recipe.steps.components == nil else {
      throw Failure.data(
        "the patches of \(bundle.name) were projected to \(recipe.steps.components!) components, which have no place in a "
          + "patch: leave out --components")
    }
    self.init(
      channels: recipe.grid.image.channels, height: recipe.grid.patchHeight,
      width: recipe.grid.patchWidth)
  }
}

extension LayerStack {
  /// The shape of what the layers make of images of `shape`. Throws `Failure.data` if the first was made for others.
  func map(of shape: ImageShape, for name: String) throws -> ImageShape {
    guard let first = layers.first, let last = layers.last else { return shape }
    guard let map = last.map, first.recipe?.shape == shape else {
      throw Failure.data(
        "\(name) tells of images of \(shape), but the first of the layers that they go through was trained on "
          + (first.recipe.map { "images of \($0.shape)" } ?? "features"))
    }
    return map
  }
}

extension PatchFit {
  /// The statistics that `bundle` holds; `nil` if `steps` need none. `features` are those of a patch as it is cut.
  init?(of bundle: Bundle, steps: PatchSteps, features: Int) throws {
    guard steps.needsFit else { return nil }
    if steps.standardizes {
      let width = features + (steps.bias ? 1 : 0)
      guard let own = try Standardization(bundle), own.shift.count == width else {
        throw Failure.data(
          "metadata \"standardize\" of \(bundle.name) is \"true\", but it has no tensors \"shift\" and \"divisor\" of \(width) "
            + "numbers")
      }
      self.init(own)
      return
    }
    let mean = try bundle.require("mean", [.f64], ["[d]"])
    guard mean.count == features else {
      throw Failure.data(
        "tensor \"mean\" of \(bundle.name) is \(mean.summary), expected [\(features)]")
    }
    try mean.expectFinite("mean", of: bundle.name)
    guard steps.whitening != nil else {
      self.init(mean: mean.doubles, whiten: nil)
      return
    }
    let whiten = try bundle.require("whiten", [.f64], ["[d, N]"])
    let columns = steps.components ?? features
    guard whiten.shape == [features, columns] else {
      throw Failure.data(
        "tensor \"whiten\" of \(bundle.name) is \(whiten.summary), expected [\(features), \(columns)]"
      )
    }
    try whiten.expectFinite("whiten", of: bundle.name)
    self.init(mean: mean.doubles, whiten: Matrix(features, columns, whiten.doubles))
  }
}
