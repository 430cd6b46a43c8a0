import Command
import Schema
import Tensors

/// Makes a bundle from NumPy files.
func fromNPY(_ run: Run) throws {
  let output = try run.bundleOutput()
  var bundle = Bundle(metadata: run.metadata())
  for (name, path) in run.settings.pairs {
    bundle.tensors[name] = try NPY.read(run.input(path: path))
  }
  let kind = try run.settings.kind ?? inferredKind(of: bundle)
  bundle.metadata["kind"] = kind.rawValue
  bundle.name = "the new bundle"
  for name in bundle.tensors.keys.sorted(by: precedes) {
    bundle.tensors[name] = try adapted(bundle.tensors[name]!, name, kind, of: bundle.name)
  }
  var samples = 0
  if !kind.perSample.isEmpty {
    samples = try sampleCount(
      kind, bundle.tensors.map { ($0.key, $0.value.shape) }, in: bundle.name)
  }
  if kind != .solution, let labels = bundle.tensors["labels"] {
    bundle.metadata["classes"] = try classes(of: labels)
  }
  if kind.hasAnswers { try bundle.expectSoundAnswers(samples: samples) }
  try run.write(bundle, to: output)
}

/// The kind that belongs to the first of these tensors that the bundle has.
private func inferredKind(of bundle: Bundle) throws -> Kind {
  let marks: [(String, Kind)] = [
    ("output.weight", .network), ("dual", .solution), ("gates", .arrangements),
    ("moments", .moments), ("x", .dataset), ("images", .images),
  ]
  for (name, kind) in marks where bundle.tensors[name] != nil { return kind }
  throw Failure.usage("none of the names tells the kind of the bundle: give --kind KIND")
}

/// `tensor` with the type that the format gives it, its values unchanged, and of a shape that the
/// format allows.
private func adapted(
  _ tensor: Tensor, _ name: String, _ kind: Kind, of bundle: String
) throws -> Tensor {
  let real: [ElementType] = [.f32, .f64]
  let adapted: Tensor
  switch name {
  case "labels", "index", "pool", "hidden.region": adapted = try tensor.asInt32(name)
  case "targets", "dual", "predictions": adapted = tensor.asDouble
  case "x", "moments", "mean", "whiten":
    adapted = real.contains(tensor.type) ? tensor : tensor.asDouble
  default: adapted = tensor
  }
  let keys: [TensorKey] = [.x, .moments, .images, .labels, .targets, .pool]
  if let key = keys.first(where: { $0.name == name }) {
    try adapted.expect(name, key.types, key.shapes, of: bundle)
  } else if name == "index" {
    try adapted.expect(name, [.i32], ["[n]"], of: bundle)
  }
  return adapted
}

/// The classes of labels that have no names but their numbers.
private func classes(of labels: Tensor) throws -> String {
  let (low, high) = labels.withElements(of: Int32.self) { ($0.min() ?? 0, $0.max() ?? 0) }
  // These are far more classes than any network here could have: the column is probably another one.
  guard low >= 0, high < 1_000_000 else {
    throw Failure.data(
      "tensor \"labels\" holds \(low < 0 ? low : high), expected classes numbered from 0")
  }
  return (0...high).map(String.init).joined(separator: ",")
}
