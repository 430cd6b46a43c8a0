import Dispatch
import LinearAlgebra
import Tensors

/// Writes one block while the next is made: two buffers take turns. With one thread there is one buffer, and nothing
/// overlaps.
final class BlockWriter {
  private let writer: BundleWriter
  private let buffers: [Bytes]
  private var current = 0
  private let queue = DispatchQueue(label: "writer")
  private let pending = DispatchGroup()
  /// The queue sets it; the caller reads it only when nothing is pending.
  private let outcome = Outcome()

  private final class Outcome: @unchecked Sendable {
    var failure: (any Error)?
  }

  /// `size` is the number of bytes of the largest block.
  init(_ writer: BundleWriter, size: Int) {
    self.writer = writer
    buffers = (0..<(Threads.count > 1 ? 2 : 1)).map { _ in Bytes(uninitialized: size) }
  }

  // The output must not be closed during a write.
  deinit { pending.wait() }

  /// The memory in which the next block is to be made.
  var target: UnsafeMutableRawPointer { buffers[current].base }

  /// Writes the first `count` bytes of `target`. Throws the error of this block or of the one before.
  func write(_ count: Int) throws {
    try finish()
    nonisolated(unsafe) let block = UnsafeRawBufferPointer(start: target, count: count)
    guard buffers.count > 1 else { return try writer.write(block) }
    current = 1 - current
    // The caller touches neither the writer nor this buffer before `finish` has waited.
    nonisolated(unsafe) let writer = self.writer
    let outcome = self.outcome
    queue.async(group: pending) {
      do { try writer.write(block) } catch { outcome.failure = error }
    }
  }

  /// Waits until everything is written.
  func finish() throws {
    pending.wait()
    if let failure = outcome.failure { throw failure }
  }
}
