import Command
import Evaluation
import Generators
import Images
import LinearAlgebra
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(settings.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let sheet = try settings.contactSheet.map { try Output(path: $0) }
  let report = try settings.report.map { try Output(path: $0) }
  let data = try Bundle(reading: input)
  try data.expect(.images, .dataset)
  guard data.kind == .images || (sheet == nil && settings.stages == nil) else {
    throw Failure.data(
      "\(data.name) is a bundle of kind \"dataset\": --stages and --contact-sheet are for images")
  }
  guard try !data.read(.bias, default: false) else {
    throw Failure.data(
      "the last feature of \(data.name) is the constant 1 of --bias, which no generator makes: leave it out"
    )
  }
  if sheet != nil, let channels = data[.images]?.shape.dropFirst().first,
    ![1, 3].contains(channels)
  {
    throw Failure.data(
      "tensor \"images\" of \(data.name) has \(channels) channels: --contact-sheet shows 1 or 3")
  }
  let latent = try settings.latentPath.map { path in
    try invocation.read("--latent", path) { try features(of: Bundle(reading: $0)) }
  }
  var stages = try Stages(invocation, data, latent: latent)
  var lines = ""
  var pictures: [ImageSet] = []
  var result: Bundle?
  for (number, side) in stages.sides.enumerated() {
    let (bundle, judgement) = try stages.generate(number)
    let isLast = number + 1 == stages.sides.count
    let prefix = side.map { isLast ? "" : "stage_\($0)_" } ?? ""
    lines += judgement.report.text.split(separator: "\n").map { "\(prefix)\($0)\n" }.joined()
    if sheet != nil { pictures.append(try ImageSet(bundle)) }
    result = bundle
  }
  guard let result else { return }
  try report?.write(lines)
  if let sheet, let last = pictures.last {
    let shown = try pictures.map {
      try $0.magnified(width: last.shape.width, height: last.shape.height)
    }
    try writePNG(contactSheet(of: grid(of: shown)), to: sheet)
  }
  try result.expectFiniteNumbers()
  for file in [sheet, report].compactMap({ $0 }) { try file.flush() }
  try result.write(to: output)
  try Output.finish([sheet, report, output].compactMap { $0 })
  if report == nil { invocation.note(result.summary) }
}

/// The first 64 images, or the first 16 of each of several sets, eight in a row.
private func grid(of sets: [ImageSet]) throws -> ImageSet {
  let (width, most) = (8, sets.count > 1 ? 16 : 64)
  let counts = sets.map { min(most, $0.count) }
  var rows: [Int32] = []
  var first: Int32 = 0
  let shape = sets[0].shape
  let pixels = Bytes(uninitialized: counts.reduce(0, +) * shape.count)
  var place = pixels.base.assumingMemoryBound(to: UInt8.self)
  for (set, count) in zip(sets, counts) {
    for i in 0..<count {
      rows.append(first + Int32(i / width))
      place.update(from: set.image(i), count: shape.count)
      place += shape.count
    }
    first = rows.last! + 1
  }
  return ImageSet(
    classes: (0..<first).map { "\($0)" }, shape: shape, pixels: pixels, labels: rows,
    index: rows.indices.map { Int32($0) })
}

extension Bundle {
  /// What its metadata claim, in a line.
  fileprivate var summary: String {
    func value(_ key: String) -> String { metadata[key] ?? "" }
    return
      "constraint \(value("constraint")) of at most \(value("beta")), objective \(value("primal_objective")), "
      + "relative gap \(value("relative_gap")), certificate \(value("certificate"))"
  }
}
