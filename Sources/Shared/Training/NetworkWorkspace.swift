import Convex
import LinearAlgebra

/// The division of a step's work, such that numbers that are read again are still in cache.
struct StepPlan {
  /// How many rows of products are worked on at a time.
  static let rows = 512

  /// How many threads share a batch.
  let parts: Int
  /// How many samples a thread takes at a time.
  let chunk: Int
  /// Whether each thread sums up a gradient of its own while products are in cache. Otherwise they are kept, and each
  /// thread takes the gradient of its own filters from the products of the whole batch.
  let sums: Bool

  init(parts: Int, chunk: Int, sums: Bool) {
    self.parts = parts
    self.chunk = chunk
    self.sums = sums
  }

  init(_ shape: NetworkShape, patches: Int, batch: Int) {
    let (m, d) = (Double(shape.neurons), Double(shape.features))
    let rows = Double(batch) * Double(patches)
    // Two threads meet three times a step, which takes them some microseconds.
    parts = rows * m * d < 50_000 ? 1 : max(1, min(Threads.count, batch))
    sums = m * d <= 65_536 || parts == 1 || rows * (m + d) > 1.4e8
    let share = (batch + parts - 1) / parts
    // 512 KB of products, and enough patches for an efficient product.
    let fit = max(StepPlan.rows / patches, (1 << 17) / max(1, shape.neurons * patches))
    chunk = max(1, min(share, fit))
  }

  /// The samples of a batch that each thread takes.
  func share(_ part: Int, of count: Int) -> Range<Int> {
    count * part / parts..<count * (part + 1) / parts
  }
}

/// The memory of one thread.
final class NetworkWorkspace: @unchecked Sendable {
  /// Patches of a chunk, their products with filters, and with gates.
  let patches: SingleMatrix
  let products: SingleMatrix
  let gates: SingleMatrix
  /// chunk × Rm, and its derivatives.
  let pooled: SingleMatrix
  let slopes: SingleMatrix
  /// chunk × C.
  let outputs: SingleMatrix
  let loss: LossPass
  let gradient: NetworkParameters

  init(_ shape: NetworkShape, patches: Int, chunk: Int, isGated: Bool, _ targets: Targets) {
    let rows = chunk * patches
    self.patches = SingleMatrix(rows, shape.features)
    products = SingleMatrix(rows, shape.neurons)
    gates = SingleMatrix(isGated ? rows : 0, shape.neurons)
    pooled = SingleMatrix(chunk, shape.regions * shape.neurons)
    slopes = SingleMatrix(chunk, shape.regions * shape.neurons)
    outputs = SingleMatrix(chunk, shape.outputs)
    loss = LossPass(targets, capacity: chunk)
    gradient = NetworkParameters(shape)
  }
}
