import Command
import Glibc
import Schema
import Tensors

/// Joins the samples of several bundles that agree in all else.
func concatenate(_ run: Run) throws {
  let output = try run.bundleOutput()
  let progress = run.progress()
  let bundles = try run.settings.arguments.map { path in
    progress.update("reading \(path)")
    return try Bundle(reading: run.input(path: path))
  }
  let first = bundles[0]
  let kind = try sampleKind(first.metadata, Array(first.tensors.keys), in: first.name)
  guard kind != .arrangements else {
    throw Failure.data(
      "\(first.name) is a bundle of kind \"arrangements\", which are those of its own samples: join the "
        + "dataset and find its arrangements anew")
  }
  for bundle in bundles {
    try expectAgreement(of: bundle, with: first)
    let samples = try sampleCount(
      kind, bundle.tensors.map { ($0.key, $0.value.shape) }, in: bundle.name)
    if kind.hasAnswers { try bundle.expectSoundAnswers(samples: samples) }
    for name in bundle.tensors.keys.sorted(by: precedes) {
      let (tensor, model) = (bundle.tensors[name]!, first.tensors[name]!)
      try tensor.expectFinite(name, of: bundle.name)
      let isPerSample = kind.perSample.contains(name)
      let agrees =
        isPerSample
        ? tensor.shape.dropFirst() == model.shape.dropFirst() || isNames(name, tensor)
        : tensor.shape == model.shape && hasEqualBytes(tensor, model)
      guard agrees else {
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is \(tensor.summary), of \(first.name) "
            + "\(model.summary)" + (isPerSample ? "" : ": they must be equal"))
      }
    }
  }
  let width = bundles.reduce(0) { max($0, $1[.names]?.shape.last ?? 0) }
  // Tensors are written piece by piece as they are read: the joined tensors never exist in memory.
  let names = first.tensors.keys.sorted(by: precedes)
  let writer = try BundleWriter(
    output,
    tensors: names.map { name in
      let model = first.tensors[name]!
      guard kind.perSample.contains(name) else { return (name, model.type, model.shape) }
      let rows = bundles.reduce(0) { $0 + $1.tensors[name]!.shape[0] }
      let row = isNames(name, model) ? [width] : Array(model.shape.dropFirst())
      return (name, model.type, [rows] + row)
    },
    metadata: first.metadata.merging(joinedRecipe(of: bundles, run)) { $1 })
  for name in names {
    for bundle in kind.perSample.contains(name) ? bundles : [first] {
      let tensor = bundle.tensors[name]!
      let whole = isNames(name, tensor) ? tensor.padded(to: width) : tensor
      try whole.bytes.withBytes { try writer.write($0) }
    }
  }
  try writer.finish()
  try output.finish()
}

/// Whether `tensor` holds names of samples, which may be longer in one bundle than in another.
private func isNames(_ name: String, _ tensor: Tensor) -> Bool {
  name == TensorKey.names.name && tensor.type == .u8 && tensor.shape.count == 2
}

extension Tensor {
  /// These names, U8 [n, L], padded to `width` bytes each.
  fileprivate func padded(to width: Int) -> Tensor {
    let (rows, own) = (shape[0], shape[1])
    if own == width { return self }
    let result = Tensor(type: .u8, shape: [rows, width])
    for i in 0..<rows {
      (result.bytes.base + i * width).copyMemory(from: bytes.base + i * own, byteCount: own)
    }
    return result
  }
}

/// Throws unless `bundle` has the tensors of `first`, by name and type, and its metadata, except that other commands
/// may have made it.
func expectAgreement(of bundle: Bundle, with first: Bundle) throws {
  let keys = Set(bundle.metadata.keys).union(first.metadata.keys)
  for key in keys.sorted(by: precedes) where key != "producer" && key != "command" {
    let (own, expected) = (bundle.metadata[key], first.metadata[key])
    guard own == expected else {
      throw Failure.data(
        "metadata \(quoted(key)) of \(bundle.name) is \(own.map(quoted) ?? "missing"), "
          + "of \(first.name) \(expected.map(quoted) ?? "missing")")
    }
  }
  let names = Set(bundle.tensors.keys).union(first.tensors.keys)
  for name in names.sorted(by: precedes) {
    for (one, other) in [(bundle, first), (first, bundle)] where one.tensors[name] == nil {
      throw Failure.data("\(one.name) has no tensor \(quoted(name)), which \(other.name) has")
    }
    let (own, expected) = (bundle.tensors[name]!, first.tensors[name]!)
    guard own.type == expected.type else {
      throw Failure.data(
        "tensor \(quoted(name)) of \(bundle.name) is \(own.summary), "
          + "of \(first.name) \(expected.summary)")
    }
  }
}

/// The metadata of a bundle made from several: the recipes one after the other, then this command.
func joinedRecipe(of bundles: [Bundle], _ run: Run) -> [String: String] {
  let recipes = bundles.compactMap { $0.metadata["command"] }
  return run.metadata(
    after: recipes.isEmpty ? [:] : ["command": recipes.joined(separator: "\n")])
}

func hasEqualBytes(_ a: Tensor, _ b: Tensor) -> Bool {
  a.bytes.withBytes { a in
    b.bytes.withBytes { b in
      a.count == b.count && memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0
    }
  }
}
