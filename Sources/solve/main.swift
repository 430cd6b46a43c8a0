import Command
import Convex
import LinearAlgebra
import Tensors

Settings.tool.main { invocation in
  let start = Budget.now()
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let training = try Training(invocation, input: input, output: output, startedAt: start)
  switch invocation.settings.activation {
  case .polynomial(let activation)?: try training.polynomial(activation)
  case .arrangement(let activation)?: try training.arrangement(activation)
  case .linear?: try training.linear(invocation.settings.circular ? .circular : .linear)
  case nil: throw Failure.usage("--activation is missing")
  }
}
