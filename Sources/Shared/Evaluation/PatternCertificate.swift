import LinearAlgebra
import Schema
import Tensors

extension PatternSolution {
  /// How far a gate may be from attaining its pattern, relative to ‖x‖ ‖g‖: samples on the boundary
  /// itself, up to rounding, may have been taken for either side.
  private static let tieTolerance = 1e-12

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    var findings = try findings(on: examples, dual: dual.values, with: network)
    guard findings.largestConstraint.isFinite else {
      throw Failure.data("the dual constraints of \(program.name) overflow")
    }
    var scope = try scope(on: examples)
    var objections: [String] = []
    if claimsAllNeurons {
      let features = try examples.matrix(of: patches)
      do throws(AllNeurons.Shortfall) {
        findings.largestConstraint = try AllNeurons(features: features, dual: dual.values)
          .bound(below: program.beta * (1 + Claim.feasibilityTolerance))
        scope = .global
      } catch { objections.append(error.text) }
    }
    if claimsCompleteness, !claimsAllNeurons, negative != nil, scope != .global {
      objections.append(
        "\(program.name) says that its patterns are all there are, which those of "
          + "\(examples.arrangements?.name ?? examples.name) are not")
    }
    if let objection = objection(toGatesOf: examples, findings) { objections.append(objection) }
    var proof = Certificate(
      dual, scope: scope, beta: program.beta,
      primalObjective: program.judgedLoss.value(findings.outputs, expected)
        + program.beta * penalty,
      primalInfeasibility: max(
        findings.coneViolation,
        program.loss.isConstraint
          ? program.loss.shortfall(
            findings.outputs, expected, reach: try reach(examples, patches)) : 0),
      predictionError: largestDifference(findings.outputs, program.predictions),
      largestConstraint: findings.largestConstraint, rounding: findings.rounding,
      objections: objections)
    proof.globalDualObjective = findings.globalConstraint.map {
      dual.value(scaledBy: $0 > program.beta ? program.beta / $0 : 1)
    }
    return (proof, findings.networkOutputs)
  }

  /// What the data show of the primal point, and of the dual point `dual`.
  func findings(
    on examples: Examples, dual: Matrix, with network: (any NetworkFunction)?
  ) throws -> PatternFindings {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    return
      if patches.patchCount == 1, let arrangements = examples.arrangements
    {
      try connected(patches, arrangements, dual, examples)
    } else {
      try convolutional(patches, examples.arrangements, dual, examples, with: network)
    }
  }

  /// The gate that does not attain its pattern, if there is one.
  func objection(toGatesOf examples: Examples, _ findings: PatternFindings) -> String? {
    let violation = findings.gateViolation
    guard let arrangements = examples.arrangements,
      !(violation.value <= PatternSolution.tieTolerance)
    else { return nil }
    let pattern = violation.isOfSolution ? index[violation.place] : violation.place
    let gate =
      "gate \(violation.place) of "
      + (violation.isOfSolution ? program.name : arrangements.name)
    return "\(gate) does not attain pattern \(pattern) of \(arrangements.name): a sample is on the "
      + "wrong side by \(violation.value)"
  }

  /// The largest output that a network of this norm can have on each sample: ‖x‖ times the norm, x its longest patch.
  private func reach(_ examples: Examples, _ patches: PatchFeatures) throws -> [Double] {
    let x = try examples.matrix(of: patches)
    return (0..<examples.count).map { i in
      (0..<patches.patchCount).reduce(0) {
        max($0, LinearAlgebra.norm(x.columns, x.row(i * patches.patchCount + $1)))
      } * penalty
    }
  }

  /// The networks that the constraints over the patterns of the data bound. Whether a list is complete is counted only
  /// if somebody claims it.
  package func scope(on examples: Examples) throws -> Scope {
    if program.kind.isLinear { return .global }
    if negative == nil { return .gates }
    if ownList != nil, !saysExact { return .patterns }
    guard case .patches(let patches) = examples.features, let arrangements = examples.arrangements,
      claimsCompleteness || arrangements.isExact
    else { return .patterns }
    return try arrangements.isComplete(
      examples, patches, dual: program.dual, beta: program.beta) ? .global : .patterns
  }

  /// Whether it says that no network at all is better, without a list that is complete.
  private var claimsAllNeurons: Bool {
    ownList != nil && !saysExact && negative != nil && grouping == .perClass && regions == 1
      && program.claim.scope == .global
  }

  package func featureScale(on examples: Examples) -> Double {
    guard case .patches(let patches) = examples.features else { return 0 }
    let size = patches.patchCount * patches.dimension
    let row = Matrix(1, size)
    let reader = patches.reader()
    let step = max(1, examples.count / 256)
    var (sum, terms) = (0.0, 0.0)
    for i in Swift.stride(from: 0, to: examples.count, by: step)
    where reader.read(i..<i + 1, into: row.base) {
      let length = LinearAlgebra.norm(size, row.base)
      sum += length * length / Double(patches.patchCount)
      terms += 1
    }
    return terms > 0 ? (sum / terms * Double(regions)).squareRoot() : 0
  }

  /// For one patch per sample: X is held in double precision, and sums are as accurate as in twice that.
  private func connected(
    _ patches: PatchFeatures, _ arrangements: Arrangements, _ dual: Matrix, _ examples: Examples
  ) throws -> PatternFindings {
    let features = try examples.matrix(of: patches)
    let lengths = (0..<features.rows).map { LinearAlgebra.norm(features.columns, features.row($0)) }
    let listed =
      arrangements.isListed ? arrangements : try arrangements.listing(features: features)
    let primal = PatternPrimal(self, listed, features: features, lengths: lengths)
    let largest =
      claimsAllNeurons
      ? (constraint: 0, gate: GateViolation())
      : PatternConstraints(
        self, listed, features: features, lengths: lengths, dual: dual
      ).largest()
    var findings = PatternFindings(
      outputs: primal.outputs, coneViolation: primal.coneViolation,
      gateViolation: primal.gateViolation.value > largest.gate.value
        ? primal.gateViolation : largest.gate,
      largestConstraint: largest.constraint,
      rounding: rounding(dual, squares: lengths.map { $0 * $0 }))
    findings.globalConstraint = try globalConstraint(
      features, listed, dual, largest: largest.constraint, examples)
    return findings
  }

  /// An upper bound of the price of every neuron on `features`, if the patterns `listed` are all those of a truncation of them;
  /// `largest` is one over these patterns.
  private func globalConstraint(
    _ features: Matrix, _ listed: Arrangements, _ dual: Matrix, largest: Double,
    _ examples: Examples
  ) throws -> Double? {
    guard negative != nil, grouping == .perClass || program.outputs == 1, ownList == nil,
      let rank = try Bundle(metadata: examples.metadata, name: examples.name)
        .read(ifPresent: .rank),
      let truncation = Truncation(features, rank: rank),
      try truncation.isComplete(listed, dual: dual, beta: program.beta)
    else { return nil }
    return truncation.bound(largest, dual: dual)
  }
}

/// Findings on a solution's primal and dual point.
struct PatternFindings {
  /// n × C.
  var outputs: Matrix
  /// The network's outputs, n × C, if they are a function of the same sums over patches.
  var networkOutputs: Matrix?
  /// How far (2 D_i − I) X v is below zero, relative to ‖x_j‖ ‖v‖; 0 for gated networks.
  var coneViolation = 0.0
  var gateViolation = GateViolation()
  /// An upper bound of the dual constraints, tight if it is above β.
  var largestConstraint = 0.0
  /// An upper bound of the constraints of all patterns that there are, if one is known.
  var globalConstraint: Double?
  /// How far storing ν in double precision may move it.
  var rounding = 0.0
}

extension Examples {
  /// All patches as rows, K for each sample in the order of regions.
  func matrix(of patches: PatchFeatures) throws -> Matrix {
    let (rows, d) = (patches.count * patches.patchCount, patches.dimension)
    try expectMemory(
      8 * Double(rows) * Double(d), for: "\(rows) patches of \(d) features in double precision")
    let result = Matrix(rows, d)
    let parts = max(1, min(Threads.count, patches.count / 64))
    var finite = [Bool](repeating: true, count: parts)
    finite.withUnsafeMutableBufferPointer { finite in
      nonisolated(unsafe) let finite = finite
      Threads.perform(parts) { part in
        let reader = patches.reader()
        let end = patches.count * (part + 1) / parts
        for start in stride(from: patches.count * part / parts, to: end, by: 64) {
          let samples = start..<min(end, start + 64)
          if !reader.read(samples, into: result.row(start * patches.patchCount)) {
            finite[part] = false
          }
        }
      }
    }
    if finite.contains(false) { throw nonFinite() }
    return result
  }
}

extension Arrangements {
  /// The same with the patterns that the gates have on the rows of `features`.
  func listing(features: Matrix) throws -> Arrangements {
    let (n, stride) = (features.rows, (features.rows + 7) / 8)
    try expectMemory(Double(count) * Double(stride), for: "\(count) patterns of \(n) patches")
    let bits = Tensor(type: .u8, shape: [count, stride])
    nonisolated(unsafe) let target = bits.bytes.base.assumingMemoryBound(to: UInt8.self)
    let size = 1024
    let blocks = (n + size - 1) / size
    for first in Swift.stride(from: 0, to: count, by: 512) {
      let gates = gates.selecting(Array(first..<min(count, first + 512)))
      Threads.split(blocks) { own in
        let masks = Matrix(gates.vectors.rows, size)
        for block in own {
          let start = block * size
          let rows = min(size, n - start)
          gates.masks(features.row(start), rows: rows, into: masks)
          for j in 0..<gates.vectors.rows {
            let (mask, bytes) = (masks.row(j), target + (first + j) * stride + start / 8)
            for k in 0..<rows where mask[k] == 1 { bytes[k >> 3] |= 1 << UInt8(k & 7) }
          }
        }
      }
    }
    return listing(bits)
  }

  /// The same with the patches of each sample, as many as `order` has, in that order.
  func reordered(_ order: [Int]) throws -> Arrangements {
    guard !order.elementsEqual(order.indices) else { return self }
    try expectMemory(Double(count) * Double(rows) / 8, for: "\(count) patterns of \(rows) patches")
    let bits = Tensor(type: .u8, shape: [count, (rows + 7) / 8])
    nonisolated(unsafe) let target = bits.bytes.base.assumingMemoryBound(to: UInt8.self)
    Threads.split(count) { own in
      for pattern in own {
        let bytes = target + pattern * ((rows + 7) / 8)
        for row in 0..<rows {
          let from = row / order.count * order.count + order[row % order.count]
          if isActive(pattern, row: from) { bytes[row >> 3] |= 1 << UInt8(row & 7) }
        }
      }
    }
    return listing(bits)
  }
}
