import Command
import Schema
import Tensors

/// Gives the features and the targets of a dataset mean 0 and deviation 1, or those of an earlier one's scale.
func standardize(_ run: Run) throws {
  let output = try run.bundleOutput()
  let model = try run.settings.like.map { path in
    try run.read("--like", path) { input in
      let found = try earlierStandardization(input)
      guard let features = found.features else {
        throw Failure.data("\(input.name) is not standardised: it has no tensor \"shift\"")
      }
      return (name: input.name, features: features, targets: found.targets)
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
    try model?.features
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
  if let model {
    try model.targets?.changeTargets(of: &bundle, owner: model.name)
  } else if !run.settings.keepTargets {
    try fittedToTargets(of: bundle)?.changeTargets(of: &bundle, owner: bundle.name)
  }
  bundle.metadata.merge(run.metadata(after: bundle.metadata)) { $1 }
  try run.write(bundle, to: output)
}

/// The standardisation of the targets of `bundle`; nil if it has none, or if they are better left as they are: a column
/// of one or two values, which are signs or classes, and rows that are distributions, as cross-entropy has them.
func fittedToTargets(of bundle: Bundle) throws -> Standardization? {
  guard let targets = try bundle.optional(.targets), targets.count > 0 else { return nil }
  try targets.expectFinite("targets", of: bundle.name)
  let (n, columns) = (targets.shape[0], targets.count / targets.shape[0])
  let values = targets.doubles
  let areShares =
    columns > 1
    && (0..<n).allSatisfy { i in
      let row = values[i * columns..<(i + 1) * columns]
      return row.allSatisfy { $0 >= 0 } && abs(row.reduce(0, +) - 1) <= 1e-12
    }
  if areShares { return nil }
  let table = Tensor(type: targets.type, shape: [n, columns], bytes: targets.bytes)
  let fitted = try ColumnStatistics(of: table).standardization {
    "target \($0 + 1) of \(bundle.name)"
  }
  let isKept = (0..<columns).map { c in
    var seen = Set<Double>()
    return (0..<n).allSatisfy { i in
      seen.insert(values[i * columns + c])
      return seen.count <= 2
    }
  }
  if !isKept.contains(false) { return nil }
  return Standardization(
    shift: (0..<columns).map { isKept[$0] ? 0 : fitted.shift[$0] },
    divisor: (0..<columns).map { isKept[$0] ? 1 : fitted.divisor[$0] })
}

private func earlierStandardization(_ input: Input) throws -> (
  features: Standardization?, targets: Standardization?
) {
  let reader = try BundleReader(input)
  try reader.expect(.dataset, .arrangements, .solution, .network)
  var bundle = Bundle(metadata: reader.metadata, name: input.name)
  while let entry = reader.next {
    if ["shift", "divisor", "target_shift", "target_divisor"].contains(entry.name) {
      bundle.tensors[entry.name] = try reader.readTensor()
    } else {
      try reader.skipTensor()
    }
  }
  try reader.finish()
  return (try Standardization(bundle), try Standardization(bundle, of: .targets))
}
