import Foundation
import LinearAlgebra
import Patches
import Schema
import Tensors

typealias Bundle = Tensors.Bundle

/// Random numbers that are the same on every run (SplitMix64).
struct Random: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// A bundle of `count` random images of three classes.
func randomImages(
  _ count: Int, channels: Int = 3, height: Int = 12, width: Int = 10, seed: UInt64 = 1
) -> Bundle {
  var random = Random(state: seed)
  // Neighbouring pixels are alike, as in photographs: otherwise there would be nothing to whiten.
  var value = 128
  let pixels = (0..<count * channels * height * width).map { _ in
    value = min(255, max(0, value + Int.random(in: -40...40, using: &random)))
    return UInt8(value)
  }
  let labels = (0..<count).map { Int32($0 % 3) }
  return Bundle(
    kind: .images,
    tensors: [
      "images": Tensor(pixels, shape: [count, channels, height, width]),
      "index": Tensor((0..<count).map { Int32($0) }), "labels": Tensor(labels),
    ], metadata: ["classes": "cat,dog,eel"])
}

/// A file that goes with its owner.
final class Scratch {
  let path: String
  init() {
    path = NSTemporaryDirectory() + "patches-\(UUID().uuidString)"
  }
  deinit { unlink(path) }

  func write(_ bundle: Bundle) throws {
    let output = try Output(path: path)
    try bundle.write(to: output)
    try output.finish()
  }
  var data: Data { get throws { try Data(contentsOf: URL(fileURLWithPath: path)) } }
}

func labelled(_ bundle: Bundle) throws -> LabelledImages {
  let file = Scratch()
  try file.write(bundle)
  return try LabelledImages(reading: Input(path: file.path))
}

struct Extracted {
  var bundle: Bundle
  var data: Data
  var fit: PatchFit?
  var rank: Int?
}

/// Runs the extraction as the tool does.
func extract(
  _ images: Bundle, _ steps: PatchSteps, _ product: PatchProduct = .dataset,
  type: ElementType = .f64, blockBytes: Int? = nil, fit earlier: PatchFit? = nil
) throws -> Extracted {
  Threads.use(2)
  var extraction = try PatchExtraction(
    images: labelled(images), steps: steps, product: product, type: type)
  if let blockBytes { extraction.blockBytes = blockBytes }
  let fitted = earlier == nil ? try extraction.fit() : nil
  let fit = earlier ?? fitted?.fit
  let file = Scratch()
  let output = try Output(path: file.path)
  try extraction.write(to: output, fit: fit, metadata: ["producer": "test"])
  try output.finish()
  return Extracted(
    bundle: try Bundle(reading: Input(path: file.path)), data: try file.data, fit: fit,
    rank: fitted?.rank)
}

/// The largest |a − b|, infinite where the counts differ.
func distance(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}

func steps(_ change: (inout PatchSteps) -> Void) -> PatchSteps {
  var steps = PatchSteps()
  change(&steps)
  return steps
}
