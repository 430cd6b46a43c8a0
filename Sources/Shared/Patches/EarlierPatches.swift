import LinearAlgebra
import Tensors

/// How an earlier bundle was made of its images: what test data need to go the same way.
package struct EarlierPatches {
  package let steps: PatchSteps
  package let fit: PatchFit?
  package let product: PatchProduct
  /// The type of its features.
  package let type: ElementType
  private let shape: ImageShape
  private let classes: String?
  private let name: String

  /// Reads the header and the fitted statistics of a `dataset`, `moments` or `arrangements` bundle;
  /// what is large is passed over.
  package init(reading input: Input) throws {
    name = input.name
    let reader = try BundleReader(input)
    try reader.expect(.dataset, .moments, .arrangements)
    var bundle = Bundle(metadata: reader.metadata, name: input.name)
    while let entry = reader.next {
      if entry.name == "mean" || entry.name == "whiten" {
        bundle.tensors[entry.name] = try reader.readTensor()
      } else {
        try reader.skipTensor()
      }
    }
    try reader.finish()

    guard bundle.metadata["flatten"] != nil else {
      throw Failure.data("\(input.name) does not tell how patches were cut: not made by patchify")
    }
    let steps = try PatchSteps(metadata: bundle)
    func integer(_ key: String) throws -> Int {
      try bundle.value(key, "a whole number of at least 1") {
        Int($0).flatMap { $0 >= 1 && $0 <= 1 << 20 ? $0 : nil }
      }
    }
    shape = ImageShape(
      channels: try integer("channels"), height: try integer("height"), width: try integer("width"))
    classes = bundle.metadata["classes"]
    let product = bundle.kind == .moments ? PatchProduct.moments : .dataset
    guard let features = reader.entries.first(where: { $0.name == product.tensor }) else {
      throw Failure.data("\(input.name) has no tensor \(quoted(product.tensor))")
    }
    try features.expect([.f32, .f64], ["[n, d]", "[n, K, d]"])
    type = features.type
    let grid: PatchGrid
    do {
      grid = try PatchGrid(image: shape, window: steps.window, pooling: steps.pooling)
    } catch let failure as Failure {
      // Not this command line is wrong but the metadata.
      throw Failure.data("\(input.name): \(failure.message)")
    }
    self.product = product
    self.steps = steps
    fit = try EarlierPatches.fit(of: bundle, steps: steps, features: grid.features)
  }

  private static func fit(of bundle: Bundle, steps: PatchSteps, features: Int) throws -> PatchFit? {
    guard steps.needsFit else { return nil }
    let mean = try bundle.require("mean", [.f64], ["[d]"])
    guard mean.count == features else {
      throw Failure.data("tensor \"mean\" is \(mean.summary), expected [\(features)]")
    }
    try mean.expectFinite("mean")
    guard steps.whitening != nil else { return PatchFit(mean: mean.doubles, whiten: nil) }
    let whiten = try bundle.require("whiten", [.f64], ["[d, N]"])
    let columns = steps.components ?? features
    guard whiten.shape == [features, columns] else {
      throw Failure.data(
        "tensor \"whiten\" is \(whiten.summary), expected [\(features), \(columns)]")
    }
    try whiten.expectFinite("whiten")
    return PatchFit(
      mean: mean.doubles, whiten: Matrix(features, columns, whiten.doubles))
  }

  /// Throws `Failure.data` where `images` cannot go the same way.
  package func expect(_ images: LabelledImages) throws {
    guard images.shape == shape else {
      throw Failure.data("the images have \(images.shape), those of \(name) had \(shape)")
    }
    guard images.metadata["classes"] == classes else {
      func text(_ classes: String?) -> String { classes ?? "none" }
      throw Failure.data(
        "the classes of the images are \(text(images.metadata["classes"])), those of \(name) are "
          + text(classes))
    }
  }
}
