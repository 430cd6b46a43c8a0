import Command
import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  if settings.reportsSpikeFree {
    let found = try SpikeFree(ArrangementData.features(of: Bundle(reading: input)))
    let output = try invocation.textOutput()
    try output.write("spike_free\t\(found.holds)\nreason\t\(found.reason)\n")
    try output.finish()
    return
  }
  let output = try invocation.bundleOutput()
  let bundle = try Bundle(reading: input)
  let rows = try DataRows(bundle)
  try bundle.expectSoundAnswers(samples: rows.samples)

  let progress = invocation.progress()
  var metadata = invocation.metadata(after: bundle.metadata)
  let result: Bundle
  if let count = settings.sample {
    let drawn = try invocation.draw(count, for: rows, of: bundle, progress, note: &metadata)
    // Of products nobody has counted how many there can be.
    let bound =
      settings.unitWidth == nil
      ? PatternCount.bound(hyperplanes: rows.count, rank: rows.dimension) : .infinity
    if rows.isDeferred {
      result = drawn.bundle(source: bundle, isExact: false, bound: bound, metadata: metadata)
    } else {
      result = try GatedPatterns(of: drawn, on: rows) {
        progress.update("\(count) gates, \(100 * $0 / rows.count) % of \(rows.count) rows")
      }.bundle(source: bundle, isExact: false, bound: bound, metadata: metadata)
    }
  } else if let path = settings.from {
    let found = try invocation.read("--from", path) {
      let network = try Bundle(reading: $0)
      try DataModel(network).expectSame(bundle)
      return try SampledGates(network: network, rows: rows)
    }
    let drawn = settings.isOpen ? found.withOpenGate() : found
    let bound = PatternCount.bound(hyperplanes: rows.count, rank: rows.dimension)
    result =
      rows.isDeferred
      ? drawn.bundle(source: bundle, isExact: false, bound: bound, metadata: metadata)
      : try GatedPatterns(of: drawn, on: rows)
        .bundle(source: bundle, isExact: false, bound: bound, metadata: metadata)
  } else {
    metadata[.depth] = settings.depth == 2 ? 2 : nil
    metadata[.unitWidth] = settings.width
    result = try invocation.exactPatterns(of: bundle, rows, metadata) {
      progress.update("\($0) of \($1) hyperplanes")
    }
  }
  progress.finish()
  if let threshold = settings.threshold, result.tensors["thresholds"]?.isFinite == false {
    throw Failure.usage(
      "--threshold \(threshold) is too large: times the length of a gate it is no finite number")
  }
  try invocation.write(result, to: output)
}

extension Invocation<Settings> {
  /// `count` gates as --sampler, --depth and --open ask for; `metadata` gets what they note.
  fileprivate func draw(
    _ count: Int, for rows: DataRows, of bundle: Bundle, _ progress: Progress,
    note metadata: inout [String: String]
  ) throws -> SampledGates {
    let window = try settings.window(of: bundle, rows)
    if let window { metadata["window"] = "\(window.size)" }
    let sampler = settings.sampler ?? .gaussian
    var drawn = try SampledGates(
      rows, count: count, sampler: sampler, cut: settings.threshold ?? 0, seed: settings.seed,
      window: window
    ) { progress.update("\(count) centroids, iteration \($0)") }
    if let width = settings.unitWidth {
      drawn = try drawn.withUnits(
        width: width, of: rows, sampler: sampler, seed: settings.seed, window: window)
    }
    return settings.isOpen ? drawn.withOpenGate() : drawn
  }
}
