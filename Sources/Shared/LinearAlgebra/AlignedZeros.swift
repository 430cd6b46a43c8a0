import Glibc
import Tensors

/// Zeros that begin at a multiple of 64 bytes, a cache line.
///
/// Some BLAS kernels sum in another order if their operands are aligned differently: equal work then gives equal bits
/// only if every matrix is aligned alike.
struct AlignedZeros {
  /// The address to free.
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
