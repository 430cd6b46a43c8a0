import Command
import Convex
import LinearAlgebra

Settings.tool.main { invocation in
  let start = Budget.now()
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let training = try Training(invocation, input: input, output: output, startedAt: start)
  let trainsOverAll = training.activation == .relu && training.source.kind == .dataset
  if !trainsOverAll { try training.expectNoNetworkOptions() }
  switch training.activation {
  case .polynomial(let polynomial): try training.polynomial(polynomial)
  case .relu where trainsOverAll: try training.network()
  case .relu, .gatedReLU: try training.arrangement(training.activation)
  case .linear, .circular: try training.linear(training.activation)
  }
}
