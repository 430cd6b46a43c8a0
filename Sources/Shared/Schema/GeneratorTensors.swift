import Tensors

/// The networks that generate samples.
package enum GeneratorKind: String, CaseIterable, MetadataValue {
  /// The samples themselves are free, R = ‖G‖_F².
  case free
  /// G = Z W for latent data Z, R = ‖W‖_F².
  case linear
  /// G = (Z U)₊ A, R = ‖G‖_F².
  case relu

  /// The weights that a bundle of its samples has beside these.
  package var weights: [TensorKey] {
    switch self {
    case .free: []
    case .linear: [.latent, .generatorWeight]
    case .relu: [.latent, .generatorHidden, .generatorOutput]
    }
  }
}

extension MetadataKey where Value == GeneratorKind {
  package static var generator: Self { Self(name: "generator") }
}

extension MetadataKey where Value == Double {
  /// ‖XᵀX − GᵀG‖₂ of generated samples G and data X, which β bounds.
  package static var constraint: Self { Self(name: "constraint") }
}

extension TensorKey {
  /// G of images, before they are rounded, less the mean image.
  package static let generated = TensorKey("generated", .f64, shapes: "[n, d]")
  /// The mean image of the data.
  package static let generatorCenter = TensorKey("generator.center", .f64, shapes: "[d]")
  /// Z.
  package static let latent = TensorKey("latent", .f64, shapes: "[n, k]")
  /// W.
  package static let generatorWeight = TensorKey("generator.weight", .f64, shapes: "[k, d]")
  /// Uᵀ and A.
  package static let generatorHidden = TensorKey("generator.hidden", .f64, shapes: "[m, k]")
  package static let generatorOutput = TensorKey("generator.output", .f64, shapes: "[m, d]")
  /// All weights of generators.
  package static let generatorWeights = [
    latent, generatorWeight, generatorHidden, generatorOutput,
  ]
}
