import Command
import Convex
import LinearAlgebra
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let bundle = try Bundle(reading: input)
  let rows = try DataRows(bundle)

  let progress = invocation.progress()
  let found: GatedPatterns
  let bound: Double
  if let count = settings.sample {
    bound = PatternCount.bound(hyperplanes: rows.count, rank: rows.dimension)
    found = try GatedPatterns.sampled(
      rows, count: count, sampler: settings.sampler ?? .gaussian, cut: settings.threshold ?? 0,
      seed: settings.seed
    ) { progress.update("\(count) gates, \(100 * $0 / rows.count) % of \(rows.count) rows") }
  } else {
    let exact = try ExactPatterns(rows.matrix, maximum: settings.maximum ?? 1_000_000)
    bound = exact.bound
    invocation.note("there can be at most \(PatternCount.text(bound)) patterns")
    found = try exact.list {
      progress.update("\($0) of \($1) hyperplanes")
    }
  }
  progress.finish()
  try found.bundle(
    source: bundle, isExact: settings.exact, bound: bound,
    metadata: invocation.metadata(after: bundle.metadata)
  ).write(to: output)
  try output.finish()
}
