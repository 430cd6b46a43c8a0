import LinearAlgebra
import Schema
import Tensors

extension MetadataKey where Value == PatchProduct {
  /// What the samples of sums were held as.
  static var product: Self { Self(name: "product") }
}

/// The way in which an earlier bundle was made from its images, so that test data can be made in the same way.
package struct EarlierPatches {
  package let steps: PatchSteps
  package let fit: PatchFit?
  /// What the images go through first.
  package let layers: LayerStack
  package let product: PatchProduct
  /// The type of its features.
  package let type: ElementType
  private let shape: ImageShape
  private let model: DataModel
  private let name: String

  /// Reads the header and the fitted statistics of a `dataset`, `moments`, `arrangements` or `statistics` bundle; large
  /// tensors are passed over.
  package init(reading input: Input) throws {
    name = input.name
    let reader = try BundleReader(input)
    try reader.expect(.dataset, .moments, .arrangements, .statistics)
    var bundle = Bundle(metadata: reader.metadata, name: input.name)
    while let entry = reader.next {
      if FittedStatistics.has(entry.name) {
        bundle.tensors[entry.name] = try reader.readTensor()
      } else {
        try reader.skipTensor()
      }
    }
    try reader.finish()

    let recipe = try PatchRecipe(bundle)
    (steps, fit, shape, layers) = (recipe.steps, recipe.fit, recipe.shape, recipe.layers)
    // Patches that --standardize made are standardised when they are cut.
    if steps.standardizes { (bundle[.shift], bundle[.divisor]) = (nil, nil) }
    model = try DataModel(bundle)
    if bundle.kind == .statistics {
      product = try bundle.read(MetadataKey<PatchProduct>.product)
      type = try bundle.patchType
      return
    }
    func entry(_ name: String) -> BundleEntry? { reader.entries.first { $0.name == name } }
    if bundle.kind != .moments, entry("x") == nil, entry("images") != nil {
      product = .deferred
      type = try bundle.patchType
      return
    }
    product = bundle.kind == .moments ? .moments : .dataset
    guard let features = entry(product.tensor) else {
      throw Failure.data("\(input.name) has no tensor \(quoted(product.tensor))")
    }
    try features.expect([.f32, .f64], ["[n, d]", "[n, K, d]"], of: input.name)
    type = features.type
  }

  /// Gives the labels of `images` the numbers that classes of their names have here. Throws `Failure.data` if `images`
  /// cannot be treated in the same way.
  package func adapt(_ images: inout LabelledImages) throws {
    guard images.shape == shape else {
      throw Failure.data("the images have \(images.shape), those of \(name) had \(shape)")
    }
    try images.renumber(like: model, of: "the images' bundle")
  }
}
