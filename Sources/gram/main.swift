import Command
import Convolution
import LinearAlgebra
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)
  let inputs = settings.common.operands.isEmpty ? ["-"] : settings.common.operands
  let output = try invocation.bundleOutput()
  let like = try settings.like.map { path in
    try invocation.read("--like", path) { input in
      let bundle = try Bundle(reading: input)
      try bundle.expect(.statistics, .arrangements)
      return bundle
    }
  }
  let progress = invocation.progress()
  var summation: Summation?
  var (done, start) = (0, monotonicSeconds())
  for path in inputs {
    let input = try invocation.input(path: path)
    var number = 0
    while var bundle = try Bundle(nextOf: input) {
      number += 1
      if number > 1 { bundle.name = "bundle \(number) of \(input.name)" }
      try bundle.expect(.moments, .dataset, .arrangements)
      let sums = try summation ?? Summation(bundle, like: like, settings.choices)
      if summation == nil { start = monotonicSeconds() }
      summation = sums
      try sums.add(bundle) {
        done = $0
        let rate = Double(done) / max(1e-9, monotonicSeconds() - start)
        progress.update("\(done) samples, \(Int(rate)) a second")
      }
    }
    guard number > 0 else { throw Failure.data("\(input.name) is empty, expected a bundle") }
  }
  progress.finish()
  let result = try summation!.bundle { recipe in
    invocation.metadata(after: recipe.map { ["command": $0] } ?? [:])
  }
  if let spread = try Summation.spread(result), spread > 1e6 {
    invocation.warn(
      "the lengths of whitened features differ by a factor of \(spread.squareRoot()): T was fitted to unlike samples, "
        + "and small betas will be solved less accurately")
  }
  try invocation.write(result, to: output)
}
