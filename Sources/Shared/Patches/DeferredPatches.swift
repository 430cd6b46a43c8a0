import LinearAlgebra
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
    images = try bundle.require("images", [.u8], ["[n, channels, height, width]"])
    recipe = try PatchRecipe(bundle)
    let shape = recipe.shape
    guard images.shape.dropFirst() == [shape.channels, shape.height, shape.width] else {
      throw Failure.data(
        "tensor \"images\" is \(images.summary), but the metadata of \(bundle.name) tell of images of "
          + "\(shape)")
    }
    guard images.shape[0] > 0 else {
      throw Failure.data("tensor \"images\" is \(images.summary): it is empty")
    }
    type = try bundle.patchType
    try PatchExtraction.expectRoom(
      recipe.grid.count, dimension, type
    ) { Failure.data("\(bundle.name): \($0)") }
    guard largestFeature <= (type == .f32 ? Double(Float.greatestFiniteMagnitude) : 1e300) else {
      throw Failure.data(
        "\(bundle.name): with this mean and whitening features do not fit \(type.rawValue)")
    }
  }

  /// More than any feature can be in magnitude.
  private var largestFeature: Double {
    let d = recipe.grid.features
    let cut =
      recipe.steps.contrast == nil ? recipe.steps.scale.magnitude : Double(d).squareRoot()
    guard let fit = recipe.fit else { return max(1, cut) }
    let centred = fit.mean.map { abs($0) + cut }
    guard let whiten = fit.whiten else { return max(1, centred.max() ?? 0) }
    var largest = 1.0
    for column in 0..<whiten.columns {
      var sum = 0.0
      for j in 0..<d { sum += centred[j] * abs(whiten[j, column]) }
      // NaN (of infinity times 0) must not pass.
      largest = sum <= largest ? largest : sum.isNaN ? .infinity : sum
    }
    return largest
  }
}
