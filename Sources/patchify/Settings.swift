import Command
import Patches
import Tensors

/// The type of the features.
enum FeatureType: String, CaseIterable {
  case f32 = "F32"
  case f64 = "F64"
}

struct Settings: ToolSettings {
  var common = CommonSettings()
  var size: Int?
  var stride: Int?
  var padding: Int?
  var pool: Pooling?
  var flatten = false
  var mirror = false
  var scale: PixelScale?
  var center = false
  var whiten: Double?
  var components: Int?
  var contrast: Double?
  var standardize = false
  var bias = false
  var moments = false
  var deferred = false
  var patches = false
  var type: FeatureType?
  var like: String?
  var after: [String] = []
  var keep: Int?
  var directions: Int?
  var responses = false
  var average: Int?

  /// What of the networks' hidden layers goes on.
  var choice: LayerChoice {
    responses ? .responses : directions.map { .directions($0) } ?? .neurons(keep: keep)
  }

  /// The product, if the options name one.
  var product: PatchProduct? {
    moments ? .moments : deferred ? .deferred : patches ? .dataset : nil
  }

  func validate() throws {
    let products = [("moments", moments), ("defer", deferred), ("patches", patches)].filter(\.1)
    if products.count > 1 {
      throw Failure.usage("--\(products[0].0) and --\(products[1].0) exclude each other")
    }
    if like != nil {
      let given = [
        ("size", size != nil), ("stride", stride != nil), ("padding", padding != nil),
        ("pool", pool != nil), ("flatten", flatten), ("mirror", mirror), ("scale", scale != nil),
        ("center", center),
        ("whiten", whiten != nil), ("components", components != nil),
        ("contrast", contrast != nil), ("bias", bias), ("standardize", standardize),
        ("after", !after.isEmpty),
      ]
      if let (name, _) = given.first(where: { $0.1 }) {
        throw Failure.usage("--like takes every choice from its bundle: leave out --\(name)")
      }
      if like == "-", common.operands.first ?? "-" == "-" {
        throw Failure.usage("standard input cannot be both the images and the bundle of --like")
      }
    }
    try validateLayers()
    if standardize {
      let others = [
        ("contrast", contrast != nil), ("center", center), ("whiten", whiten != nil),
        ("moments", moments), ("defer", deferred), ("after", !after.isEmpty),
      ]
      if let (name, _) = others.first(where: { $0.1 }) {
        throw Failure.usage("--standardize and --\(name) exclude each other")
      }
    }
    if flatten {
      for (name, value) in [("size", size), ("stride", stride), ("padding", padding)]
      where value != nil {
        throw Failure.usage("--flatten makes one patch of the whole image: leave out --\(name)")
      }
    }
    if components != nil, whiten == nil {
      throw Failure.usage("--components needs --whiten EPS")
    }
    if let padding, padding >= size ?? 4 {
      throw Failure.usage("--padding \(padding) must be less than the patch size \(size ?? 4)")
    }
  }

  private func validateLayers() throws {
    let choices = [
      ("keep", keep != nil), ("directions", directions != nil), ("responses", responses),
    ].filter(\.1)
    if choices.count > 1 {
      throw Failure.usage("--\(choices[0].0) and --\(choices[1].0) exclude each other")
    }
    if after.isEmpty, let (name, _) = (choices + [("average", average != nil)]).first(where: \.1) {
      throw Failure.usage("--\(name) needs --after NETWORK")
    }
    if !after.isEmpty, scale != nil {
      throw Failure.usage(
        "pixels are scaled as they were for the network of --after: leave out --scale")
    }
    let standard = (after + [common.operands.first ?? "-"]).count { $0 == "-" }
    if standard > 1 {
      throw Failure.usage("standard input cannot be both the data and the network of --after")
    }
  }

  /// The choices that only images have; nil if there is none.
  var choiceForImages: String? {
    let given = [
      ("size", size != nil), ("stride", stride != nil), ("padding", padding != nil),
      ("pool", pool != nil), ("flatten", flatten), ("mirror", mirror), ("center", center),
      ("whiten", whiten != nil), ("components", components != nil), ("contrast", contrast != nil),
      ("moments", moments), ("defer", deferred), ("average", average != nil),
    ]
    return given.first { $0.1 }.map(\.0)
  }

  /// The steps that the options ask for.
  var steps: PatchSteps {
    var steps = PatchSteps()
    let size = self.size ?? 4
    steps.window =
      flatten
      ? .wholeImage : .square(size: size, stride: stride ?? size, padding: padding ?? 0)
    steps.pooling = pool ?? .grid(1)
    steps.mirrors = mirror
    steps.scale = scale ?? PixelScale()
    steps.contrast = contrast
    steps.centers = center
    steps.whitening = whiten
    steps.components = components
    steps.standardizes = standardize
    steps.bias = bias
    return steps
  }
}

extension Settings {
  static var tool: Tool<Settings> {
    Tool(
      name: "patchify",
      summary: "cut images into patches, normalise, whiten, or pool their moments",
      description: description,
      options: patchOptions + normalizationOptions + layerOptions + outputOptions,
      threaded: true,
      examples: [
        "cifar-extract cifar-10 | patchify --moments -o train.st",
        "cifar-extract --split test cifar-10 | patchify --like train.st -o test.st",
        "patchify --size 6 --stride 2 --pool 2 --contrast 0.01 --whiten 0.1 --components 48 --moments "
          + "images.st -o moments.st",
        "patchify --size 6 --stride 1 --pool 2 --contrast 6e-4 --whiten 0.1 --components 24 --bias --defer "
          + "images.st -o train.st",
        "patchify --after network --responses --average 2 --size 3 --stride 1 --pool 2 --contrast 0.1 --whiten 0.1 "
          + "--components 48 --bias --defer images.st -o stage2.st",
      ])
  }

  private static let description = """
    Reads a bundle of kind images and writes a dataset: x [n, K, d], the K patches of d features of \
    each image, row by row, features ordered channel, row, column. With --moments it writes what a \
    network with a polynomial activation needs instead: of each pooling region the average of x xᵀ \
    (upper triangle, row-major, off-diagonals times √2) and the average of x; then the patches are \
    never held.

    With --defer it writes the images as they came, and all that was chosen and fitted, in place of x: \
    arrangements, solve and evaluate cut the patches block by block when they need them, and find the \
    numbers that x would hold. Nothing of the size of all patches is held or written then.

    With --mirror a network puts out the same for an image and its mirror image. Where patches and regions lie \
    symmetrically it is the best one for both: with each gate's mirror image among the gates, training on the \
    images of cifar-extract --flip ends at the same network for twice the beta. Half the samples and half the \
    gates find it.

    The steps, in this order: pixels are scaled (--scale); patches are cut (--size, --stride, \
    --padding); each patch is normalised (--contrast); the mean of all patches is subtracted \
    (--center) and they are whitened (--whiten), or each channel is standardised (--standardize, by the tensors shift and \
    divisor); a constant 1 is appended (--bias). Padding is 0 \
    after scaling. Positions are left out at which a patch would leave the padded image.

    --whiten EPS is ZCA, V (Λ + EPS mean Λ)^(-1/2) Vᵀ of the covariance V Λ Vᵀ of all patches; with \
    --components N it is PCA to the N leading directions. With EPS 0, directions in which the \
    patches do not vary (eigenvalues up to 1e-11 of the largest) become 0. --contrast measures EPS \
    in scaled pixels squared; with EPS 0 a constant patch becomes 0.

    With --after NETWORK the hidden layer of a trained network comes first: it is applied wherever it was trained, \
    and its outputs are the pixels of the images that are cut here, a channel for each neuron, a pixel for each \
    patch. So a further network can be trained on what an earlier one has learned, layer after layer. The layers that \
    the network's own data went through come before it. Whatever goes on is written into the bundle, and from there \
    into solution and network: nothing of the size of all outputs is held with --defer. If the network was trained on \
    features that are no patches, the input is a dataset of such features, and the output is one of its \
    neurons' outputs.

    With neurons of unit length (recover --unit), the open gate among the gates (arrangements --open), the same \
    regions, and patches of size 1, neither centred nor whitened, the optimum of a next stage is no worse than that \
    of the stage before, if all neurons go on.

    --like BUNDLE repeats the steps of an earlier dataset, moments or arrangements with its fitted mean and \
    whitening, and writes what that bundle is (patches, deferred patches or moments), in its type, unless \
    --patches, --defer, --moments or --dtype say otherwise. Choices and statistics stand in the metadata and the tensors mean and whiten of \
    every bundle written.
    """

  /// The places of patches, and their pooling.
  private static var patchOptions: [Option<Settings>] {
    [
      .integer(
        "size", "F", \.size, "Cut patches of F × F pixels (default 4).", minimum: 1),
      .integer(
        "stride", "S", \.stride, "Move by S pixels from patch to patch (default: the size).",
        minimum: 1),
      .integer(
        "padding", "P", \.padding,
        "Surround each image with P zeros, fewer than the size (default 0).", minimum: 0),
      .value(
        "pool", "G", \.pool,
        "Average over each region of a G × G grid of patches; none gives each patch its own region "
          + "(default 1).", expected: "a whole number of at least 1, or none"
      ) { text in Pooling(text).map { .some($0) } },
      .flag("flatten", \.flatten, "Make one patch of the whole image."),
      .flag(
        "mirror", \.mirror,
        "Cut the patches of each image's mirror image too, 2K in all, and average over both."),
    ]
  }

  /// The changes to pixels and patches.
  private static var normalizationOptions: [Option<Settings>] {
    [
      .value(
        "scale", "A,B", \.scale, "Map pixel 0 to A and 255 to B (default -1,1).",
        expected: "two numbers that differ, as in -1,1"
      ) { text in PixelScale(text).map { .some($0) } },
      .nonNegative(
        "contrast", "EPS", \.contrast,
        "Subtract each patch's mean and divide by the root of its variance plus EPS."),
      .flag("center", \.center, "Subtract the mean of all patches."),
      .nonNegative(
        "whiten", "EPS", \.whiten,
        "Decorrelate patches (ZCA), EPS relative to the mean eigenvalue; centres too."),
      .integer(
        "components", "N", \.components, "With --whiten: PCA to N dimensions.", minimum: 1),
      .flag(
        "standardize", \.standardize,
        "Give each channel the mean 0 and the deviation 1 over all patches."),
      .flag("bias", \.bias, "Append a constant 1 to every patch."),
    ]
  }

  /// Earlier layers, and what of them goes on.
  private static var layerOptions: [Option<Settings>] {
    [
      .inputs(
        "after", "NETWORK", \.after,
        "Apply the hidden layer of this network first, and before it those that its own data went through. These networks "
          + "may be named too, in order: then they are compared. What follows is about the last."),
      .integer(
        "keep", "N", \.keep,
        "Of the neurons, let those N go on whose weights are largest (default: all, each filter with its gate once).",
        minimum: 1),
      .integer(
        "directions", "N", \.directions,
        "Let the N leading singular directions of each gate's weights go on, of unit length, in place of the neurons.",
        minimum: 1),
      .flag(
        "responses", \.responses,
        "Let the gates themselves go on, of unit length: the part of x.g above the threshold."),
      .integer(
        "average", "N", \.average,
        "Average the outputs over squares of N × N patches (default 1).", minimum: 1),
    ]
  }

  /// The product, and an earlier bundle to follow.
  private static var outputOptions: [Option<Settings>] {
    [
      .flag("moments", \.moments, "Write pooled moments instead of patches."),
      .flag("defer", \.deferred, "Write the images, of which other tools cut the patches."),
      .flag("patches", \.patches, "Write patches: the default, except after --like."),
      .value(
        "dtype", "TYPE", \.type,
        "Write features as F32 or F64 (default F32 for patches, F64 for moments); with --defer, round them "
          + "to it when they are cut.",
        expected: "F32 or F64"
      ) { text in FeatureType(rawValue: text).map { .some($0) } },
      .input(
        "like", "BUNDLE", \.like,
        "Repeat the steps of an earlier bundle, with the statistics fitted there."),
    ]
  }
}
