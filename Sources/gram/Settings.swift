import Command
import Convolution
import Schema
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var choices = SummationChoices()
  var like: String?

  func validate() throws {
    if (common.operands + [like].compactMap { $0 }).filter({ $0 == "-" }).count > 1
      || (like == "-" && common.operands.isEmpty)
    {
      throw Failure.usage("standard input can be read once only")
    }
    if choices.type == .f32, case .polynomial = choices.activation {
      throw Failure.usage(
        "--dtype F32 is not for polynomials: single precision proves nothing there")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "gram",
      summary: "add up what training with squared loss needs of the samples",
      operands: "[FILE...]",
      operandCount: 0...Int.max,
      description: description,
      options: [
        .value(
          "activation", "NAME", \.choices.activation,
          "The networks' activation: A,B,C for a polynomial, gated-relu (the default of arrangements) or linear.",
          words: ["gated-relu", "linear"], expected: "gated-relu, linear or three numbers A,B,C"
        ) { text in
          Activation.parse(option: text).flatMap { $0 == .relu ? nil : .some($0) }
        },
        .value(
          "targets", "A,B", \.choices.targets,
          "The targets of two classes, first and second (default -1,1).",
          expected: TargetValues.expected
        ) { TargetValues.parse($0).map { .some($0) } },
        .input(
          "like", "BUNDLE", \.like,
          "Add up what BUNDLE did, a bundle of kind statistics: then both can be added. Or take the gates of "
            + "arrangements, for samples without gates."),
        .value(
          "dtype", "TYPE", \.choices.type,
          "The precision of the sums, F64 (default) or F32, of half the size, for gated-relu and linear.",
          words: ["F64", "F32"], expected: "F64 or F32"
        ) { text in [ElementType.f64, .f32].first { $0.rawValue == text }.map { .some($0) } },
      ],
      threaded: true,
      examples: [
        "patchify --moments sample.images | gram --activation 0.09,0.5,0.47 -o like",
        "for s in shards/*.images; do patchify --like like --moments $s; done | gram --like like | "
          + "solve --beta 0.01 --gap 1e-6 -o solution",
        "gram --like train.arrangements shard.dataset -o shard.statistics",
        "tensor sum --samples 8 shard-*.statistics | solve --beta 10 -o solution",
      ])
  }

  private static let description = """
    Reads bundles of samples (moments, dataset or arrangements), of each file or of standard input, which may hold \
    several one after another, and writes one bundle of kind statistics: sums over all samples of the products of \
    features and targets. solve trains from it as from the samples, for the squared loss; evaluate judges by it; tensor \
    sum adds those of other samples. Memory is one bundle of samples and the sums, however many there are.

    The features of a polynomial are those of whitened moments, which a transform T makes comparable: it is fitted to \
    some of the first 2048 samples, or is that of --like. Those of gated-relu are pooled patches, of each gate those \
    that it lets through; the gates are those of the first bundle, or of --like. Those of linear are pooled patches.

    Samples that were not made as those before are refused: patchify --like BUNDLE makes them so, BUNDLE being the \
    statistics themselves. Sums that do not fit into memory are refused before the work starts, with their size.

    With --dtype F32 the sums are those of features less the mean of the first 256 samples. Nothing is proved of \
    samples by single precision: a tally refuses its claims. Choose by it, and train the last network from F64.
    """
}
