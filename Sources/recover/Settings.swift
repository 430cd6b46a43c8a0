import Command
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var tolerance: Double?
  var minimal = false
  var data: String?
  /// All optimal networks.
  var vertices: Int?
  var reportsUniqueness = false
  /// Of one run, and copies of a neuron.
  static let mostNetworks = 10_000
  var split: Int?
  var unit = false
  var pathTarget: String?
  var steps: Int?
  var networks: String?
  /// The layers of a linear network.
  var depth: Int?
  static let mostLayers = 1000

  func validate() throws {
    if let tolerance, tolerance > 1 {
      throw Failure.usage("--tolerance is \(tolerance), expected at most 1: nothing would be left")
    }
    if [data, pathTarget, common.operands.first ?? "-"].count(where: { $0 == "-" }) > 1 {
      throw Failure.usage("standard input can be read once only")
    }
    try validateOptimalSet()
  }

  /// Whether it asks for optimal networks other than the solution's own.
  var wantsOptimalSet: Bool { vertices != nil || reportsUniqueness || pathTarget != nil }

  private func validateOptimalSet() throws {
    let ways = [
      ("--vertices", vertices != nil), ("--unique", reportsUniqueness),
      ("--path-to", pathTarget != nil), ("--split", split != nil), ("--minimal", minimal),
    ].filter(\.1).map(\.0)
    guard depth == nil || (ways.isEmpty && data == nil) else {
      throw Failure.usage("--depth and \(ways.first ?? "--data") exclude each other")
    }
    guard depth ?? 2 <= Settings.mostLayers else {
      throw Failure.usage("--depth is \(depth ?? 2), expected at most \(Settings.mostLayers)")
    }
    guard ways.count < 2 else {
      throw Failure.usage("\(ways[0]) and \(ways[1]) exclude each other")
    }
    guard !wantsOptimalSet || data != nil else {
      throw Failure.usage("\(ways[0]) needs --data BUNDLE, the arrangements of the solution")
    }
    guard networks == nil || vertices != nil || pathTarget != nil else {
      throw Failure.usage("--networks is for --vertices and --path-to")
    }
    for (option, count) in [("--split", split), ("--steps", steps)] {
      if let count, count > Settings.mostNetworks {
        throw Failure.usage("\(option) is \(count), expected at most \(Settings.mostNetworks)")
      }
    }
    guard steps == nil || pathTarget != nil else { throw Failure.usage("--steps is for --path-to") }
    guard !unit || depth == nil else {
      throw Failure.usage(
        "--unit and --depth exclude each other: the layers bear the penalty together")
    }
    guard !unit || !wantsOptimalSet else {
      throw Failure.usage("--unit and \(ways[0]) exclude each other")
    }
    guard tolerance == nil || !wantsOptimalSet else {
      throw Failure.usage("--tolerance and \(ways[0]) exclude each other")
    }
    if pathTarget != nil, networks == nil || steps == nil {
      throw Failure.usage("--path-to needs --steps N and --networks DIR")
    }
    if networks == "-" {
      throw Failure.usage("--networks names a directory, which standard output is not")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "recover",
      summary: "turn a convex solution into the network it stands for",
      description: description,
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
            + "samples, and for --minimal, --vertices, --unique and --path-to."),
        .integer(
          "vertices", "N", \.vertices,
          "Find up to N vertices of the set of optimal networks, those of which no neuron can be spared. The first is written as "
            + "the network, all of them into --networks.", minimum: 1),
        .flag(
          "unique", \.reportsUniqueness,
          "Print instead of a network a report: unique, true or false; candidates, the directions that neurons may have; rank, "
            + "of what they put out; then range_C_K, the least and the largest weight of candidate K of output C."
        ),
        .integer(
          "split", "K", \.split,
          "Replace each neuron by K equal ones, which together are that neuron: another optimal network.",
          minimum: 1),
        .flag(
          "unit", \.unit,
          "Give filters unit length, and what that takes away to the output weights: what patchify --after needs, so "
            + "that a further stage is no worse."),
        .integer(
          "depth", "L", \.depth,
          "Linear networks: recover L layers, parallel paths of one neuron a layer (default 2). The penalty "
            + "B/L · Σ |W|^L over all layers of all paths is that of the two layers. Over product gates 3.",
          minimum: 2),
        .input(
          "path-to", "NETWORK", \.pathTarget,
          "Go from the solution's network straight to another optimal one through optimal networks, which --steps of "
            + "--networks are."),
        .integer(
          "steps", "N", \.steps, "The networks of the path, both ends among them.", minimum: 2),
        .text(
          "networks", "DIR", \.networks,
          "Write the networks into DIR, which is made if it is not there: DIR/1, DIR/2 and so on; and DIR/solution, by which "
            + "evaluate --certify judges them all.",
          record: .placeholder),
      ],
      threaded: true,
      examples: examples)
  }

  private static let examples = [
    "recover --minimal --data train.arrangements solution >network",
    "solve --activation linear --beta 0.1 train | recover --depth 4 | evaluate --data test",
    "recover --data train.arrangements --unique solution",
    "recover --data train.arrangements --vertices 10 --networks vertices solution >network",
    "solve --activation 1,0,0 --beta 0.1 train | recover | evaluate --data test",
  ]
}

extension Settings {
  private static let description = """
    Reads a bundle of kind solution and writes a bundle of kind network: hidden.weight (a row a \
    neuron), output.weight (a row a class), and where they apply hidden.region (the pooling region \
    that a neuron looks at), hidden.group (where neurons share a group of the norm, its number), \
    hidden.gate and hidden.threshold.

    For polynomial activations this is the neural decomposition: of each class, region and sign no \
    more neurons than the rank of its matrix, with the outputs and the objective of the solution. Of A,0,C \
    a class and region have at most as many neurons as there are features, the eigenvectors of the difference of its two matrices. \
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
    their regions; a circular one all shifts of its filters. --minimal does not apply to these. With --depth L \
    a singular triplet of size s is a path through L layers, each of length s^(1/L): middle.weight has what \
    it is multiplied by in the layers between the first and the last. The loss, the objective and the certificate are those of two layers.

    Over product gates (arrangements --depth 2) hidden.gate.unit has the second-layer unit of each neuron, hidden.gate.hidden and \
    hidden.gate.output the weights of units. With --depth 3 the neurons of a unit and a class are a group, a neuron of the second \
    layer: middle.weight leads to it, and output.weight, the same for all, from it.

    A program can have many optimal networks. For relu and gated-relu with the squared loss and a group a class, their \
    neurons have directions of a finite list, whose weights are a polytope: --vertices, --unique and --path-to \
    speak of it. It is that of the patterns in --data: the report says certificate global only if their metadata say that \
    they are all there are and the bound of the solution is global. Their outputs are those of the exact optimum, from which \
    those of the solution are as far as its gap allows: --networks also writes a solution that has these outputs, and \
    their dual point.
    """
}
