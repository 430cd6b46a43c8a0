extension SphereLane {
  /// At most that many rows decide where to split.
  private static let sample = 400

  /// Replaces a cone by two, which cover it: a ray m on the edge between two rays a and b takes the place of a in one
  /// and of b in the other. Both are pushed, in the memory from the cone's own on. False if there is no room.
  func split(_ cone: SphereCone) -> Bool {
    let r = layout.rank
    let size = layout.size(positives: cone.positives, negatives: cone.negatives)
    guard r > 1, reserve(cone.start + 2 * size) else { return false }
    let numbers = memory + cone.start
    let edge = chooseEdge(cone)
    let middle = choosePoint(cone, edge.a, edge.b, isKinked: edge.isKinked)
    let (rays, ray) = (numbers + layout.rays, scratch.ray)
    // m = f r_a + g r_b, of length 1.
    var square = 0.0
    for i in 0..<r {
      ray[i] = (1 - middle) * rays[edge.a &* r &+ i] + middle * rays[edge.b &* r &+ i]
      square += ray[i] * ray[i]
    }
    guard square > 1e-20 else { return false }
    let norm = square.squareRoot()
    let split = SphereMiddle(a: edge.a, b: edge.b, f: (1 - middle) / norm, g: middle / norm)
    for i in 0..<r {
      ray[i] = split.f * rays[split.a &* r &+ i] + split.g * rays[split.b &* r &+ i]
    }
    writeChildren(cone, split)
    return true
  }

  private struct Edge {
    var a: Int
    var b: Int
    /// Whether rows of positive weight change sign on it.
    var isKinked: Bool
  }

  /// The edge whose middle ray lowers the relaxation of P most at the point of the bundle: by min(c_a, c_b) times the
  /// chord error P(r_a) + P(r_b) - P(r_a + r_b). The longest one if that is zero on all edges.
  private func chooseEdge(_ cone: SphereCone) -> Edge {
    let (r, c, numbers) = (layout.rank, bundle.c, memory + cone.start)
    let length = SphereKernel.padded(cone.positives)
    let stride = 4 &* max(1, (length &+ Self.sample &- 1) / Self.sample)
    let columns = numbers + layout.rows
    var largest = 0.0
    for k in 0..<r { largest = max(largest, c[k]) }
    let isUsable = largest.isFinite && cone.positives > 0
    for k in 0..<r where isUsable && c[k] > 1e-9 * largest {
      scratch.magnitudes[k] = SphereKernel.magnitudes(
        columns + k &* length, length: length, stride: stride)
    }
    var best = Edge(a: 0, b: 1, isKinked: false)
    var gain = 0.0
    for a in 0..<r where isUsable && c[a] > 1e-9 * largest {
      for b in (a &+ 1)..<max(a &+ 1, r) where c[b] > 1e-9 * largest {
        let separate = scratch.magnitudes[a] + scratch.magnitudes[b]
        let sum = SphereKernel.magnitudesOfSum(
          columns + a &* length, columns + b &* length, length: length, stride: stride)
        // Below that the difference is rounding.
        guard separate - sum > 1e-13 * separate else { continue }
        let value = min(c[a], c[b]) * (separate - sum)
        if value > gain {
          gain = value
          best = Edge(a: a, b: b, isKinked: true)
        }
      }
    }
    return gain > 0 ? best : longestEdge(numbers + layout.rays)
  }

  private func longestEdge(_ rays: Numbers) -> Edge {
    let r = layout.rank
    var best = Edge(a: 0, b: 1, isKinked: false)
    var least = Double.infinity
    for a in 0..<r {
      for b in (a &+ 1)..<max(a &+ 1, r) {
        let cosine = SphereKernel.dot(rays + a &* r, rays + b &* r, r)
        if cosine < least {
          least = cosine
          best = Edge(a: a, b: b, isKinked: false)
        }
      }
    }
    return best
  }

  /// Where on the edge, from 0 at a to 1 at b, the chord of P is farthest above P: where the slope of P passes that of
  /// the chord. A row that crosses zero at t adds |z_b - z_a| to the slope there; its own chord has the slope of P
  /// after |z_b| of all these jumps. Bisection finds the jump to within a bracket, and the row with the largest jump
  /// there is taken.
  private func choosePoint(_ cone: SphereCone, _ a: Int, _ b: Int, isKinked: Bool) -> Double {
    guard isKinked else { return 0.5 }
    let length = SphereKernel.padded(cone.positives)
    let columns = memory + cone.start + layout.rows
    let (first, second, kept) = (columns + a &* length, columns + b &* length, scratch.kept)
    var count = 0
    for i in 0..<cone.positives {
      kept[count] = Int32(truncatingIfNeeded: i)
      count &+= first[i] * second[i] < 0 ? 1 : 0
    }
    let stride = max(1, (count &+ Self.sample &- 1) / Self.sample)
    let (crossings, jumps) = (scratch.crossings, scratch.jumps)
    var sampled = 0
    var target = 0.0
    for j in Swift.stride(from: 0, to: count, by: stride) {
      let (x, y) = (first[Int(kept[j])], second[Int(kept[j])])
      crossings[sampled] = x / (x - y)
      jumps[sampled] = abs(x - y)
      target += abs(y)
      sampled &+= 1
    }
    guard sampled > 0 else { return 0.5 }
    for j in sampled..<SphereKernel.padded(sampled) {
      crossings[j] = 2
      jumps[j] = 0
    }
    var (low, high) = (0.0, 1.0)
    for _ in 0..<8 {
      let middle = 0.5 * (low + high)
      let sum = SphereKernel.sum(
        jumps, crossings, below: middle, length: SphereKernel.padded(sampled))
      if sum < target { low = middle } else { high = middle }
    }
    var heaviest = 0.0
    var point = 0.5 * (low + high)
    for j in 0..<sampled where crossings[j] >= low && crossings[j] <= high && jumps[j] > heaviest {
      heaviest = jumps[j]
      point = crossings[j]
    }
    return min(max(point, 1e-6), 1 - 1e-6)
  }
}
