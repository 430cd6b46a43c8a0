import LinearAlgebra
import Tensors

/// Whether a network over patterns is one that its solution stands for. The norm of a network depends on which neurons
/// share a group, and the bound depends on the gates: neither is taken on trust.
extension ReLUNetwork {
  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    let found = objections(to: solution)
    if found.isEmpty, solution is PatternSolution,
      let group = try groupOfTwoPatterns(on: examples)
    {
      return ["neurons of group \(group) of \(layers.name) have different patterns"]
    }
    return found
  }

  /// Those that show without the samples.
  func objections(to solution: any Solution) -> [String] {
    let name = layers.name
    if solution is FreeBiasSolution {
      return ["the biases of \(solution.program.name) are free, but those of \(name) are penalised"]
    }
    if solution is ThreeLayerSolution {
      return ["\(solution.program.name) has three layers, but \(name) has two"]
    }
    if solution is NormalizedSolution {
      return ["\(solution.program.name) has batch normalisation, but \(name) has none"]
    }
    if let solution = solution as? FactoredSolution { return objections(toFactored: solution) }
    guard let solution = solution as? PatternSolution else { return [] }
    let program = solution.program.name
    guard weightNorm == solution.weightNorm else {
      return [
        "metadata \"norm\" of \(name) is \(quoted(weightNorm.rawValue)), but that of \(program) is "
          + quoted(solution.weightNorm.rawValue)
      ]
    }
    guard grouping == solution.grouping else {
      return [
        "metadata \"group\" of \(name) is \(quoted(grouping.rawValue)), but that of \(program) is "
          + quoted(solution.grouping.rawValue)
      ]
    }
    var found: [String] = []
    if let gates, solution.gates.places(of: gates.distinct) == nil {
      found.append("tensor \"hidden.gate\" of \(name) has gates that \(program) does not have")
    }
    for (number, members) in (layers.groups ?? []).enumerated() where members.count > 1 {
      if let reason = objection(toGroup: members, of: solution) {
        found.append("group \(number) of tensor \"hidden.group\" of \(name) \(reason)")
        break
      }
    }
    return found
  }

  /// The same for a solution of neurons with rows of output weights: each neuron is a group, with one of its filter for each region
  /// if there are several.
  private func objections(toFactored solution: FactoredSolution) -> [String] {
    guard weightNorm == .nuclear, grouping == .perPattern,
      layers.groups == nil || solution.regions > 1
    else {
      return [
        "\(layers.name) has other metadata \"norm\" or \"group\", or other groups than the network of \(solution.program.name): the norm is "
          + "nuclear, and each neuron a group"
      ]
    }
    for (number, members) in (layers.groups ?? []).enumerated() where members.count > 1 {
      if let reason = objectionToSharedFilter(members) {
        return ["group \(number) of tensor \"hidden.group\" of \(layers.name) \(reason)"]
      }
    }
    return []
  }

  /// Why `members` are not one filter for several regions, with output weights for each; `nil` if they are.
  private func objectionToSharedFilter(_ members: [Int]) -> String? {
    let isShared = members.allSatisfy { j in
      (0..<filters.columns).allSatisfy { filters[j, $0] == filters[members[0], $0] }
    }
    let regions = Set(members.map { layers.regions[$0] })
    guard isShared else { return "has several filters" }
    return regions.count == members.count ? nil : "has two neurons in one region"
  }

  /// Why `members` cannot be a group of the solution's norm; `nil` if they can.
  private func objection(toGroup members: [Int], of solution: PatternSolution) -> String? {
    let isCircular = kind == .circular
    guard isCircular || kind == .linear || solution.regions > 1 || solution.grouping == .perPattern
    else { return "has several neurons, but none of the solution's groups has" }
    if let gates, Set(members.map { gates.index[$0] }).count > 1 {
      return "has neurons of several gates"
    }
    if isCircular { return areShifts(members) ? nil : "is not all shifts of one filter" }
    if weightNorm == .nuclear { return objectionToSharedFilter(members) }
    return objectionToLengthGroup(members, of: solution)
  }

  /// The reason why `members` cannot be a group of the group norm, which has one output weight, up to its place (of
  /// neurons of unit length: output weights of one sign), and at most one neuron for each region and class; `nil` if
  /// they can.
  private func objectionToLengthGroup(_ members: [Int], of solution: PatternSolution) -> String? {
    var places: Set<SIMD2<Int>> = []
    let first = outputWeight.column(members[0]).first { $0 != 0 } ?? 0
    for j in members {
      let column = outputWeight.column(j)
      let outputs = column.indices.filter { column[$0] != 0 }
      guard outputs.count == 1 else { return "has several output weights" }
      let weight = column[outputs[0]]
      guard isUnitNorm ? weight * first > 0 : abs(weight - first) <= 1e-12 * abs(first) else {
        return "has several output weights"
      }
      guard places.insert(SIMD2(layers.regions[j], outputs[0])).inserted else {
        return "has two neurons of one region and class"
      }
    }
    let classes = Set(places.map(\.y))
    return solution.grouping == .perClass && classes.count > 1
      ? "has neurons of several classes" : nil
  }

  /// Whether the neurons `members` are the d shifts of the first one's filter, each once.
  private func areShifts(_ members: [Int]) -> Bool {
    let d = filters.columns
    guard members.count == d else { return false }
    return members.indices.allSatisfy { shift in
      (0..<d).allSatisfy { filters[members[shift], ($0 + shift) % d] == filters[members[0], $0] }
    }
  }

  /// A group of ReLU neurons that are not in one cone: a patch is on the active side of one and on the other side of
  /// another. `nil` if there is none.
  private func groupOfTwoPatterns(on examples: Examples) throws -> Int? {
    guard kind == .relu, let groups = layers.groups, groups.contains(where: { $0.count > 1 }),
      case .patches(let patches) = examples.features
    else { return nil }
    let d = filters.columns
    let lengths = (0..<neurons).map { norm(d, filters.row($0)) }
    let size = max(1, min(256, (1 << 20) / (patches.patchCount * max(d, neurons))))
    let parts = max(1, min(Threads.count, patches.count / 16))
    var bad = [Int?](repeating: nil, count: parts)
    var finite = [Bool](repeating: true, count: parts)
    bad.withUnsafeMutableBufferPointer { bad in
      finite.withUnsafeMutableBufferPointer { finite in
        nonisolated(unsafe) let (bad, finite) = (bad, finite)
        Threads.perform(parts) { part in
          let reader = patches.reader()
          let x = Matrix(size * patches.patchCount, d)
          let products = Matrix(x.rows, neurons)
          let end = patches.count * (part + 1) / parts
          for start in stride(from: patches.count * part / parts, to: end, by: size) {
            let samples = start..<min(end, start + size)
            finite[part] = reader.read(samples, into: x.base)
            let rows = samples.count * patches.patchCount
            // X Uᵀ
            gemm(rows, neurons, d, x.base, .plain, filters.base, .transposed, ldb: d, products.base)
            bad[part] = disagreement(groups, products, rows: rows, x, lengths)
            if !finite[part] || bad[part] != nil { return }
          }
        }
      }
    }
    if finite.contains(false) { throw examples.nonFinite() }
    return bad.compactMap(\.self).first
  }

  private func disagreement(
    _ groups: [[Int]], _ products: Matrix, rows: Int, _ x: Matrix, _ lengths: [Double]
  ) -> Int? {
    for i in 0..<rows {
      let tolerance = Claim.feasibilityTolerance * norm(x.columns, x.row(i))
      for (number, members) in groups.enumerated() where members.count > 1 {
        var (above, below) = (false, false)
        for j in members {
          let limit = tolerance * lengths[j]
          if products[i, j] > limit { above = true }
          if products[i, j] < -limit { below = true }
        }
        if above && below { return number }
      }
    }
    return nil
  }
}
