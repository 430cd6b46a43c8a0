import Command
import Convex
import LinearAlgebra
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var tolerance: Double?

  func validate() throws {
    if let tolerance, tolerance > 1 {
      throw Failure.usage("--tolerance is \(tolerance), expected at most 1: nothing would be left")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "recover",
      summary: "turn a convex solution into the network it stands for",
      description: """
        Reads a bundle of kind solution and writes a bundle of kind network: hidden.weight (the filters, \
        a row a neuron, of unit norm for polynomial activations), output.weight (a row a class), and \
        hidden.region (the pooling region that a neuron looks at).

        For polynomial activations this is the neural decomposition: of each class, region and sign no \
        more neurons than the rank of its matrix, with the outputs and the objective of the solution.
        """,
      options: [
        .positive(
          "tolerance", "T", \.tolerance,
          "Drop neurons whose output weight is below T times the largest. The default drops nothing "
            + "that shows in the tenth digit of a prediction.")
      ],
      threaded: true,
      examples: [
        "recover solution >network",
        "solve --activation 1,0,0 --beta 0.1 train | recover | evaluate --data test",
      ])
  }
}

Settings.tool.main { invocation in
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let solution = try Bundle(reading: input)
  let blocks = try Solutions.blocks(solution)
  try Solutions.expectFeasible(blocks)
  _ = try solution.value("activation", "three numbers A,B,C", parse: PolynomialActivation.init)
  let network = RecoveredNetwork(blocks, tolerance: invocation.settings.tolerance)
  try network.bundle(from: solution, metadata: invocation.metadata(after: solution.metadata))
    .write(to: output)
  try output.finish()
}
