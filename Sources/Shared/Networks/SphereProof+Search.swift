import LinearAlgebra

extension SphereProof {
  /// Searches until the bound τ is proved, a value above it is found, `nodes` cones were bounded, or `proceed` ends it.
  func search(below tau: Double, nodes limit: Int, proceed: () -> Bool) -> (end: End, nodes: Int) {
    var stack = roots()
    var spare: [Node] = []
    var method = ConeBound(rank: rank)
    // Rounding of sums of rows, and of the rows that count as settled.
    let room = 1e-12 * size
    let level = tau - room
    var (bound, count) = (0.0, 0)
    var found: [[Double]] = []
    var last = Int.max
    while let node = stack.popLast() {
      count += 1
      switch method.judge(node, tau: level) {
      case .settled(let value): bound = max(bound, value)
      case .exceeded:
        // The rest of the cone is left out: the proof has failed, but other points above τ are welcome.
        found.append(point(method.c, node.rays))
        if found.count == 1 { last = min(limit, count + count / 4 + 500) }
        if found.count >= SphereProof.mostPoints { return (violated(found), count) }
      case .open(let value):
        node.bound = value
        if !found.isEmpty, count >= last { return (violated(found), count) }
        if count >= limit || (count % 256 == 0 && !proceed()) {
          if !found.isEmpty { return (violated(found), count) }
          let open = stack.reduce(max(bound, value)) { max($0, $1.bound) }
          return (.stopped(bound: open + room), count)
        }
        let (a, b, share) = edge(of: node, at: method.c)
        let other = spare.popLast() ?? Node(rank)
        // The part that has the point of the largest bound comes first: if a value exceeds τ, it is found early.
        let isFirst = method.c[b] * (1 - share) >= method.c[a] * share
        split(node, other, a, b, share, c: method.c)
        stack.append(isFirst ? other : node)
        stack.append(isFirst ? node : other)
        continue
      }
      spare.append(node)
    }
    return (found.isEmpty ? .proved(bound: bound + room) : violated(found), count)
  }

  private func violated(_ points: [[Double]]) -> End {
    .violated(points.map { ($0, value($0)) })
  }

  /// Points above τ that a search collects.
  private static let mostPoints = 24

  private func point(_ c: [Double], _ rays: Matrix) -> [Double] {
    var u = [Double](repeating: 0, count: rank)
    for k in 0..<rank { axpy(rank, c[k], rays.row(k), &u) }
    let length = norm(rank, u)
    return u.map { $0 / length }
  }

  /// The edge whose chord of P lies the furthest above P, weighted by how far `c` is from its ends, and where to cut it:
  /// m = (1 − share) r_a + share r_b.
  private func edge(of node: Node, at c: [Double]) -> (a: Int, b: Int, share: Double) {
    let r = rank
    let step = max(1, node.ups / 400)
    var best = (a: 0, b: 1, weight: 0.0)
    for b in 1..<r where c[b] > 0 {
      for a in 0..<b where c[a] > 0 {
        var gap = 0.0
        for i in stride(from: 0, to: node.ups, by: step) {
          let (za, zb) = (node.mixed[i * r + a], node.mixed[i * r + b])
          gap += max(0, max(min(za, -zb), min(-za, zb)))
        }
        let weight = min(c[a], c[b]) * gap
        if weight > best.weight { best = (a, b, weight) }
      }
    }
    if best.weight == 0 {
      // Nothing is to be gained anywhere near c: the longest edge.
      var least = 2.0
      for b in 1..<r {
        for a in 0..<b {
          let cosine = dot(r, node.rays.row(a), node.rays.row(b))
          if cosine < least { (best, least) = ((a, b, 0), cosine) }
        }
      }
      return (best.a, best.b, 0.5)
    }
    return (best.a, best.b, cut(node, best.a, best.b))
  }

  /// Where the chord of P over the edge lies the furthest above P: P's slope along it is that of the chord.
  private func cut(_ node: Node, _ a: Int, _ b: Int) -> Double {
    let r = rank
    let step = max(1, node.ups / 400)
    func slope(_ t: Double) -> Double {
      var sum = 0.0
      for i in stride(from: 0, to: node.ups, by: step) {
        let (za, zb) = (node.mixed[i * r + a], node.mixed[i * r + b])
        if (1 - t) * za + t * zb > 0 { sum += zb - za }
      }
      return sum
    }
    var mean = 0.0
    for i in stride(from: 0, to: node.ups, by: step) {
      mean += max(0, node.mixed[i * r + b]) - max(0, node.mixed[i * r + a])
    }
    var (low, high) = (0.0, 1.0)
    for _ in 0..<8 {
      let t = 0.5 * (low + high)
      if slope(t) < mean { low = t } else { high = t }
    }
    // The heaviest row's crossing within the bracket.
    var best = (share: 0.5 * (low + high), weight: 0.0)
    for i in stride(from: 0, to: node.ups, by: step) {
      let (za, zb) = (node.mixed[i * r + a], node.mixed[i * r + b])
      guard za * zb < 0 else { continue }
      let t = za / (za - zb)
      if t >= low, t <= high, abs(za - zb) > best.weight { best = (t, abs(za - zb)) }
    }
    return min(0.98, max(0.02, best.share))
  }

  /// Cuts `node` at m on the edge (a, b): it keeps r_b with m in place of r_a, `other` gets r_a with m in place of r_b.
  private func split(
    _ node: Node, _ other: Node, _ a: Int, _ b: Int, _ share: Double, c: [Double]
  ) {
    let r = rank
    var ray = [Double](repeating: 0, count: r)
    axpy(r, 1 - share, node.rays.row(a), &ray)
    axpy(r, share, node.rays.row(b), &ray)
    let length = norm(r, ray)
    let (alpha, gamma) = ((1 - share) / length, share / length)
    for k in 0..<r { ray[k] /= length }
    let total = node.ups + node.downs
    let z = Matrix(max(1, total), r)
    z.base.update(from: node.mixed, count: total * r)
    let (ups, downs) = (0..<node.ups, node.ups..<total)
    var middle = [Double](repeating: 0, count: total)
    for i in 0..<total { middle[i] = alpha * z[i, a] + gamma * z[i, b] }
    let settledUp = alpha * node.upper[a] + gamma * node.upper[b]
    let settledDown = alpha * node.lower[a] + gamma * node.lower[b]
    var p = settledUp
    for i in ups { p += max(0, middle[i]) }

    other.rays.copy(from: node.rays)
    (other.p, other.upper, other.lower, other.bound) = (node.p, node.upper, node.lower, node.bound)
    other.reserve(total, r)
    // c = Σ c_k r_k with m in place of one end.
    let (ca, cb) = (c[a] / max(1e-300, alpha), c[b] / max(1e-300, gamma))
    for (child, gone, kept) in [(other, b, a), (node, a, b)] {
      child.rays.row(gone).update(from: ray, count: r)
      (child.p[gone], child.upper[gone], child.lower[gone]) = (p, settledUp, settledDown)
      child.c = c
      let weight = min(ca, cb)
      child.c[gone] = weight
      child.c[kept] = max(0, c[kept] - weight * (kept == a ? alpha : gamma))
      for i in 0..<total { swap(&z[i, gone], &middle[i]) }
      settle(z.base, ups, downs, into: child)
      for i in 0..<total { swap(&z[i, gone], &middle[i]) }
    }
  }
}
