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
    switch (run.settings.program, run.settings.network.activation) {
    case (.matrices(let form), .polynomial(let activation)):
      try run.matrices(activation, form)
    case (.gated, _): try run.gatedProgram()
    default: try run.network()
    }
  try invocation.write(result, to: output, with: run.trace.output)
}
