import Command
import Schema
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  /// One number, or one for each stage.
  var betas: [Double]?
  var kind: GeneratorKind?
  var latent: String?
  var samples: Int?
  var neurons: Int?
  /// The sides of the images of each stage.
  var stages: [Int]?
  var seed = 0
  var contactSheet: String?
  var report: String?

  var generator: GeneratorKind { kind ?? (latent == nil && stages == nil ? .free : .linear) }
  /// The latent features to draw, or the bundle that has them.
  var latentCount: Int? { latent.flatMap { Int($0) } }
  var latentPath: String? { latentCount == nil ? latent : nil }

  func validate() throws {
    guard let betas else {
      throw Failure.usage("--beta B is missing: how far the Gram matrices may be apart")
    }
    guard betas.count == 1 || betas.count == stages?.count else {
      throw Failure.usage(
        "--beta has \(betas.count) numbers, expected one\(stages.map { ", or \($0.count) for the stages" } ?? "")"
      )
    }
    guard latent == nil || generator != .free else {
      throw Failure.usage("--latent is for --generator linear and relu: free samples have none")
    }
    guard latentCount.map({ $0 > 0 }) ?? true else {
      throw Failure.usage("--latent is \(latent ?? ""), expected at least 1 feature, or a bundle")
    }
    guard stages == nil || generator == .linear else {
      throw Failure.usage("--stages is for --generator linear")
    }
    guard neurons == nil || generator == .relu else {
      throw Failure.usage("--neurons is for --generator relu")
    }
    guard samples == nil || latentPath == nil else {
      throw Failure.usage("--samples and --latent BUNDLE exclude each other: each row is a sample")
    }
    for (name, path) in [("contact-sheet", contactSheet), ("report", report)] where path == "-" {
      throw Failure.usage("--\(name) needs a file: standard output is for the bundle")
    }
    if [latentPath, common.operands.first ?? "-"].count(where: { $0 == "-" }) > 1 {
      throw Failure.usage("standard input can be read once only")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "generate",
      summary: "samples like those of a data set: a Wasserstein GAN in closed form",
      description: description, options: options, threaded: true,
      examples: [
        "generate --beta 2 data.safetensors >generated.safetensors",
        "generate --beta 2 --generator linear --latent latent.safetensors data.safetensors >generated",
        "generate --beta 4e6 --stages 4,8,16,32 --samples 64 --contact-sheet cats.png cats.images -o new.images",
        "evaluate new.images cats.images",
      ])
  }
}

extension Settings {
  private static let description = """
    Reads samples X, a bundle of kind images or dataset, and writes a bundle of the same kind of new samples G. The \
    discriminators of this Wasserstein GAN are quadratic networks with the penalty B; the game of generator and \
    discriminator is then a convex program, min R(G) subject to |X'X - G'G| <= B, whose optimum has a closed form. Where G \
    has another number of rows than X, each Gram matrix is divided by its number of rows. |.| is the largest singular value.

    free: the samples themselves are found, R is the sum of their squares. linear: G = Z W for latent samples Z, R is the \
    sum of the squares of W. relu: G is that of free, and comes from latent samples through neurons, G = (Z U)+ A, of random \
    directions and the least weight decay for these.

    Images have their mean image taken away, and given back; they are rounded in the output alone, whose tensor generated \
    holds them as they were. With --stages a linear generator makes small images first, and each stage generates from the \
    images of the stage before.

    The bundle has metadata constraint, primal_objective, dual_objective, relative_gap and certificate (global: no \
    generator has a smaller R), computed by the code of evaluate from the data and what was generated: `evaluate GENERATED \
    DATA` does it again. Latent samples of too small a rank are refused, with the least B that they allow.
    """

  private static var options: [Option<Settings>] {
    [
      .value(
        "beta", "B[,B...]", \.betas,
        "The discriminators' penalty: how far the Gram matrices of data and samples may be apart. With --stages it is that of "
          + "the last stage, and stages of fewer pixels have less in proportion, or so little that they keep as many directions; "
          + "or each has its own.",
        expected: "numbers above 0 with commas between them"
      ) { text in
        parseNumbers(text).flatMap { $0.allSatisfy { $0 > 0 } ? .some($0) : nil }
      },
      .value(
        "generator", "KIND", \.kind,
        "free, linear or relu (default: linear with --latent or --stages, otherwise free).",
        words: GeneratorKind.allCases.map(\.rawValue), expected: GeneratorKind.expected
      ) { GeneratorKind(rawValue: $0).map(Optional.some) },
      .inputOrCount(
        "latent", "N|BUNDLE", \.latent,
        "The latent samples: N normal features, drawn at random (default: as many as there are directions to generate), or "
          + "the rows of a dataset."),
      .integer(
        "samples", "M", \.samples,
        "How many samples to generate (default: as many as there are data).",
        minimum: 1),
      .integer(
        "neurons", "M", \.neurons,
        "relu: neurons of random directions, of which those that are needed remain (default: four for each sample, whose time "
          + "grows with the cube of their number).",
        minimum: 1),
      .value(
        "stages", "S,S,...", \.stages,
        "Images: generate squares of these sides one after another, each from those before.",
        expected: "whole numbers above 0 that grow, with commas between them"
      ) { text in
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let sides = parts.compactMap { Int($0) }
        let grow = zip(sides, sides.dropFirst()).allSatisfy { $0 < $1 }
        return sides.count == parts.count && grow && sides[0] > 0 && sides.last! <= 4096
          ? .some(sides) : nil
      },
      .value(
        "seed", "N", \.seed, "The seed of what is drawn (default 0).", expected: "a whole number",
        parse: { Int($0) }),
      .output(
        "contact-sheet", "FILE.png", \.contactSheet,
        "Also write a picture of the first 64 images, or of the first 16 of each stage."),
      .output(
        "report", "FILE", \.report,
        "Also write the constraint's value and the certificate, of each stage, as lines of a name, a tab and a value."
      ),
    ]
  }
}
