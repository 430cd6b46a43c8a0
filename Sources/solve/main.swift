import Command
import Convex
import LinearAlgebra

Settings.tool.main { invocation in
  let start = Budget.now()
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let training = try Training(invocation, input: input, output: output, startedAt: start)
  let trainsOverAll =
    training.activation == .relu && training.source.kind == .dataset
    && !training.settings.freeBias && training.settings.batchNorm != .after
    && training.settings.constraint == nil
  if !trainsOverAll { try training.expectNoNetworkOptions() }
  if training.source.kind == .statistics {
    try training.statistics()
    return
  }
  switch training.activation {
  case .polynomial(let polynomial): try training.polynomial(polynomial)
  case .relu, .gatedReLU:
    if try training.hasThreeLayers() {
      try training.threeLayers()
    } else if !training.others.isEmpty {
      try training.joint()
    } else if training.settings.freeBias {
      try training.spline()
    } else if try training.wantsFaces() {
      try training.faces()
    } else if let constraint = training.settings.constraint {
      try training.smallestNorm(training.activation, constraint)
    } else if training.settings.batchNorm == .after {
      try training.normalized(training.activation)
    } else if trainsOverAll {
      try training.network()
    } else {
      try training.arrangement(training.activation)
    }
  case .quantized: try training.quantized()
  case .linear, .circular: try training.linear(training.activation)
  }
}
