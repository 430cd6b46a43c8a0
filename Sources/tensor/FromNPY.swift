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
    let (numbers, classes) = try numberedClasses(of: labels, named: run.settings.classes)
    bundle[.labels] = numbers
    bundle.metadata["classes"] = quotedArray(classes)
  } else if run.settings.classes != nil {
    throw Failure.data("--classes needs labels: labels=FILE")
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

/// Labels that count classes, and the names of these: each different value is a class, in ascending order. `names` name
/// them: all of them, or those from 0 up to their number, of which some may have no sample.
private func numberedClasses(
  of labels: Tensor, named names: [String]?
) throws -> (labels: Tensor, classes: [String]) {
  try labels.withElements(of: Int32.self) { labels in
    let values = Set(labels).sorted()
    // These are far more classes than any network here could have: the column is probably another one.
    guard values.count < 1_000_000 else {
      throw Failure.data(
        "tensor \"labels\" holds \(values.count) different values: are they classes?")
    }
    var classes = names ?? values.map(String.init)
    var places = Dictionary(uniqueKeysWithValues: values.enumerated().map { ($1, Int32($0)) })
    if let names, names.count != values.count {
      guard values.first == 0, Int(values.last!) < names.count else {
        throw Failure.data(
          "tensor \"labels\" holds the \(values.count) values "
            + "\(values.prefix(20).map(String.init).joined(separator: ", "))\(values.count > 20 ? ", …" : ""), but "
            + "--classes has \(names.count) names: expected as many, or values from 0 to \(names.count - 1)"
        )
      }
      classes = names
      places = Dictionary(uniqueKeysWithValues: values.map { ($0, $0) })
    }
    return (Tensor(labels.map { places[$0]! }), classes)
  }
}
