import LinearAlgebra
import Tensors

/// The order in which a reader puts the patches of a sample.
package enum PatchOrder: Sendable {
  /// Patches of region 0 first: `PatchSource.order`.
  case byRegion
  /// The order in `x` and in patterns.
  case asCut
}

/// Reads blocks of patches.
///
/// Each thread needs a reader, which has memory of its own. The result does not depend on how samples are divided among
/// readers and blocks.
package final class PatchReader {
  private let count: Int
  private let d: Int
  /// The number in `x` of each patch as it is read; `nil` if the orders are the same.
  private let order: [Int]?
  private let features: Features

  private enum Features {
    case stored(Tensor)
    case deferred(Cutting)
  }

  /// Cuts images of a deferred dataset.
  private struct Cutting {
    let images: Tensor
    let type: ElementType
    let pixels: Int
    let batch: Int
    let transform: PatchTransform

    init(_ patches: DeferredPatches) {
      let grid = patches.recipe.grid
      images = patches.images
      type = patches.type
      pixels = patches.recipe.shape.count
      batch = PatchTransform.batch(grid)
      transform = PatchTransform(patches.recipe)
    }

    /// Calls `body` for all of `samples`, image by image, with the place in the range and K × d features.
    func forEach(_ samples: Range<Int>, _ body: (Int, UnsafePointer<Double>) -> Void) {
      let source = images.bytes.base.assumingMemoryBound(to: UInt8.self)
      let size = transform.rowsPerImage * transform.width
      var first = samples.lowerBound
      while first < samples.upperBound {
        // Batches are those of patchify, so that an image has the same place in a product of matrices.
        let end = min(samples.upperBound, (first / batch + 1) * batch)
        let rows = transform.rows(
          source + first * pixels, count: end - first, place: first % batch)
        for image in first..<end { body(image - samples.lowerBound, rows + (image - first) * size) }
        first = end
      }
    }
  }

  init(_ source: PatchSource, _ order: PatchOrder) {
    count = source.patchCount
    d = source.dimension
    let isSame = order == .asCut || source.order.elementsEqual(0..<source.patchCount)
    self.order = isSame ? nil : source.order
    features =
      switch source.features {
      case .stored(let x): .stored(x)
      case .deferred(let patches): .deferred(Cutting(patches))
      }
  }

  /// The patches of `samples`: K rows of d numbers for each.
  package func read(_ samples: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    switch features {
    case .stored(let x):
      forEachRun(of: samples) { x.copyDoubles($0, into: target + $1) }
    case .deferred(let cutting):
      let isSingle = cutting.type == .f32
      Threads.withSerialBLAS {
        cutting.forEach(samples) { place, rows in
          forEachPatch { k, patch in
            let (from, to) = (rows + patch * d, target + (place * count + k) * d)
            if isSingle {
              for j in 0..<d { to[j] = Double(Float(from[j])) }
            } else {
              to.update(from: from, count: d)
            }
          }
        }
      }
    }
  }

  /// The patches of `samples`, rounded to single precision: K rows of d numbers for each.
  package func read(_ samples: Range<Int>, into target: UnsafeMutablePointer<Float>) {
    switch features {
    case .stored(let x) where x.type == .f32:
      let base = x.bytes.base.assumingMemoryBound(to: Float.self)
      forEachRun(of: samples) { (target + $1).update(from: base + $0.lowerBound, count: $0.count) }
    case .stored(let x):
      let base = x.bytes.base.assumingMemoryBound(to: Double.self)
      forEachRun(of: samples) { range, place in
        for (j, i) in range.enumerated() { target[place + j] = Float(base[i]) }
      }
    case .deferred(let cutting):
      Threads.withSerialBLAS {
        cutting.forEach(samples) { place, rows in
          forEachPatch { k, patch in
            let (from, to) = (rows + patch * d, target + (place * count + k) * d)
            for j in 0..<d { to[j] = Float(from[j]) }
          }
        }
      }
    }
  }

  /// Calls `body` with the elements of `x` to copy, and their place in the target.
  @inline(__always)
  private func forEachRun(of samples: Range<Int>, _ body: (Range<Int>, Int) -> Void) {
    guard order != nil else {
      return body(samples.lowerBound * count * d..<samples.upperBound * count * d, 0)
    }
    for (place, i) in samples.enumerated() {
      forEachPatch { k, patch in
        let start = (i * count + patch) * d
        body(start..<start + d, (place * count + k) * d)
      }
    }
  }

  /// Calls `body` with the place and the number of every patch of a sample.
  @inline(__always)
  private func forEachPatch(_ body: (Int, Int) -> Void) {
    guard let order else {
      for k in 0..<count { body(k, k) }
      return
    }
    order.withUnsafeBufferPointer { order in
      for k in 0..<order.count { body(k, order[k]) }
    }
  }
}
