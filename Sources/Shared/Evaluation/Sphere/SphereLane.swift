/// A part of the search that one thread works on at a time: a stack of open cones and its own memory.
///
/// The stack is worked on depth first: the threshold is fixed, so that the order does not change which cones must be
/// split, and the memory is that of one path. What a lane does depends on its cones alone, never on other lanes.
final class SphereLane {
  typealias Numbers = UnsafeMutablePointer<Double>

  /// Cones are not split more often than this: they are then far smaller than rounding allows.
  static let maximumDepth = 400
  /// A lane's memory in numbers (128 MB).
  private static let maximumCapacity = 1 << 24

  let problem: SphereProblem
  let layout: SphereLayout
  let bundle: SphereBundle
  let threshold: Double
  let room: Double

  private(set) var memory: Numbers
  private var capacity: Int
  private var cones: [SphereCone] = []
  /// The cones below this have gone to other lanes.
  private var first = 0

  /// The largest bound of the cones that are done with, and of those that could not be settled.
  private(set) var settledBound = 0.0
  private(set) var unsettledBound = -Double.infinity
  /// How many cones may be bounded in the next run, and how many have been in the last.
  var quota = 0
  private(set) var nodes = 0
  /// The largest value found, at `bestPoint`; whether it refutes the claim.
  var best = 0.0
  let bestPoint: Numbers
  private(set) var isRefuted = false
  /// f(u) > this refutes. Not divided by T.
  let claim: Double

  let scratch: SphereScratch

  /// `threshold` is the claim divided by T, with room for rounding taken off.
  init(problem: SphereProblem, claim: Double) {
    self.problem = problem
    self.claim = claim
    room = problem.room(depth: Self.maximumDepth)
    threshold = claim / problem.scale - 4 * Double.ulpOfOne * abs(claim / problem.scale) - room
    layout = SphereLayout(rank: problem.rows.rank)
    bundle = SphereBundle(rank: problem.rows.rank)
    scratch = SphereScratch(rows: problem.kinks.count, rank: problem.rows.rank)
    bestPoint = .allocate(capacity: problem.rows.rank)
    bestPoint.initialize(repeating: 0, count: problem.rows.rank)
    capacity = 0
    memory = .allocate(capacity: 0)
  }

  deinit {
    memory.deallocate()
    bestPoint.deallocate()
  }

  var openCount: Int { cones.count - first }

  /// The largest bound of the cones that are open.
  var openBound: Double { cones[first...].reduce(-.infinity) { max($0, $1.bound) } }

  /// Bounds at most `quota` cones. Stops at a point that refutes the claim.
  func run() {
    nodes = 0
    while nodes < quota, cones.count > first, !isRefuted {
      nodes &+= 1
      var cone = cones.removeLast()
      switch bound(&cone) {
      case .settled: settledBound = max(settledBound, cone.bound)
      case .unsettled: unsettledBound = max(unsettledBound, cone.bound)
      case .split:
        if cone.depth >= Self.maximumDepth || !split(cone) {
          unsettledBound = max(unsettledBound, cone.bound)
        }
      }
    }
    if cones.count == first {
      cones.removeAll(keepingCapacity: true)
      first = 0
    }
  }

  /// Makes the memory at least that large. False if it is too much.
  func reserve(_ size: Int) -> Bool {
    guard size > capacity else { return true }
    guard size <= Self.maximumCapacity else { return false }
    let larger = min(Self.maximumCapacity, max(size, 2 * capacity, 1 << 12))
    let numbers = Numbers.allocate(capacity: larger)
    if capacity > 0 { numbers.update(from: memory, count: capacity) }
    memory.deallocate()
    memory = numbers
    capacity = larger
    return true
  }

  func push(_ cone: SphereCone) { cones.append(cone) }

  /// The end of the memory in use.
  private var end: Int {
    guard let last = cones.last, cones.count > first else { return 0 }
    return last.start + layout.size(positives: last.positives, negatives: last.negatives)
  }

  /// Gives the cone at the bottom of the stack, as a rule the largest, to another lane. False if that has no room.
  func give(to other: SphereLane) -> Bool {
    guard cones.count > first else { return false }
    var cone = cones[first]
    let size = layout.size(positives: cone.positives, negatives: cone.negatives)
    let start = other.end
    guard other.reserve(start + size) else { return false }
    (other.memory + start).update(from: memory + cone.start, count: size)
    cone.start = start
    other.cones.append(cone)
    first += 1
    return true
  }

  /// Takes over what another lane has found.
  func adopt(best value: Double, at point: Numbers) {
    guard value > best else { return }
    best = value
    bestPoint.update(from: point, count: layout.rank)
  }

  /// Looks at the point p / ‖p‖ of the bundle, where f / T is `value`: a record is improved by ascent and kept, and
  /// may refute the claim.
  func record(_ value: Double) {
    guard value > best + 1e-4 * abs(threshold) || value > threshold else { return }
    let (r, u) = (layout.rank, scratch.point)
    for k in 0..<r { u[k] = bundle.point[k] / bundle.length }
    let raised = problem.ascend(u, room: scratch.ascent)
    guard raised > best else { return }
    adopt(best: raised, at: u)
    let exact = problem.value(u)
    if exact.isFinite, exact - problem.valueError > claim { isRefuted = true }
  }
}

/// Room for the numbers of a lane that do not outlive a cone.
final class SphereScratch {
  typealias Numbers = UnsafeMutablePointer<Double>

  let products: Numbers
  let middle: Numbers
  let least: Numbers
  let largest: Numbers
  let crossings: Numbers
  let jumps: Numbers
  let magnitudes: Numbers
  let point: Numbers
  let ascent: Numbers
  let ray: Numbers
  let columns: UnsafeMutablePointer<Numbers>
  /// The mixed and the settled rows of two children.
  let kept: UnsafeMutablePointer<Int32>
  let settled: UnsafeMutablePointer<Int32>
  let otherKept: UnsafeMutablePointer<Int32>
  let otherSettled: UnsafeMutablePointer<Int32>
  private let pool: Numbers
  private let indexPool: UnsafeMutablePointer<Int32>

  init(rows: Int, rank: Int) {
    let length = SphereKernel.padded(rows) + 8
    pool = .allocate(capacity: 6 * length + 6 * rank)
    pool.initialize(repeating: 0, count: 6 * length + 6 * rank)
    products = pool
    middle = pool + length
    least = pool + 2 * length
    largest = pool + 3 * length
    crossings = pool + 4 * length
    jumps = pool + 5 * length
    magnitudes = pool + 6 * length
    point = magnitudes + rank
    ascent = point + rank
    ray = ascent + 2 * rank
    columns = .allocate(capacity: max(1, rank))
    columns.initialize(repeating: pool, count: max(1, rank))
    indexPool = .allocate(capacity: 4 * length)
    indexPool.initialize(repeating: 0, count: 4 * length)
    (kept, settled) = (indexPool, indexPool + length)
    (otherKept, otherSettled) = (indexPool + 2 * length, indexPool + 3 * length)
  }

  deinit {
    pool.deallocate()
    columns.deallocate()
    indexPool.deallocate()
  }
}
