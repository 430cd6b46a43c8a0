import LinearAlgebra
import Schema

/// A block of the convex program of ReLU networks of three layers: the neurons of the second layer that are on for a set D' of
/// samples, with the sign o, whose neurons of the first layer have some signed patterns (D_j, s_j).
struct UnitBlock: Hashable {
  let set: SampleSet
  /// Signed patterns, ascending: 2j for pattern j with the sign +, 2j + 1 with −.
  let members: [Int]
}

/// The convex program of ReLU networks of three layers (Ergen and Pilanci 2021) on few samples,
///
///     min ½ ‖Σ o D' Σ_j s_j D_j X v_j − y‖² + β Σ ‖v_j‖,  v_j ∈ K_j,  (2D' − I) Σ_j s_j D_j X v_j ≥ 0,
///
/// with X and y scaled to the size 1. For every λ ≥ 0 and u = o D'ν + (2D' − I)λ the price of a block, the largest
/// o νᵀD' Σ_j s_j D_j X v_j with Σ ‖v_j‖ ≤ 1, is at most the largest projection of s_j XᵀD_j u on K_j.
struct UnitProgram {
  /// X over `unit`, n rows of d numbers, and their lengths.
  let rows: [[Double]]
  let lengths: [Double]
  /// y over `size`.
  let targets: [Double]
  let unit: Double
  let size: Double
  /// The patterns D_j on the samples.
  let patterns: [[Bool]]
  /// M.
  let width: Int

  var samples: Int { rows.count }
  var dimension: Int { rows[0].count }
  /// All signed patterns.
  var all: [Int] { Array(0..<2 * patterns.count) }
  /// Whether a unit may have all patterns at once: with as many neurons as samples it needs no more.
  var isMerged: Bool { width >= samples || width >= 2 * patterns.count }

  /// How far a constraint may be violated when prices are bounded, relative to ‖x‖ and weights of 1: so it has interior
  /// points, and λ is bounded.
  static let room = 1e-7

  init(_ data: ArrangementData, targets y: [Double], width: Int) {
    let x = data.features
    let rms = norm(x.count, x.base) / Double(max(1, x.rows)).squareRoot()
    let largest = norm(y.count, y)
    let (unit, size) = (rms > 0 ? rms : 1, largest > 0 ? largest : 1)
    rows = (0..<x.rows).map { i in (0..<x.columns).map { x[i, $0] / unit } }
    lengths = rows.map { norm($0.count, $0) }
    targets = y.map { $0 / size }
    patterns = (0..<data.patterns.count).map { p in
      (0..<x.rows).map { data.patterns.isActive(p, row: $0) }
    }
    (self.unit, self.size, self.width) = (unit, size, width)
  }

  static func sign(_ member: Int) -> Double { member % 2 == 0 ? 1 : -1 }
  func isActive(_ member: Int, _ sample: Int) -> Bool { patterns[member / 2][sample] }

  // MARK: Constraints of blocks

  /// The numbers of a block's variables, (t_j, v_j) for each member.
  func count(_ block: UnitBlock) -> Int { block.members.count * (dimension + 1) }

  /// x_i · v_m, times `factor`, of the block whose variables begin at `first`.
  private func row(_ i: Int, _ m: Int, first: Int, _ factor: Double) -> ConeProgram.Row {
    let start = first + m * (dimension + 1) + 1
    return (0..<dimension).map { (start + $0, factor * rows[i][$0]) }
  }

  /// The samples with a constraint between the members: where one of them is active.
  func coupled(_ block: UnitBlock) -> [Int] {
    (0..<samples).filter { i in lengths[i] > 0 && block.members.contains { isActive($0, i) } }
  }

  /// Adds v_j ∈ K_j, then (2D' − I) Σ s_j D_j X v_j ≥ 0 for the `coupled` samples. With a variable `slack` they hold with that
  /// room; otherwise the latter may be violated by `room` ‖x‖.
  func addRows(
    _ block: UnitBlock, first: Int, room: Double, slack: Int? = nil, to program: inout ConeProgram
  ) {
    func add(_ row: ConeProgram.Row, _ i: Int, _ bound: Double) {
      program.add(slack.map { row + [($0, lengths[i])] } ?? row, atMost: bound)
    }
    for (m, member) in block.members.enumerated() {
      for i in 0..<samples where lengths[i] > 0 {
        add(row(i, m, first: first, isActive(member, i) ? -1 : 1), i, 0)
      }
    }
    for i in coupled(block) {
      let side = block.set.contains(i) ? -1.0 : 1
      var sum: ConeProgram.Row = []
      for (m, member) in block.members.enumerated() where isActive(member, i) {
        sum += row(i, m, first: first, side * UnitProgram.sign(member))
      }
      add(sum, i, room * lengths[i])
    }
  }

  /// Adds ‖v_j‖ ≤ t_j.
  func addCones(_ block: UnitBlock, first: Int, to program: inout ConeProgram) {
    for m in block.members.indices {
      let head = first + m * (dimension + 1)
      program.addCone(head: head, tail: head + 1..<head + 1 + dimension)
    }
  }

  /// The weights of the variables in the output of sample i.
  func outputs(_ block: UnitBlock, first: Int, _ i: Int) -> ConeProgram.Row {
    guard block.set.contains(i) else { return [] }
    var result: ConeProgram.Row = []
    for (m, member) in block.members.enumerated() where isActive(member, i) {
      result += row(i, m, first: first, block.set.sign * UnitProgram.sign(member))
    }
    return result
  }

  /// Whether some weights satisfy all constraints of the block with room: otherwise other blocks have the same networks.
  func hasInterior(_ block: UnitBlock) -> Bool {
    let slack = count(block)
    var program = ConeProgram(variables: slack + 1)
    addRows(block, first: 0, room: 0, slack: slack, to: &program)
    for m in block.members.indices { program.add([(m * (dimension + 1), 1)], atMost: 1) }
    program.add([(slack, 1)], atMost: 1)
    addCones(block, first: 0, to: &program)
    program.linear[slack] = -1
    guard let point = program.solve(tolerance: 1e-8) else { return false }
    return point.x[slack] > 1e-6
  }

  // MARK: Prices

  /// λ ≥ 0 of the samples that bounds the price of the block for ν about as well as can be; nil if rounding allows none.
  func multipliers(_ block: UnitBlock, _ nu: [Double]) -> [Double]? {
    var program = ConeProgram(variables: count(block))
    addRows(block, first: 0, room: UnitProgram.room, to: &program)
    let first = program.rows.count - coupled(block).count
    program.add(block.members.indices.map { ($0 * (dimension + 1), 1) }, atMost: 1)
    addCones(block, first: 0, to: &program)
    for i in 0..<samples {
      for entry in outputs(block, first: 0, i) {
        program.linear[entry.place] -= nu[i] * entry.value
      }
    }
    guard let point = program.solve() else { return nil }
    var result = [Double](repeating: 0, count: samples)
    for (k, i) in coupled(block).enumerated() { result[i] = max(0, point.z[first + k]) }
    return result
  }

  /// The prices ‖P_K (s XᵀD u)‖ of `members` for ν and λ, u = o D'ν + (2D' − I)λ; `project` finds projections.
  func prices(
    _ set: SampleSet, _ members: [Int], nu: [Double], multipliers: [Double],
    _ project: (_ pattern: Int, _ t: [Double]) -> Double
  ) -> [Double] {
    let u = (0..<samples).map {
      set.contains($0) ? set.sign * nu[$0] + multipliers[$0] : -multipliers[$0]
    }
    return members.map { member in
      var t = [Double](repeating: 0, count: dimension)
      for i in 0..<samples where isActive(member, i) {
        axpy(dimension, UnitProgram.sign(member) * u[i], rows[i], &t)
      }
      return project(member / 2, t)
    }
  }
}
