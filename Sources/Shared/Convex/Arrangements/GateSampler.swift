import Glibc
import LinearAlgebra
import Patches
import Tensors

/// The source of sampled gates.
package enum GateSampler: String, CaseIterable, Sendable {
  /// Normal entries: the direction is uniform on the sphere.
  case gaussian
  /// Rows of the data, with repetition.
  case samples
  /// Centroids of the directions of rows of the data.
  case kMeans = "k-means"
  /// Normal entries in a square of pixels at a random place of the patch, in all channels, and 0 elsewhere (the public
  /// code of Pilanci and Ergen 2020 for CIFAR-10 draws them so).
  case window

  /// How many gates one stream of the random source draws, so that gates do not depend on the number of threads.
  private static let block = 256

  /// `count` gates as rows, or fewer centroids if the data have fewer directions. Windows of `size` × `size` pixels lie
  /// in patches of `shape`. Draws of one seed whose `stream` differ have nothing in common. `progress` is told how many
  /// iterations were made.
  package func gates(
    _ count: Int, for rows: DataRows, seed: Int, window: (size: Int, shape: PatchShape)? = nil,
    stream: Int = 0, progress: (_ iteration: Int) -> Void = { _ in }
  ) -> Matrix {
    if self == .kMeans { return GateSampler.centroids(count, of: rows, seed, progress) }
    let d = rows.dimension
    let gates = Matrix(count, d)
    Threads.perform((count + GateSampler.block - 1) / GateSampler.block) { part in
      var random = RandomSource(seed: seed, stream: stream + part)
      let (reader, k) = (rows.reader(), rows.rowsPerSample)
      let sample = Matrix(self == .samples && rows.isDeferred ? k : 0, d)
      for i in part * GateSampler.block..<min(count, (part + 1) * GateSampler.block) {
        let gate = gates.row(i)
        switch self {
        case .gaussian, .kMeans:
          for k in 0..<d { gate[k] = random.gaussian() }
        case .window:
          guard let window else { preconditionFailure("windows need the shape of the patches") }
          GateSampler.fill(gate, window, &random)
        case .samples:
          let row = random.below(rows.count)
          guard rows.isDeferred else {
            rows.copy(row..<row + 1, into: gate)
            continue
          }
          reader.read(row / k..<row / k + 1, into: sample.base)
          gate.update(from: sample.row(row % k), count: d)
        }
      }
    }
    return gates
  }

  /// Draws the numbers of a window; the rest of the gate is 0.
  private static func fill(
    _ gate: UnsafeMutablePointer<Double>, _ window: (size: Int, shape: PatchShape),
    _ random: inout RandomSource
  ) {
    let (size, shape) = (window.size, window.shape)
    let top = random.below(shape.height - size + 1)
    let left = random.below(shape.width - size + 1)
    for channel in 0..<shape.channels {
      for row in top..<top + size {
        let start = (channel * shape.height + row) * shape.width
        for k in start + left..<start + left + size { gate[k] = random.gaussian() }
      }
    }
  }

  // MARK: Centroids

  /// How many patches of a sample are used: many samples with a few patches each tell more than a few samples with all
  /// of theirs, and cutting one patch costs as much as cutting all.
  private static let patchesOfSample = 25

  /// How many rows the `count` centroids of `rows` are computed from: 100,000 or what fits 256 MB, and at least 20 for
  /// each.
  static func rowsForCentroids(_ count: Int, of rows: DataRows) -> (samples: Int, each: Int) {
    let each = min(rows.rowsPerSample, patchesOfSample)
    let wanted = max(min(100_000, (1 << 25) / rows.dimension), count > 1 << 40 ? count : 20 * count)
    return (min(rows.samples, (wanted + each - 1) / each), each)
  }

  /// Centroids of the rows without the constant that was appended to them; gates have 0 in its place.
  private static func centroids(
    _ count: Int, of rows: DataRows, _ seed: Int, _ progress: (Int) -> Void
  ) -> Matrix {
    let (k, d) = (rows.rowsPerSample, rows.dimension)
    let width = d - (rows.hasConstant ? 1 : 0)
    let (samples, each) = rowsForCentroids(count, of: rows)
    var random = RandomSource(seed: seed)
    let chosen = random.sample(samples, of: rows.samples)
    let patches = (0..<samples).map { _ in random.sample(each, of: k) }
    let drawn = Matrix(samples * each, width)
    Threads.split(samples) { range in
      let (reader, sample) = (rows.reader(), Matrix(k, d))
      for i in range {
        reader.read(chosen[i]..<chosen[i] + 1, into: sample.base)
        for (place, patch) in patches[i].enumerated() {
          drawn.row(i * each + place).update(from: sample.row(patch), count: width)
        }
      }
    }
    let centroids = SphericalKMeans.centroids(count, of: drawn, seed: seed, progress: progress)
    guard width < d else { return centroids }
    let gates = Matrix(centroids.rows, d)
    for i in 0..<gates.rows { gates.row(i).update(from: centroids.row(i), count: width) }
    return gates
  }
}
