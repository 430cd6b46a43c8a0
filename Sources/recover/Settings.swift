import Command
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var tolerance: Double?
  var minimal = false
  var data: String?

  func validate() throws {
    if let tolerance, tolerance > 1 {
      throw Failure.usage("--tolerance is \(tolerance), expected at most 1: nothing would be left")
    }
    if data == "-", common.operands.first ?? "-" == "-" {
      throw Failure.usage("standard input can be read once only")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "recover",
      summary: "turn a convex solution into the network it stands for",
      description: """
        Reads a bundle of kind solution and writes a bundle of kind network: hidden.weight (a row a \
        neuron), output.weight (a row a class), and where they apply hidden.region (the pooling region \
        that a neuron looks at), hidden.group (where neurons share a group of the norm, its number), \
        hidden.gate and hidden.threshold.

        For polynomial activations this is the neural decomposition: of each class, region and sign no \
        more neurons than the rank of its matrix, with the outputs and the objective of the solution. \
        Filters have unit norm.

        For ReLU and gated ReLU each weight of the solution is a neuron, shared between the layers so that \
        both bear half of the norm. Neurons that are multiples of one another become one. --minimal goes \
        on until what the neurons of a class put out on the training data is linearly independent, which \
        are at most as many as there are samples; neither the outputs on these data nor the objective \
        change. It needs the data, --data, unless the solution says that solve has done it already. \
        Whether the weights lie in their cones is for `evaluate --certify` to say, which has the data.

        With more than one pooling region, or a group a pattern, a group of length N has a neuron for each of \
        its weights, of a region and a class: the weight divided by the root of N goes in, the root of N comes \
        out. A linear network, and one of the nuclear norm, has the singular triplets, a neuron for each of \
        their regions; a circular one all shifts of its filters. --minimal does not apply to these.
        """,
      options: [
        .positive(
          "tolerance", "T", \.tolerance,
          "Drop neurons whose output weight is below T times the largest. The default drops nothing "
            + "that shows in the tenth digit of a prediction."),
        .flag(
          "minimal", \.minimal,
          "ReLU and gated ReLU: remove neurons as long as outputs on the training data and objective stay."
        ),
        .input(
          "data", "BUNDLE", \.data,
          "The arrangements that the solution was trained on: where a class has more neurons than there are "
            + "samples, and for --minimal."),
      ],
      threaded: true,
      examples: [
        "recover solution >network",
        "recover --minimal --data train.arrangements solution >network",
        "solve --activation 1,0,0 --beta 0.1 train | recover | evaluate --data test",
      ])
  }
}
