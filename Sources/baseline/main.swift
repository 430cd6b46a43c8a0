import Command
import Convex
import LinearAlgebra
import Training

Settings.tool.main { invocation in
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let run = try Run(invocation, input: input)
  let result =
    if case .polynomial(let activation) = run.settings.network.activation,
      let form = run.settings.program
    {
      try run.matrices(activation, form)
    } else {
      try run.network()
    }
  try invocation.write(result, to: output, with: run.trace.output)
}
