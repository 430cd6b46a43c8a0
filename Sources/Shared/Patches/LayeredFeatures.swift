import LinearAlgebra
import Schema
import Tensors

extension LayerStack {
  private static let block = 1024

  /// `given`, a dataset of features that were not cut from images, with the outputs of the layers that it has not gone
  /// through yet in place of its features: x [n, K, m] or [n, m] of `type`, with a constant 1 appended if `bias` says
  /// so. Features are put in order and standardised as the layers' own data were. Throws `Failure.data` if they do not
  /// fit.
  package func dataset(_ given: Bundle, bias: Bool, type: ElementType?) throws -> Bundle {
    try given.expect(.dataset)
    guard given[.x] != nil, given.metadata["flatten"] == nil else {
      throw Failure.data(
        "\(given.name) holds patches of images, expected the images that they were cut from")
    }
    guard areOfFeatures else {
      throw Failure.data(
        "\(given.name) holds features, but the network was trained on patches of images: give the images"
      )
    }
    let rest = try remaining(after: LayerStack(given), of: given.name)
    // What has gone through all of them may have the constant already.
    if rest.isEmpty, try !bias || given.read(.bias, default: false) { return given }
    var data = given
    var type = type
    // Targets are none of the layers' business.
    let answers: [TensorKey] = [.targets, .targetShift, .targetDivisor]
    for key in answers { data[key] = nil }
    for layer in rest {
      data = try DataModel(layer.part).conform(data)
      let patches = try PatchTensor(data)
      type = type ?? patches.x.type
      guard patches.dimension == layer.filters.columns else {
        throw Failure.data(
          "tensor \"x\" of \(given.name) is \(patches.x.summary), but the filters of \(layer.part.name) have "
            + "\(layer.filters.columns) features")
      }
      try patches.x.expectFinite(TensorKey.x.name, of: given.name)
      data[.x] = LayerStack.outputs(of: layer, patches)
      data.metadata = data.metadata.filter {
        !(TableKey.all + Preparation.choices).contains($0.key)
      }
      for key: TensorKey in [.mean, .whiten, .shift, .divisor, .fill] { data[key] = nil }
    }
    for key in answers { data[key] = given[key] }
    NumberedParts.layers.write(layers.map(\.part), to: &data)
    let patches = try PatchTensor(data)
    let m = patches.dimension
    let width = bias ? m + 1 : m
    data.metadata[.bias] = bias ? true : nil
    let x = patches.x.mapRows(of: m, shape: patches.x.shape.dropLast() + [width]) { row, target in
      for k in 0..<m { target[k] = row[k] }
      if bias { target[m] = 1 }
    }
    data[.x] =
      type == .f32 && x.type == .f64 ? Tensor(x.doubles.map(Float.init), shape: x.shape) : x
    try data[.x]!.expectFinite(TensorKey.x.name, of: "what the layers make of \(given.name)")
    return data
  }

  /// F64, of the shape of x but for the last dimension, which is m.
  private static func outputs(of layer: HiddenLayer, _ patches: PatchTensor) -> Tensor {
    let (rows, d, m) = (patches.samples * patches.patches, patches.dimension, layer.outputs)
    let result = Tensor(type: .f64, shape: patches.x.shape.dropLast() + [m])
    let (block, products) = (Matrix(LayerStack.block, d), Matrix(LayerStack.block, m))
    result.withMutableElements(of: Double.self) { target in
      for first in stride(from: 0, to: rows, by: LayerStack.block) {
        let count = min(LayerStack.block, rows - first)
        patches.x.copyDoubles(first * d..<(first + count) * d, into: block.base)
        layer.apply(
          block.base, count: count, into: target.baseAddress! + first * m, products: products.base)
      }
    }
    return result
  }
}
