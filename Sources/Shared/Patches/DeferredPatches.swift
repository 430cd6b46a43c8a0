import LinearAlgebra
import Schema
import Tensors

extension Bundle {
  /// The type that the patches of a deferred dataset have when they are cut: F32 or F64.
  var patchType: ElementType {
    get throws {
      try value("dtype", "F32 or F64") {
        ElementType(rawValue: $0).flatMap { $0 == .f32 || $0 == .f64 ? $0 : nil }
      }
    }
  }
}

/// The images of a deferred dataset and all that the cutting of their patches needs.
struct DeferredPatches {
  /// U8 [n, channels, height, width].
  let images: Tensor
  let recipe: PatchRecipe
  /// The type to which features are rounded: F32 or F64.
  let type: ElementType

  /// d, the features of a patch.
  var dimension: Int {
    PatchTransform.width(grid: recipe.grid, fit: recipe.fit, bias: recipe.steps.bias)
  }

  init(_ bundle: Bundle) throws {
    images = try bundle.require(.images)
    recipe = try PatchRecipe(bundle)
    let shape = recipe.shape
    guard images.shape.dropFirst() == [shape.channels, shape.height, shape.width] else {
      throw Failure.data(
        "tensor \"images\" of \(bundle.name) is \(images.summary), but the metadata of \(bundle.name) tell of images of "
          + "\(shape)")
    }
    guard images.shape[0] > 0 else {
      throw Failure.data("tensor \"images\" is \(images.summary): it is empty")
    }
    type = try bundle.patchType
    try PatchExtraction.expectRoom(
      recipe.grid.count, dimension, type
    ) { Failure.data("\(bundle.name): \($0)") }
    let bounds = FeatureBounds(grid: recipe.grid, steps: recipe.steps, layers: recipe.layers)
    do {
      try bounds.expectFinite(recipe.fit, images: 1, product: .deferred, type: type)
    } catch Failure.data(let message) { throw Failure.data("\(bundle.name): \(message)") }
  }
}
