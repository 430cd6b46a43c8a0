import Command
import Schema
import Tensors

/// Keeps a range of a bundle's samples.
func slice(_ run: Run) throws {
  let output = try run.bundleOutput()
  let reader = try BundleReader(run.input(path: run.settings.arguments.first ?? "-"))
  let kind = try sampleKind(reader.metadata, reader.entries.map(\.name), in: reader.input.name)
  let count = try sampleCount(
    kind, reader.entries.map { ($0.name, $0.shape) }, in: reader.input.name)
  guard let rows = run.settings.rows else { return }
  let range = rows.lower..<max(rows.lower, rows.upper ?? count)
  guard range.upperBound <= count, !range.isEmpty else {
    throw Failure.data(
      "\(reader.input.name) has \(count) samples: there are no rows "
        + "\(rows.lower):\(rows.upper.map(String.init) ?? "")")
  }
  var bundle = Bundle(metadata: reader.metadata)
  let progress = run.progress()
  while let entry = reader.next {
    progress.update("tensor \(bundle.tensors.count + 1) of \(reader.entries.count)")
    bundle.tensors[entry.name] =
      try kind.perSample.contains(entry.name)
      ? reader.readTensor(rows: range) : reader.readTensor()
  }
  try reader.finish()
  bundle.name = reader.input.name
  if kind.hasAnswers { try bundle.expectSoundAnswers(samples: range.count) }
  // The number of possible patterns depends on the number of samples.
  if kind == .arrangements { bundle.metadata["bound"] = nil }
  bundle.metadata.merge(run.metadata(after: reader.metadata)) { $1 }
  try run.write(bundle, to: output)
}

/// The kind of a bundle whose samples can be separated. Patterns cannot: they hold a bit for each sample, and all
/// samples decide which of them are distinct.
func sampleKind(
  _ metadata: [String: String], _ names: [String], in bundle: String
) throws -> Kind {
  guard let text = metadata["kind"] else {
    throw Failure.data(
      "the metadata of \(bundle) has no \"kind\": there is no telling which tensors have a row a "
        + "sample")
  }
  guard let kind = Kind(rawValue: text), !kind.perSample.isEmpty else {
    let kinds = Kind.allCases.filter { !$0.perSample.isEmpty }.map(\.rawValue)
    throw Failure.data(
      "\(bundle) is a bundle of kind \(quoted(text)), expected "
        + kinds.joined(separator: " or "))
  }
  guard !names.contains("patterns") else {
    throw Failure.data(
      "\(bundle) holds activation patterns, which belong to all of its samples: cut or join the "
        + "dataset and find its arrangements anew")
  }
  return kind
}
