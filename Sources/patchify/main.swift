import Command
import LinearAlgebra
import Patches
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(settings.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let networks = try settings.after.map { path in
    try invocation.read("--after", path) { try Bundle(reading: $0) }
  }
  let layers =
    try networks.isEmpty
    ? LayerStack()
    : invocation.blaming("--after", networks.last!.name) {
      try LayerStack(of: networks, settings.choice, average: settings.average ?? 1)
    }
  let reader = try BundleReader(input)
  if reader.kind == .dataset {
    try invocation.writeFeatures(reader, through: layers, to: output)
    return
  }
  let earlier = try settings.like.map { path in
    try invocation.read("--like", path) { try EarlierPatches(reading: $0) }
  }
  var images = try LabelledImages(reader)
  try earlier?.adapt(&images)

  let product = settings.product ?? earlier?.product ?? .dataset
  let earlierType = earlier.flatMap {
    ($0.product == .moments) == (product == .moments) ? $0.type : nil
  }
  let type =
    settings.type.map { $0 == .f32 ? ElementType.f32 : .f64 } ?? earlierType
    ?? (product == .moments ? .f64 : .f32)
  var extraction = try PatchExtraction(
    images: images, steps: earlier?.steps ?? settings.steps, layers: earlier?.layers ?? layers,
    product: product, type: type)
  let progress = invocation.progress()
  extraction.progress = { done, total in
    progress.update("\(100 * done / total) % of \(images.count) images")
  }
  var fit = earlier?.fit
  if earlier == nil, let (fitted, rank) = try extraction.fit() {
    fit = fitted
    if let rank, settings.whiten == 0, rank < settings.components ?? extraction.grid.features {
      invocation.warn("the patches vary in \(rank) directions only: the others became 0")
    }
  }
  try extraction.write(
    to: output, fit: fit, metadata: invocation.metadata(after: images.metadata))
  progress.finish()
  try output.finish()
}

extension Invocation<Settings> {
  /// Features that are no patches of images go through the layers of networks.
  func writeFeatures(_ reader: BundleReader, through given: LayerStack, to output: Output) throws {
    // Only layers make something else of features.
    if given.layers.isEmpty, settings.like == nil { try reader.expect(.images) }
    if let choice = settings.choiceForImages {
      throw Failure.usage(
        "the input is a dataset of features, of which nothing is cut: leave out --\(choice)")
    }
    let data = try Bundle(reader)
    try reader.finish()
    var (layers, bias, type) = (given, settings.bias, ElementType?.none)
    let like = try settings.like.map { path in try read("--like", path) { try Bundle(reading: $0) }
    }
    if let like {
      try like.expect(.dataset, .arrangements)
      layers = try LayerStack(like)
      if layers.layers.isEmpty { try reader.expect(.images) }
      bias = try like.read(.bias, default: false)
      type = like[.x]?.type
    }
    if let own = settings.type { type = own == .f32 ? .f32 : .f64 }
    var result = try layers.dataset(data, bias: bias, type: type)
    // What was standardised after the layers is so here.
    if let like { result = try DataModel(like).conform(result) }
    result.metadata.merge(metadata(after: data.metadata)) { $1 }
    try result.write(to: output)
    try output.finish()
  }
}
