import LinearAlgebra

/// A search through the cones of several proofs with one τ: cones with the largest bounds first, many at once, in an order
/// that does not depend on the number of threads.
final class ProofSearch {
  /// How a search ended.
  enum End {
    /// No value exceeds the bound, which is at most τ.
    case proved(bound: Double)
    /// Points u of length 1 with values above τ, each with the number of its proof.
    case violated([(proof: Int, u: [Double])])
    /// The search was stopped; no value exceeds the bound.
    case stopped(bound: Double)
  }

  private let proofs: [SphereProof]
  /// τ, and what rounding of sums of rows, and of the rows that count as settled, may add.
  private let tau: Double
  private let room: Double
  private let workers: [Worker]
  private var queue: ConeQueue
  private(set) var cost = 0

  /// So many workers share the cones of a round; their number decides what is done, not that of the threads.
  private static let workerCount = 8
  /// A worker takes so many cones in a round, and judges so many in the subtree of each before it gives the rest back: few
  /// as long as there is room for open cones, many if that is used up.
  private static let (batch, near, far) = (32, 6, 400)
  /// Bytes that open cones may use before their subtrees are gone through in depth.
  private let mostBytes: Int
  /// Points above τ that a search collects.
  private static let mostPoints = 200

  /// All proofs have the same rank.
  init(_ proofs: [SphereProof], below tau: Double, mostBytes: Int = 48 << 20) {
    self.mostBytes = mostBytes
    self.proofs = proofs
    room = 1e-12 * (proofs.map(\.size).max() ?? 0)
    self.tau = tau - room
    let rank = proofs[0].rank
    let rows = proofs.map(\.rows.rows).max() ?? 0
    workers = (0..<ProofSearch.workerCount).map { _ in Worker(rank: rank, mostRows: rows) }
    queue = ConeQueue(above: self.tau)
    for (number, proof) in proofs.enumerated() {
      for cone in proof.roots(number) { queue.push(cone) }
    }
  }

  deinit {
    while let cone = queue.pop() { cone.deallocate() }
    for cone in workers.flatMap(\.open) { cone.deallocate() }
  }

  /// Searches until the bound τ is proved, values above it are found, cones of a cost of `limit` were judged, or `proceed`
  /// ends it.
  func run(limit: Int, proceed: () -> Bool) -> End {
    var bound = 0.0
    var found: [(proof: Int, u: [Double])] = []
    // After the first point above τ the search goes on for a while: others are welcome.
    var last = limit
    while !queue.isEmpty || workers.contains(where: { !$0.open.isEmpty }) {
      guard cost < last, found.count < ProofSearch.mostPoints, proceed() else {
        return found.isEmpty
          ? .stopped(bound: max(bound, largestOpenBound) + room) : .violated(found)
      }
      round()
      for worker in workers {
        bound = max(bound, worker.bound)
        cost += worker.cost
        if found.isEmpty, !worker.points.isEmpty {
          last = min(limit, ProofSearch.patience(cost))
        }
        for point in worker.points where !found.contains(where: { isNear($0, point) }) {
          found.append(point)
        }
      }
    }
    return found.isEmpty ? .proved(bound: bound + room) : .violated(found)
  }

  private var largestOpenBound: Double {
    workers.reduce(queue.largestBound) { $1.open.reduce($0) { max($0, $1.bound) } }
  }

  /// The cost at which a search ends that met its first point above τ at `cost`.
  private static func patience(_ cost: Int) -> Int { 2 * cost + 2000 }

  /// Whether two points are as good as one.
  private func isNear(_ a: (proof: Int, u: [Double]), _ b: (proof: Int, u: [Double])) -> Bool {
    a.proof == b.proof && dot(a.u.count, a.u, b.u) > 0.99999
  }

  /// Gives each worker its cones, and takes what they leave.
  private func round() {
    if queue.bytes <= mostBytes {
      for worker in workers {
        worker.begin(ProofSearch.near, inDepth: false)
        for cone in worker.open { queue.push(cone) }
        worker.open.removeAll(keepingCapacity: true)
      }
      deal: for _ in 0..<ProofSearch.batch {
        for worker in workers {
          guard let cone = queue.pop() else { break deal }
          worker.cones.append(cone)
        }
      }
    } else {
      // There is no more room. Half of the workers make some: cones of small bounds are gone through to their ends.
      for (place, worker) in workers.enumerated() {
        let makesRoom =
          !worker.open.isEmpty || place % 2 == 0 || queue.bytes > mostBytes + mostBytes / 4
        worker.begin(makesRoom ? ProofSearch.far : ProofSearch.near, inDepth: makesRoom)
        if worker.open.isEmpty, let cone = makesRoom ? queue.popLeast() : queue.pop() {
          worker.cones.append(cone)
        }
      }
    }
    Threads.perform(workers.count) { workers[$0].run(proofs, tau) }
    for worker in workers { for cone in worker.cones { queue.push(cone) } }
  }
}

/// Judges and splits cones on one thread.
private final class Worker {
  private let bounds: ConeBound
  private let splits: ConeSplit
  private let rank: Int
  /// Cones to judge, then those that are left.
  var cones: [ProofCone] = []
  /// Cones of the subtree that it is in.
  var open: [ProofCone] = []
  /// What this round has found.
  private(set) var points: [(proof: Int, u: [Double])] = []
  private(set) var bound = 0.0
  private(set) var cost = 0
  private var (quota, staysInDepth) = (0, false)

  init(rank: Int, mostRows: Int) {
    self.rank = rank
    bounds = ConeBound(rank: rank, mostRows: mostRows)
    splits = ConeSplit(rank: rank, mostRows: mostRows)
  }

  /// Of each cone's subtree it will judge at most `quota`, and `inDepth` keep what is left for the next round.
  func begin(_ quota: Int, inDepth: Bool) {
    (self.quota, staysInDepth) = (quota, inDepth)
    cones.removeAll(keepingCapacity: true)
    points.removeAll(keepingCapacity: true)
    (bound, cost) = (0, 0)
  }

  /// Judges the cones and some of their parts.
  func run(_ proofs: [SphereProof], _ tau: Double) {
    if staysInDepth {
      open += cones
      cones.removeAll(keepingCapacity: true)
      work(proofs, tau)
      return
    }
    let given = cones.count
    for place in 0..<given {
      open.append(cones[place])
      work(proofs, tau)
      cones += open
      open.removeAll(keepingCapacity: true)
    }
    cones.removeFirst(given)
  }

  /// Judges open cones, the last first.
  private func work(_ proofs: [SphereProof], _ tau: Double) {
    var count = 0
    while count < quota, let cone = open.popLast() {
      count += 1
      cost += cone.cost
      judge(cone, proofs[cone.proof], tau)
    }
  }

  private func judge(_ cone: ProofCone, _ proof: SphereProof, _ tau: Double) {
    switch bounds.judge(cone, tau: tau) {
    case .settled(let value): bound = max(bound, value)
    case .exceeded:
      // The rest of the cone is left out: the proof has failed.
      points.append((cone.proof, point(cone)))
    case .open(let value):
      if rank == 1 {
        // A ray is exact.
        points.append((cone.proof, point(cone)))
        break
      }
      var whole = cone
      whole.bound = value
      let edge = splits.edge(of: whole, at: bounds.c)
      let parts = splits.split(whole, edge, at: bounds.c, settled: proof.settled)
      // The part that has the point of the largest bound comes first: if a value exceeds τ, it is found early.
      open.append(parts.far)
      open.append(parts.near)
    }
    cone.deallocate()
  }

  /// The point of the last bound, of length 1.
  private func point(_ cone: ProofCone) -> [Double] {
    var u = [Double](repeating: 0, count: rank)
    for k in 0..<rank { axpy(rank, bounds.c[k], cone.ray(k), &u) }
    let length = norm(rank, u)
    return u.map { $0 / length }
  }
}

/// Open cones by their bounds' excess over τ, in eight classes for each factor of 2.
private struct ConeQueue {
  private let tau: Double
  private var classes = [[ProofCone]](repeating: [], count: 370)
  /// No class above it has a cone.
  private var highest = 0
  private(set) var bytes = 0
  private var count = 0

  init(above tau: Double) { self.tau = tau }

  var isEmpty: Bool { count == 0 }
  var largestBound: Double {
    classes.last { !$0.isEmpty }?.reduce(0) { max($0, $1.bound) } ?? 0
  }

  private func place(_ bound: Double) -> Int {
    let excess = (bound - tau) / abs(tau)
    guard excess > 0x1p-32 else { return 0 }
    guard excess < 0x1p14 else { return classes.count - 1 }
    return 8 * (Int(excess.exponent) + 32) + Int(8 * (excess.significand - 1)) + 1
  }

  mutating func push(_ cone: ProofCone) {
    let place = place(cone.bound)
    classes[place].append(cone)
    highest = max(highest, place)
    bytes += cone.bytes
    count += 1
  }

  /// A cone with one of the largest bounds.
  mutating func pop() -> ProofCone? {
    while highest > 0, classes[highest].isEmpty { highest -= 1 }
    return take(highest)
  }

  /// A cone with one of the least bounds.
  mutating func popLeast() -> ProofCone? { take(classes.firstIndex { !$0.isEmpty }) }

  private mutating func take(_ place: Int?) -> ProofCone? {
    guard let place, let cone = classes[place].popLast() else { return nil }
    bytes -= cone.bytes
    count -= 1
    return cone
  }
}
