import Command
import Schema
import Tensors

/// Gives the features of a dataset mean 0 and deviation 1, or those of an earlier one's scale.
func standardize(_ run: Run) throws {
  let output = try run.bundleOutput()
  let model = try run.settings.like.map { path in
    try run.read("--like", path) { input in
      guard let found = try earlierStandardization(input) else {
        throw Failure.data("\(input.name) is not standardised: it has no tensor \"shift\"")
      }
      return found
    }
  }
  var bundle = try Bundle(reading: run.input(path: run.settings.arguments.first ?? "-"))
  guard bundle.kind != .arrangements else {
    throw Failure.data(
      "\(bundle.name) is a bundle of kind \"arrangements\", whose gates are for its features as they are: "
        + "standardise the dataset and find its arrangements anew")
  }
  try bundle.expect(.dataset)
  guard try Standardization(bundle) == nil else {
    throw Failure.data("\(bundle.name) is standardised already: it has a tensor \"shift\"")
  }
  guard bundle[.x] != nil || bundle[.images] == nil else {
    throw Failure.data(
      "\(bundle.name) has its patches deferred: cut them first (patchify without --defer)")
  }
  let patches = try PatchTensor(bundle)
  try patches.x.expectFinite("x", of: bundle.name)
  let d = patches.dimension
  let names = try bundle.featureNames()
  let fitted =
    try model
    ?? ColumnStatistics(of: patches.x).standardization { k in
      let title = names.flatMap { $0.indices.contains(k) ? quoted($0[k]) : nil }
      return "feature \(title ?? "\(k + 1)") of \(bundle.name)"
    }
  guard fitted.shift.count == d else {
    throw Failure.data(
      "tensor \"x\" of \(bundle.name) is \(patches.x.summary), but --like has \(fitted.shift.count) features"
    )
  }
  bundle[.x] = patches.x.mapRows(of: d, shape: patches.x.shape) { row, target in
    for k in 0..<d { target[k] = (row[k] - fitted.shift[k]) / fitted.divisor[k] }
  }
  fitted.write(to: &bundle)
  bundle.metadata.merge(run.metadata(after: bundle.metadata)) { $1 }
  try run.write(bundle, to: output)
}

private func earlierStandardization(_ input: Input) throws -> Standardization? {
  let reader = try BundleReader(input)
  try reader.expect(.dataset, .arrangements, .solution, .network)
  var bundle = Bundle(metadata: reader.metadata, name: input.name)
  while let entry = reader.next {
    if ["shift", "divisor"].contains(entry.name) {
      bundle.tensors[entry.name] = try reader.readTensor()
    } else {
      try reader.skipTensor()
    }
  }
  try reader.finish()
  return try Standardization(bundle)
}
