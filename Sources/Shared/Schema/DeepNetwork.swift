import Tensors

// Parallel linear networks of L > 2 layers: path k is x W_k1 … W_kL. Its layers between the first and the last are numbers,
// since the paths of an optimal network are of rank 1.

extension MetadataKey where Value == Int {
  /// L, of a network of more than two layers.
  package static var layers: Self { Self(name: "layers") }
}

extension TensorKey {
  /// What the path of each neuron is multiplied by in the layers 2 … L − 1.
  package static let middleWeight = TensorKey("middle.weight", .f64, shapes: "[L-2, m]")
}
