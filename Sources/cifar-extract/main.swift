import Command
import Images
import Tensors

let tool = Tool<Settings>(
  name: "cifar-extract",
  summary: "images of CIFAR, Fashion-MNIST or folders, as a bundle",
  operands: "[PATH...]", operandCount: 0...1_000_000,
  description: """
    Writes a bundle of kind images: images U8 [n, channels, height, width], labels I32 [n], and index
    I32 [n], the number of each image's record in the source, counted from 0 over all files in order.
    The metadata classes has the names of the classes in the order of the labels. Images of a folder
    that is no class have no labels. Pictures have names U8 [n, L]: their paths within the folder.

    PATH is a directory that holds the binary batches of CIFAR or holds the directory
    cifar-10-batches-bin (cifar-100-binary) with them, a single batch file, or - for records on
    standard input, which is also read where there is no PATH. Batches may have any number of records.
    --split chooses among the batches of a directory; files and standard input are taken as they are.

    Choices apply in this order, however they are given: --classes, --range, --per-class, --sample,
    --resize, --grayscale, --flip. Every record is checked, also where it is not taken. A range that
    goes beyond the images there are takes those there are, with a warning.
    """,
  options: Settings.options,
  examples: [
    "cifar-extract --classes airplane,automobile ~/data > train.images",
    "cifar-extract --split test --classes airplane,automobile ~/data > test.images",
    "tar xOf cifar-10-binary.tar.gz cifar-10-batches-bin/test_batch.bin | cifar-extract > t.images",
    "cifar-extract --dataset fashion-mnist ~/fashion > train.images",
    "cifar-extract --synthetic 2000 --contact-sheet textures.png -o textures.images",
  ])

tool.main { invocation in
  let settings = invocation.settings
  let output = try invocation.bundleOutput()
  let sheet = try settings.contactSheet.map { try Output(path: $0) }
  let progress = invocation.progress()
  var listener = Listener(warn: invocation.warn, progress: { progress.update($0()) })
  listener.found = settings.refuseOutputs()
  let selection = settings.selection

  var images: ImageSet
  if let directory = settings.pictures {
    images = try readPictureTree(
      directory, split: settings.split, size: settings.size, selection, listener)
  } else if let count = settings.synthetic {
    images = try SyntheticTextures.make(
      count, split: settings.split ?? .train, selection, listener)
  } else if case .idx(let dataset) = settings.format {
    images = try dataset.read(
      settings.common.operands[0], split: settings.split ?? .train, selection, listener)
  } else {
    var format = CIFARFormat.cifar10
    if case .cifar(let given) = settings.format { format = given }
    let paths = settings.inputOperands
    let batches = try format.batches(in: paths, split: settings.split, listener)
    images = try format.read(batches, selection, listener)
  }
  if let size = settings.size {
    images = try images.resized(width: size.width, height: size.height)
  }
  if settings.grayscale { images = try images.grayscale() }
  if settings.flip { images = try images.withMirrors() }
  progress.finish()

  // The picture comes first: if it cannot be written, no bundle has begun.
  if let sheet {
    try writePNG(contactSheet(of: images), to: sheet)
    try sheet.flush()
  }
  try images.bundle(metadata: invocation.metadata()).write(to: output)
  try Output.finish([sheet, output].compactMap { $0 })
}
