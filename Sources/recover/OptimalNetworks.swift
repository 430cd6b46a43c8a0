import Command
import Convex
import Glibc
import Schema
import Tensors

extension Invocation<Settings> {
  /// Writes what --vertices, --unique or --path-to ask for.
  func writeOptimalNetworks(of solution: Bundle) throws {
    let data = try read("--data", settings.data!) { input in
      let data = try Bundle(reading: input)
      return try data.kind == .dataset && solution.hasOwnList
        ? data.listing(patternsOf: solution) : data
    }
    let set = try OptimalSet(solution, on: data)
    let metadata = metadata(after: solution.metadata)
    if settings.reportsUniqueness {
      let output = try textOutput()
      try output.write(report(set, of: solution, on: data))
      try output.finish()
      return
    }
    func network(_ weights: [[Double]], keeping: [[Bool]]? = nil) -> Bundle {
      set.network(weights, keeping: keeping, from: solution, metadata: metadata)
    }
    if let count = settings.vertices {
      let vertices = set.vertices(count)
      if vertices.count < count {
        note("the set of optimal networks has \(vertices.count) vertices")
      }
      let polished = vertices.map { set.polished($0) }
      try write(
        polished.map { network($0) }, of: set, weights: polished[0], solution, metadata)
      return
    }
    let target = try read("--path-to", settings.pathTarget!) {
      try set.weights(of: Bundle(reading: $0))
    }
    let written = try WrittenSolution(solution)
    let own: [[Double]]
    do {
      own = try set.weights(
        of: PatternNetwork(written, tolerance: nil).bundle(from: solution, metadata: metadata))
    } catch is Failure {
      // Up to its gap a solution may have neurons that no optimal network has.
      warn(
        "the network of \(solution.name) is optimal up to its gap only: the path begins at a vertex of the set of optimal networks"
      )
      own = set.vertices(1)[0]
    }
    let ends = [set.polished(own), set.polished(target)]
    let steps = settings.steps!
    // A neuron of either end keeps its place all the way.
    let keeping = zip(ends[0], ends[1]).map { zip($0, $1).map { $0 > 0 || $1 > 0 } }
    try write(
      (0..<steps).map { step in
        let t = Double(step) / Double(steps - 1)
        return network(
          zip(ends[0], ends[1]).map { zip($0, $1).map { (1 - t) * $0 + t * $1 } }, keeping: keeping)
      }, of: set, weights: ends[0], solution, metadata)
  }

  private func report(_ set: OptimalSet, of solution: Bundle, on data: Bundle) -> String {
    var lines = ["unique\t\(set.isUnique)"]
    if let scope = solution.metadata[.certificate] {
      // Other patterns than the listed ones may have neurons of optimal networks, whatever the bound is of.
      let isComplete = data.metadata[.exact] == true
      lines.append("certificate\t\((scope == .global && !isComplete ? .patterns : scope).text)")
    }
    lines.append("candidates\t\(set.candidates.reduce(0) { $0 + $1.count })")
    lines.append("rank\t\(set.polytopes.reduce(0) { $0 + $1.rank })")
    for (c, polytope) in set.polytopes.enumerated() {
      for (k, range) in polytope.ranges.enumerated() {
        lines.append("range_\(c + 1)_\(k + 1)\t\(range.lowerBound)\t\(range.upperBound)")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Outputs may differ by so much, relative to the largest, before evaluate refuses to call them those of a solution.
  private static var outputTolerance: Double { 1e-8 }

  /// The first network, of `weights`, to the output, all of them into --networks, and with them the solution that they belong to.
  private func write(
    _ networks: [Bundle], of set: OptimalSet, weights: [[Double]], _ solution: Bundle,
    _ metadata: [String: String]
  ) throws {
    let (error, size) = try set.distance(of: weights, from: solution)
    if error > Self.outputTolerance * size {
      warn(
        "the outputs of \(solution.name) are known up to its gap, and those of the networks are up to \(error) from them: "
          + (settings.networks.map { "they belong to \($0)/solution" }
            ?? "--networks DIR writes DIR/solution, which they belong to"))
    }
    let output = try bundleOutput()
    guard let directory = settings.networks else {
      try write(networks[0], to: output)
      return
    }
    let isNew = try makeDirectory(directory)
    do {
      let names = networks.indices.map { "\($0 + 1)" } + ["solution"]
      let files = try names.map { try Output(path: "\(directory)/\($0)") }
      let all = networks + [try set.solution(weights, like: solution, metadata: metadata)]
      for (bundle, file) in zip(all, files) { try bundle.write(to: file) }
      try networks[0].write(to: output)
      try Output.finish(files + [output])
    } catch {
      if isNew { rmdir(directory) }
      throw error
    }
  }
}

extension Bundle {
  /// This network with K equal neurons for each of its own: both weights over √K, gates and regions as they are. Throws
  /// `Failure.data` if its neurons are of another kind.
  func splittingNeurons(_ count: Int) throws -> Bundle {
    guard try read(.activation) == .relu || read(.activation) == .gatedReLU,
      self[.hiddenGroup] == nil, self[.hiddenBias] == nil,
      try read(ifPresent: .batchNorm) == nil
    else {
      throw Failure.usage(
        "--split is for relu and gated-relu networks whose neurons have groups of their own, without batch normalisation or free biases"
      )
    }
    var result = self
    let root = Double(count).squareRoot()
    let (hidden, output) = (try require(.hiddenWeight), try require(.outputWeight))
    let (m, d, outputs) = (hidden.shape[0], hidden.shape[1], output.shape[0])
    func rows(_ tensor: Tensor, _ width: Int, by factor: Double) -> [Double] {
      let all = tensor.doubles
      return (0..<m * count).flatMap { j in
        all[j / count * width..<(j / count + 1) * width].map { $0 * factor }
      }
    }
    result[.hiddenWeight] = Tensor(rows(hidden, d, by: 1 / root), shape: [m * count, d])
    let values = output.doubles
    result[.outputWeight] = Tensor(
      (0..<outputs).flatMap { c in (0..<m * count).map { values[c * m + $0 / count] / root } },
      shape: [outputs, m * count])
    if self[.hiddenGate] != nil {
      let gates = try GateTensors(self, .neurons, count: m, dimension: d)
      gates.rows((0..<m * count).map { $0 / count }).write(to: &result, .neurons)
    }
    if let regions = self[.hiddenRegion] {
      result[.hiddenRegion] = Tensor(rows(regions, 1, by: 1).map { Int32($0) })
    }
    return result
  }
}
