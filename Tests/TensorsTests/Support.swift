import Foundation
import Tensors

typealias Bundle = Tensors.Bundle

/// A file that goes when its owner goes.
final class Scratch {
  let path: String

  init(_ bytes: [UInt8] = []) throws {
    path =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("convex-networks-test-\(UUID().uuidString)").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  deinit { unlink(path) }

  var bytes: [UInt8] { [UInt8](FileManager.default.contents(atPath: path) ?? Data()) }
}

extension Bundle {
  /// Reads a bundle from bytes in memory.
  init(bytes: [UInt8]) throws {
    let scratch = try Scratch(bytes)
    self = try Bundle(reading: Input(path: scratch.path))
  }

  /// The bytes that `write` writes.
  func bytes() throws -> [UInt8] {
    let scratch = try Scratch()
    let output = try Output(path: scratch.path)
    try write(to: output)
    try output.finish()
    return scratch.bytes
  }
}

/// A file with this header, whatever it says, and `count` bytes of data.
func file(header: String, data count: Int = 0) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
    + [UInt8](repeating: 7, count: count)
}

/// What reading these bytes fails with; `nil` where it does not.
func failure(of bytes: [UInt8]) throws -> String? {
  do {
    _ = try Bundle(bytes: bytes)
    return nil
  } catch let failure as Failure {
    return failure.message
  }
}

/// SplitMix64: the same numbers from the same seed everywhere.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
