import LinearAlgebra
import Patches
import Tensors

/// The patches of samples in single precision, gathered by the samples' numbers. Those of a sample come region by
/// region.
final class PatchBatches: @unchecked Sendable {
  let source: PatchSource
  /// All patches, n × K × d, if they are held.
  private let held: UnsafePointer<Float>?
  /// The owner of that memory.
  private let owner: AnyObject?
  /// One reader for each thread, if patches are read or cut anew each time.
  private let readers: [PatchReader]

  /// Holds all patches if they need at most a quarter of the memory: they are then converted, or cut, only once.
  init(_ source: PatchSource) {
    self.source = source
    let isOrdered = source.order.elementsEqual(0..<source.patchCount)
    let size = source.patchCount * source.dimension
    if let x = source.stored, x.type == .f32, isOrdered {
      held = UnsafePointer(x.bytes.base.assumingMemoryBound(to: Float.self))
      owner = x.bytes
      readers = []
    } else if 4 * Double(source.count) * Double(size) <= machineMemory / 4 {
      let copy = SingleMatrix(source.count, size)
      Threads.split(source.count) { range in
        source.reader().read(range, into: copy.row(range.lowerBound))
      }
      held = UnsafePointer(copy.base)
      owner = copy
      readers = []
    } else {
      held = nil
      owner = nil
      readers = (0..<Threads.count).map { _ in source.reader() }
    }
  }

  /// The patches of `count` samples, K rows of d numbers each. `worker` numbers the thread.
  func gather(
    _ samples: UnsafePointer<Int32>, _ count: Int, into target: UnsafeMutablePointer<Float>,
    worker: Int
  ) {
    let size = source.patchCount * source.dimension
    for place in 0..<count {
      let sample = Int(samples[place])
      if let held {
        (target + place * size).update(from: held + sample * size, count: size)
      } else {
        readers[worker].read(sample..<sample + 1, into: target + place * size)
      }
    }
  }
}
