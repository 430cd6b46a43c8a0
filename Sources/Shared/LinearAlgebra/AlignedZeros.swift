import Glibc
import Tensors

/// Zeros that begin at a multiple of 64 bytes, a cache line.
///
/// Some BLAS kernels sum in another order where their operands lie differently: equal work then gives
/// equal bits only where every matrix lies alike.
struct AlignedZeros {
  /// What is freed.
  let memory: UnsafeMutableRawPointer
  let start: UnsafeMutableRawPointer

  init(bytes: Int) {
    // Fresh pages are zero already: calloc does not touch them once more.
    guard let memory = calloc(1, bytes + 64) else { fatalError("no memory for \(bytes) bytes") }
    self.memory = memory
    start = memory.alignedUp(toMultipleOf: 64)
    adviseLargePages(start, bytes)
  }
}
