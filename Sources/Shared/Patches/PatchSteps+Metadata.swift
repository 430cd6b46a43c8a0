import Tensors

extension PatchSteps {
  /// The choices as a bundle's metadata, from which `init(metadata:)` restores them.
  package var metadata: [String: String] {
    var result = [
      "scale": scale.text, "pool": pooling.text, "center": "\(centers)", "bias": "\(bias)",
      "mirror": "\(mirrors)",
    ]
    switch window {
    case .square(let size, let stride, let padding):
      result["flatten"] = "false"
      result["size"] = "\(size)"
      result["stride"] = "\(stride)"
      result["padding"] = "\(padding)"
    case .wholeImage:
      result["flatten"] = "true"
    }
    if standardizes { result["standardize"] = "true" }
    result["contrast"] = contrast.map(exactText)
    result["whiten"] = whitening.map(exactText)
    result["components"] = components.map(String.init)
    return result
  }

  /// The choices that went into `bundle`; throws `Failure.data` if it does not tell them.
  package init(metadata bundle: Bundle) throws {
    self.init()
    func truth(_ key: String) throws -> Bool {
      try bundle.value(key, "true or false") { Bool($0) }
    }
    func integer(_ key: String, atLeast minimum: Int) throws -> Int {
      try bundle.value(key, "a whole number of at least \(minimum)") {
        Int($0).flatMap { $0 >= minimum ? $0 : nil }
      }
    }
    func epsilon(_ key: String) throws -> Double? {
      guard bundle.metadata[key] != nil else { return nil }
      return try bundle.value(key, "a number of at least 0") {
        Double(decimal: $0).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil }
      }
    }
    if try truth("flatten") {
      window = .wholeImage
    } else {
      window = .square(
        size: try integer("size", atLeast: 1), stride: try integer("stride", atLeast: 1),
        padding: try integer("padding", atLeast: 0))
    }
    scale = try bundle.value("scale", "two numbers that differ, as in -1,1") { PixelScale($0) }
    pooling = try bundle.value("pool", "a number of at least 1, or none") { Pooling($0) }
    contrast = try epsilon("contrast")
    centers = try truth("center")
    whitening = try epsilon("whiten")
    if bundle.metadata["components"] != nil {
      components = try integer("components", atLeast: 1)
    }
    bias = try truth("bias")
    if bundle.metadata["standardize"] != nil { standardizes = try truth("standardize") }
    // If a bundle does not tell, its patches were not mirrored.
    if bundle.metadata["mirror"] != nil { mirrors = try truth("mirror") }
  }
}
