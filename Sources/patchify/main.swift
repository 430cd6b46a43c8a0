import Command
import LinearAlgebra
import Patches
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(settings.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let earlier = try settings.like.map { path in
    try invocation.read("--like", path) { try EarlierPatches(reading: $0) }
  }
  var images = try LabelledImages(reading: input)
  try earlier?.adapt(&images)

  let product = settings.product ?? earlier?.product ?? .dataset
  let earlierType = earlier.flatMap {
    ($0.product == .moments) == (product == .moments) ? $0.type : nil
  }
  let type =
    settings.type.map { $0 == .f32 ? ElementType.f32 : .f64 } ?? earlierType
    ?? (product == .moments ? .f64 : .f32)
  var extraction = try PatchExtraction(
    images: images, steps: earlier?.steps ?? settings.steps, product: product, type: type)
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
