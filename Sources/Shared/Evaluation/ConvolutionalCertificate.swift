import LinearAlgebra

extension PatternSolution {
  /// For many patches per sample: these are read in blocks, and only the sums that the program is linear in are formed
  /// from them; predictions and dual constraints come from these sums at once. Only cones need all patches.
  func convolutional(
    _ patches: PatchFeatures, _ arrangements: Arrangements?, _ dual: Matrix, _ examples: Examples,
    with network: (any NetworkFunction)?
  ) throws -> PatternFindings {
    var rows: ConeRows?
    if negative != nil, let arrangements {
      let features = try examples.matrix(of: patches)
      rows = ConeRows(
        features,
        lengths: (0..<features.rows).map { LinearAlgebra.norm(dimension, features.row($0)) },
        arrangements.isListed
          ? try arrangements.reordered(patches.pooling.order)
          : try arrangements.listing(features: features))
    }
    var result = PatternFindings(outputs: Matrix(dual.rows, dual.columns))
    var squares = [Double](repeating: 0, count: dual.rows)
    // Listed patterns may differ from those that the network's gates imply.
    let networkWeights =
      arrangements?.isListed ?? false
      ? nil : network?.pooledWeights(patches, over: arrangements?.gates.all)
    result.networkOutputs = networkWeights.map { Matrix(dual.rows, $0.columns) }
    // Ranges of patterns whose sums over a sample are some 8 MB.
    let total = arrangements?.count ?? 1
    let size = max(1, (1 << 20) / (regions * dimension))
    for start in stride(from: 0, to: total, by: size) {
      let pass = ConvolutionalPass(
        self, patches, arrangements, patterns: start..<min(total, start + size), dual: dual,
        networkWeights: networkWeights)
      guard pass.run(into: &result, squares: &squares) else { throw examples.nonFinite() }
      let found = pass.largestConstraint(rows)
      result.largestConstraint = max(result.largestConstraint, found)
    }
    // The sums here are in plain double precision, which moves them by some times as much as rounding ν does: the bound
    // holds in spite of it.
    let rounding = 8 * rounding(dual, squares: squares)
    result.largestConstraint += rounding
    // A solver's sums are no more accurate.
    result.rounding = 2 * rounding
    return result
  }
}

/// A pass over all samples for a range of patterns.
private final class ConvolutionalPass {
  private let solution: PatternSolution
  private let patches: PatchFeatures
  private let active: ActivePatches
  private let patterns: Range<Int>
  private let dual: Matrix
  /// Patterns of the range with weight: their places in the solution's index.
  private let places: [Int]
  /// Σ_i D_i X (v_i − w_i) as a function of sums: width × C, with 1/P_r.
  private let weights: Matrix
  /// The network as a function of the same sums.
  private let networkWeights: Matrix?
  /// Gates that should attain patterns of the range, and the patterns: the solution's gates, and, for listed patterns,
  /// those of the data.
  private let attaining: [(gates: Gates, owners: [Int], isOfSolution: Bool)]
  /// Whether the networks are gated: their gates decide for patches next to their boundary too.
  private var isGated: Bool { solution.negative == nil }
  /// All v_icr and w_icr of the range, and the pattern of the range that each belongs to; for ReLU.
  private let vectors: Matrix
  private let owners: [Int]
  private let vectorLengths: [Double]
  /// T of pattern i of the range: C·R rows of d numbers, class 0 first.
  private var sums: Matrix

  private var width: Int { patterns.count * solution.regions * solution.dimension }

  init(
    _ solution: PatternSolution, _ patches: PatchFeatures, _ arrangements: Arrangements?,
    patterns: Range<Int>, dual: Matrix, networkWeights: Matrix?
  ) {
    let sumsOfPattern = solution.regions * solution.dimension
    self.networkWeights = networkWeights?.slice(
      patterns.lowerBound * sumsOfPattern..<patterns.upperBound * sumsOfPattern)
    self.solution = solution
    self.patches = patches
    self.patterns = patterns
    self.dual = dual
    let places = solution.index.indices.filter { patterns.contains(solution.index[$0]) }
    self.places = places
    if let arrangements {
      let members = Array(patterns)
      active =
        arrangements.isListed
        ? .listed(arrangements, members, order: patches.pooling.order)
        : .gates(arrangements.gates.selecting(members))
      attaining = Self.attaining(solution, arrangements, patterns, places)
    } else {
      active = .all
      attaining = []
    }
    let (regions, d, outputs) = (solution.regions, solution.dimension, dual.columns)
    weights = Matrix(patterns.count * regions * d, outputs)
    var rows: [UnsafePointer<Double>] = []
    var owners: [Int] = []
    for place in places {
      let i = solution.index[place] - patterns.lowerBound
      for c in 0..<outputs {
        for (sign, matrices) in [(1.0, solution.positive), (-1.0, solution.negative ?? [])]
        where !matrices.isEmpty {
          let row = matrices[c].row(place)
          for r in 0..<regions {
            let scale = sign / Double(patches.pooling.sizes[r])
            for k in 0..<d { weights[(i * regions + r) * d + k, c] += scale * row[r * d + k] }
            guard solution.negative != nil, LinearAlgebra.norm(d, row + r * d) > 0 else { continue }
            rows.append(row + r * d)
            owners.append(i)
          }
        }
      }
    }
    vectors = Matrix(rows.count, d)
    for (j, row) in rows.enumerated() { vectors.row(j).update(from: row, count: d) }
    self.owners = owners
    vectorLengths = rows.map { LinearAlgebra.norm(d, $0) }
    sums = Matrix(0, 0)
  }

  /// The gates to check, as `attaining` holds them. The gates of deferred data need no check: the patterns are
  /// computed from them.
  private static func attaining(
    _ solution: PatternSolution, _ arrangements: Arrangements, _ patterns: Range<Int>,
    _ places: [Int]
  ) -> [(gates: Gates, owners: [Int], isOfSolution: Bool)] {
    let theirs = solution.gates.selecting(places)
    let owners = places.map { solution.index[$0] - patterns.lowerBound }
    if arrangements.isListed {
      return [
        (theirs, owners, true),
        (arrangements.gates.selecting(Array(patterns)), Array(0..<patterns.count), false),
      ]
    }
    let own = arrangements.gates.selecting(places.map { solution.index[$0] })
    return theirs == own ? [] : [(theirs, owners, true)]
  }

  /// Adds the patterns of the range to the outputs, records violations, and sums up T. `squares`_j becomes a bound of
  /// Σ_r ‖F_jir/P_r‖². Returns `false` if a patch is not finite.
  func run(into result: inout PatternFindings, squares: inout [Double]) -> Bool {
    let n = patches.count
    let parts = max(1, min(Threads.count, n / 4))
    let outputs = dual.columns
    let workers = (0..<parts).map { _ in Worker(width: width, outputs: outputs) }
    var targets = [(weights: weights, outputs: result.outputs)]
    if let networkWeights, let outputs = result.networkOutputs {
      targets.append((networkWeights, outputs))
    }
    squares.withUnsafeMutableBufferPointer { squares in
      nonisolated(unsafe) let squares = squares
      Threads.perform(parts) { part in
        let worker = workers[part]
        let features = PooledFeatures(patches, active)
        let check = GeometryCheck(self, limit: features.masks.values.columns)
        let end = n * (part + 1) / parts
        for start in stride(from: n * part / parts, to: end, by: features.limit) {
          let samples = start..<min(end, start + features.limit)
          worker.isFinite = features.update(samples) { some, place in
            check.update(features, some.count * patches.patchCount, place * patches.patchCount)
          }
          if !worker.isFinite { return }
          // Ŷ ← Ŷ + F W
          for target in targets {
            gemm(
              samples.count, outputs, width, features.sums.base, .plain, target.weights.base,
              .plain, beta: 1, target.outputs.row(start))
          }
          worker.add(features.sums, dual.row(start), count: samples.count)
          for (place, sample) in samples.enumerated() {
            squares[sample] = self.square(features.patches.row(place * patches.patchCount))
          }
        }
        worker.coneViolation = check.coneViolation
        worker.gateViolation = check.gateViolation
      }
    }
    guard workers.allSatisfy(\.isFinite) else { return false }
    for worker in workers {
      result.coneViolation = max(result.coneViolation, worker.coneViolation)
      if worker.gateViolation.value > result.gateViolation.value {
        result.gateViolation = worker.gateViolation
      }
    }
    collect(workers)
    return true
  }

  /// Σ_r (1/P_r) Σ_{k in r} ‖x_k‖².
  private func square(_ x: UnsafePointer<Double>) -> Double {
    let d = patches.dimension
    return zip(patches.pooling.starts, patches.pooling.sizes).reduce(0) { sum, region in
      let block = x + region.0 * d
      return sum + dot(region.1 * d, block, block) / Double(region.1)
    }
  }

  /// T from the parts' sums.
  private func collect(_ workers: [Worker]) {
    let (regions, d, outputs) = (solution.regions, solution.dimension, dual.columns)
    sums = Matrix(patterns.count * outputs * regions, d)
    for i in 0..<patterns.count {
      for c in 0..<outputs {
        for r in 0..<regions {
          let target = sums.row((i * outputs + c) * regions + r)
          for k in 0..<d {
            var sum = CompensatedSum()
            let place = ((i * regions + r) * d + k) * outputs + c
            for worker in workers { sum.add(worker.high.base[place]) }
            for worker in workers { sum.add(worker.low.base[place]) }
            target[k] = sum.value / Double(patches.pooling.sizes[r])
          }
        }
      }
    }
  }

  /// An upper bound of the constraints of the patterns, tight if it is above β.
  func largestConstraint(_ rows: ConeRows?) -> Double {
    let height = dual.columns * solution.regions
    var found = [Double](repeating: 0, count: patterns.count)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      let parts = max(1, min(Threads.count, patterns.count))
      Threads.perform(parts) { part in
        let judge = PatternJudge(solution, rows)
        var largest = solution.program.beta
        for i in Swift.stride(from: part, to: patterns.count, by: parts) {
          largest = max(
            largest,
            judge.bound(patterns.lowerBound + i, sums.row(i * height), limit: largest))
          found[i] = largest
        }
      }
    }
    return found.max() ?? 0
  }

  /// The sums of one thread.
  private final class Worker {
    let high, low: Matrix
    private let product: Matrix
    var isFinite = true
    var coneViolation = 0.0
    var gateViolation = GateViolation()

    init(width: Int, outputs: Int) {
      high = Matrix(width, outputs)
      low = Matrix(width, outputs)
      product = Matrix(width, outputs)
    }

    /// Σ_j F_j ν_jᵀ of a block, added without rounding.
    func add(_ features: Matrix, _ dual: UnsafePointer<Double>, count: Int) {
      gemm(
        high.rows, high.columns, count, features.base, .transposed, lda: features.columns, dual,
        .plain,
        product.base)
      let (high, low, product) = (high.base, low.base, product.base)
      for k in 0..<self.high.count {
        let (sum, error) = exactSum(high[k], product[k])
        high[k] = sum
        low[k] += error
      }
    }
  }

  /// Checks for one thread whether weights are in their cones and gates attain their patterns.
  private final class GeometryCheck {
    private let pass: ConvolutionalPass
    private let products: Matrix
    private let attaining: [GateAttainment]
    private(set) var coneViolation = 0.0
    private(set) var gateViolation = GateViolation()

    /// For at most `limit` patches at once.
    init(_ pass: ConvolutionalPass, limit: Int) {
      self.pass = pass
      products = Matrix(pass.vectors.rows, limit)
      attaining = pass.attaining.map { GateAttainment($0.gates, decide: pass.isGated) }
    }

    /// Judges `count` patches, the first of which is `first` in the block, by the present masks.
    func update(_ features: PooledFeatures, _ count: Int, _ first: Int) {
      guard products.rows > 0 || !attaining.isEmpty else { return }
      let d = pass.patches.dimension
      let x = features.patches.row(first)
      let lengths = (0..<count).map { LinearAlgebra.norm(d, x + $0 * d) }
      let vectors = pass.vectors
      // V Xᵀ
      gemm(
        vectors.rows, count, d, vectors.base, .plain, x, .transposed, ldb: d, products.base,
        ldc: products.columns)
      for (j, owner) in pass.owners.enumerated() {
        let (values, mask) = (products.row(j), features.masks.values.row(owner))
        for k in 0..<count {
          let excess = mask[k] == 1 ? -values[k] : values[k]
          guard excess > 0 else { continue }
          let scale = lengths[k] * pass.vectorLengths[j]
          if excess > coneViolation * scale { coneViolation = excess / scale }
        }
      }
      for (checked, (_, owners, isOfSolution)) in zip(attaining, pass.attaining) {
        let worst = checked.worst(
          x, count: count, lengths: { lengths[$0] },
          mask: { UnsafePointer(features.masks.values.row(owners[$0])) })
        if worst.value > gateViolation.value {
          let place =
            isOfSolution
            ? pass.places[worst.gate] : pass.patterns.lowerBound + owners[worst.gate]
          gateViolation = GateViolation(
            value: worst.value, place: place, isOfSolution: isOfSolution)
        }
      }
    }
  }
}
