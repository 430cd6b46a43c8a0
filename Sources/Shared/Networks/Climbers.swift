import LinearAlgebra

/// Ascents of prices along the unit sphere, side by side: where each is, where it tries to go, and how far.
struct Climbers {
  /// Sign and output of each; the filters are those of the beginning.
  private(set) var starts: Neurons
  /// The points that are tried next, and the gradients of the prices there, to be filled in; a row an ascent.
  private(set) var tried: Matrix
  private(set) var gradient: Matrix
  /// The best points so far, the tangential parts of the gradients there, of unit length or zero, and their prices.
  private var points: Matrix
  private var tangents: Matrix
  private var prices: [Double]
  /// The tangents of the angles of the next steps.
  private var lengths: [Double]

  private static let (firstStep, longer, shorter) = (0.5, 1.3, 0.5)

  init(_ starts: Neurons, dimension d: Int) {
    let m = starts.count
    self.starts = starts
    tried = Matrix(copying: starts.filters)
    for j in 0..<m { Climbers.normalize(tried.row(j), d) }
    gradient = Matrix(m, d)
    points = Matrix(m, d)
    tangents = Matrix(m, d)
    prices = [Double](repeating: -.infinity, count: m)
    lengths = [Double](repeating: Climbers.firstStep, count: m)
  }

  /// Takes the points that were tried, by their `gradient`, where the price is higher; and sets out for the next.
  mutating func step() {
    let d = tried.columns
    for j in 0..<prices.count {
      let (u, g) = (tried.row(j), gradient.row(j))
      // The price is linear in u within a pattern: it is u·gradient.
      let price = dot(d, u, g)
      if price > prices[j] {
        if prices[j] > -.infinity { lengths[j] *= Climbers.longer }
        prices[j] = price
        points.row(j).update(from: u, count: d)
        let tangent = tangents.row(j)
        for k in 0..<d { tangent[k] = g[k] - price * u[k] }
        Climbers.normalize(tangent, d)
      } else {
        lengths[j] *= Climbers.shorter
      }
      let (point, tangent) = (points.row(j), tangents.row(j))
      for k in 0..<d { u[k] = point[k] + lengths[j] * tangent[k] }
      Climbers.normalize(u, d)
    }
  }

  /// Gives up the half with the lower prices of each output and sign, but leaves `least` ascents in all.
  mutating func keepBetterHalf(atLeast least: Int) {
    let groups = Dictionary(grouping: prices.indices) {
      SIMD2(starts.outputs[$0], starts.signs[$0] > 0 ? 1 : 0)
    }
    let fewest = max(4, least / max(1, groups.count))
    var order: [Int] = []
    for members in groups.values {
      let best = members.sorted {
        prices[$0] == prices[$1] ? $0 < $1 : prices[$0] > prices[$1]
      }
      order += best.prefix(max(fewest, best.count / 2))
    }
    let kept = order.count
    guard kept < prices.count else { return }
    order.sort()
    starts = starts.selecting(order)
    tried = tried.selecting(order)
    points = points.selecting(order)
    tangents = tangents.selecting(order)
    gradient = Matrix(kept, tried.columns)
    prices = order.map { prices[$0] }
    lengths = order.map { lengths[$0] }
  }

  /// The best point of each that is left.
  var candidates: [NeuronPricing.Candidate] {
    prices.indices.map { j in
      NeuronPricing.Candidate(
        direction: Array(UnsafeBufferPointer(start: points.row(j), count: points.columns)),
        sign: starts.signs[j], output: starts.outputs[j], price: prices[j])
    }
  }

  private static func normalize(_ u: UnsafeMutablePointer<Double>, _ d: Int) {
    let length = norm(d, u)
    if length > 0 { scale(d, 1 / length, u) }
  }
}
