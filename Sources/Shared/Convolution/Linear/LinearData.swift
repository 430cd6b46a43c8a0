import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The patches whose means are a linear network's features.
package struct LinearSource {
  package let patches: PatchSource
  package var samples: Int { patches.count }
  package var regions: Int { patches.regions }
  /// d.
  package var dimension: Int { patches.dimension }

  /// Takes a `dataset` or `arrangements` bundle.
  package init(_ bundle: Bundle) throws { patches = try PatchSource(bundle) }
}

/// The features of a linear network: for each sample, region by region, the mean of its patches; n × Rd.
package struct LinearData {
  /// n × Rd.
  package let features: Matrix
  package let regions: Int
  /// d.
  package let dimension: Int

  package init(_ bundle: Bundle) throws { try self.init(LinearSource(bundle)) }

  /// Reads all patches.
  package init(_ source: LinearSource) throws {
    let source = source.patches
    regions = source.regions
    dimension = source.dimension
    let (n, q) = (source.count, source.regions * source.dimension)
    try expectMemory(
      8 * (Double(n) * Double(q) + 3 * Double(q) * Double(q)),
      for: "a linear network of \(n) samples and \(q) features")
    features = Matrix(n, q)
    LinearData.average(source, into: features)
  }

  private static func average(_ source: PatchSource, into features: Matrix) {
    let (d, width) = (source.dimension, source.patchCount * source.dimension)
    Threads.split(source.count, grain: 16) { own in
      let reader = source.reader()
      let block = max(1, min(own.count, (1 << 18) / width))
      let room = Matrix(block, width)
      for first in stride(from: own.lowerBound, to: own.upperBound, by: block) {
        let samples = first..<min(own.upperBound, first + block)
        reader.read(samples, into: room.base)
        for (place, i) in samples.enumerated() {
          for r in 0..<source.regions {
            let target = features.row(i) + r * d
            let share = 1 / Double(source.regionSizes[r])
            for k in source.regionStarts[r]..<source.regionStarts[r + 1] {
              axpy(d, share, room.row(place) + k * d, target)
            }
          }
        }
      }
    }
  }
}

extension Validation where Data == LinearData {
  /// `bundle` must have the shape, the statistics and the classes of the training data.
  package init(
    _ bundle: Bundle, like training: Bundle, _ data: LinearSource, _ targets: Targets
  ) throws {
    let held = try LinearSource(bundle)
    try held.patches.expectShape(of: data.patches)
    try expectSameStatistics(bundle, training)
    let targets = try Targets(bundle, samples: held.samples, like: targets)
    self.init(data: try LinearData(held), targets: targets)
  }
}
