import Tensors

/// A run of a tool whose memory is measured, on an input of any size.
struct MemoryCase {
  /// What the table calls it.
  var name: String
  /// Commands that make what the tool reads: a line and the name of its output. N stands for a number of
  /// images.
  var setup: [(line: String, output: String)]
  /// The command that is measured.
  var line: String
  /// The files that count as its input.
  var inputs: [String]
  /// Bytes of the input that come with each of the N, of which two classes take a fifth.
  var bytesPerSample: Int
  /// The most memory that the tool may take beyond its start-up: this multiple of input and output. What
  /// docs/trust.md says.
  var multiple: Double

  var tool: String { String(line.prefix { $0 != " " }) }
}

extension MemoryCase {
  /// Every tool, in its ways that differ in memory.
  static let all: [MemoryCase] = readers + trainers

  private static let images = [("cifar-extract --synthetic N", "images")]
  private static let two = [("cifar-extract --classes 0,1 --synthetic N", "images")]
  private static let flat = two + [("patchify --flatten --bias images", "flat")]
  private static let patches = two + [("patchify --size 8 --pool 2 images", "patches")]
  private static let moments = two + [("patchify --size 4 --pool 2 --moments images", "moments")]
  private static let sampled = flat + [("arrangements --sample 50 flat", "sampled")]
  private static let cut =
    "--size 6 --stride 2 --pool 2 --whiten 0.1 --components 24 --bias --defer"
  private static let deferred = two + [("patchify \(cut) images", "deferred")]
  private static let gates =
    deferred + [("arrangements --sample 20 --sampler k-means --threshold 1 deferred", "gates")]

  private static let readers = [
    MemoryCase(
      name: "cifar-extract", setup: [("records N", "batch")], line: "cifar-extract batch",
      inputs: ["batch"], bytesPerSample: 3073, multiple: 1.5),
    MemoryCase(
      name: "cifar-extract --resize", setup: [("records N", "batch")],
      line: "cifar-extract --resize 16x16 --grayscale batch", inputs: ["batch"],
      bytesPerSample: 3073, multiple: 2),
    MemoryCase(
      name: "tensor show", setup: flat, line: "tensor show flat", inputs: ["flat"],
      bytesPerSample: 2460, multiple: 1.5),
    MemoryCase(
      name: "tensor get --csv", setup: flat, line: "tensor get x --csv flat", inputs: ["flat"],
      bytesPerSample: 2460, multiple: 1.5),
    MemoryCase(
      name: "tensor slice", setup: flat, line: "tensor slice --rows 1: flat", inputs: ["flat"],
      bytesPerSample: 2460, multiple: 1.5),
    MemoryCase(
      name: "tensor concat", setup: flat, line: "tensor concat flat flat",
      inputs: ["flat", "flat"], bytesPerSample: 4920, multiple: 1.5),
    MemoryCase(
      name: "tensor sum", setup: flat, line: "tensor sum flat flat", inputs: ["flat", "flat"],
      bytesPerSample: 4920, multiple: 1.5),
    MemoryCase(
      name: "tensor from-csv", setup: flat + [("table flat", "table")],
      line: "tensor from-csv --targets 1 table", inputs: ["table"], bytesPerSample: 14000,
      multiple: 3),
    MemoryCase(
      name: "patchify", setup: two, line: "patchify --size 8 --pool 2 images", inputs: ["images"],
      bytesPerSample: 616, multiple: 1.5),
    MemoryCase(
      name: "patchify --whiten", setup: two,
      line: "patchify --size 6 --stride 2 --whiten 0.1 --contrast 0.01 images", inputs: ["images"],
      bytesPerSample: 616, multiple: 1.5),
    MemoryCase(
      name: "patchify --moments", setup: two, line: "patchify --size 4 --pool 2 --moments images",
      inputs: ["images"], bytesPerSample: 616, multiple: 1.5),
    MemoryCase(
      name: "patchify --defer", setup: two, line: "patchify \(cut) images", inputs: ["images"],
      bytesPerSample: 616, multiple: 1.5),
  ]

  private static let trainers = [
    MemoryCase(
      name: "arrangements", setup: flat, line: "arrangements --sample 50 flat", inputs: ["flat"],
      bytesPerSample: 2460, multiple: 3),
    MemoryCase(
      name: "arrangements, deferred", setup: deferred,
      line: "arrangements --sample 20 --sampler k-means --threshold 1 deferred",
      inputs: ["deferred"], bytesPerSample: 616, multiple: 3),
    MemoryCase(
      name: "gram", setup: moments, line: "gram --activation 0.09,0.5,0.47 moments",
      inputs: ["moments"], bytesPerSample: 7840, multiple: 6),
    MemoryCase(
      name: "gram, deferred", setup: gates, line: "gram gates", inputs: ["gates"],
      bytesPerSample: 616, multiple: 6),
    MemoryCase(
      name: "solve, polynomial", setup: moments,
      line: "solve --activation 0.09,0.5,0.47 --beta 1 --max-seconds 2 moments",
      inputs: ["moments"], bytesPerSample: 7840, multiple: 4),
    MemoryCase(
      name: "solve, gated ReLU", setup: sampled,
      line: "solve --activation gated-relu --beta 20 --max-seconds 2 sampled", inputs: ["sampled"],
      bytesPerSample: 2460, multiple: 8),
    MemoryCase(
      name: "solve, gated ReLU, deferred", setup: gates,
      line: "solve --activation gated-relu --group pattern --beta 20 --max-seconds 2 gates",
      inputs: ["gates"], bytesPerSample: 616, multiple: 40),
    MemoryCase(
      name: "solve, ReLU", setup: sampled,
      line: "solve --activation relu --beta 20 --max-seconds 2 sampled", inputs: ["sampled"],
      bytesPerSample: 2460, multiple: 100),
    MemoryCase(
      name: "solve, ReLU, other losses", setup: sampled,
      line: "solve --activation relu --loss hinge --beta 20 --max-seconds 2 sampled",
      inputs: ["sampled"], bytesPerSample: 2460, multiple: 240),
    MemoryCase(
      name: "solve, linear", setup: patches,
      line: "solve --activation linear --beta 20 --max-seconds 2 patches", inputs: ["patches"],
      bytesPerSample: 2460, multiple: 8),
    MemoryCase(
      name: "recover",
      setup: sampled + [
        ("solve --activation gated-relu --beta 1 --max-seconds 2 sampled", "solution")
      ], line: "recover solution", inputs: ["solution"], bytesPerSample: 2460, multiple: 6),
    MemoryCase(
      name: "evaluate",
      setup: patches + [
        ("baseline --neurons 5 --epochs 1 patches", "network")
      ], line: "evaluate --data patches network", inputs: ["patches", "network"],
      bytesPerSample: 2460, multiple: 4),
    MemoryCase(
      name: "evaluate --certify",
      setup: sampled + [
        ("solve --activation gated-relu --beta 20 --max-seconds 2 sampled", "solution"),
        ("recover solution", "network"),
      ], line: "evaluate --data sampled --certify solution --beta 20 network",
      inputs: ["sampled", "solution", "network"], bytesPerSample: 2460, multiple: 6),
    MemoryCase(
      name: "evaluate, deferred",
      setup: gates + [
        ("baseline --activation gated-relu --neurons 5 --epochs 1 gates", "network")
      ], line: "evaluate --data gates network", inputs: ["gates", "network"],
      bytesPerSample: 616, multiple: 6),
    MemoryCase(
      name: "baseline", setup: patches, line: "baseline --neurons 20 --epochs 1 patches",
      inputs: ["patches"], bytesPerSample: 2460, multiple: 4),
    MemoryCase(
      name: "generate",
      setup: [
        ("cifar-extract --resize 8x8 --synthetic N", "images"),
        ("patchify --flatten images", "small"),
      ], line: "generate --beta 1000 --latent 100 small", inputs: ["small"], bytesPerSample: 772,
      multiple: 6),
  ]
}
