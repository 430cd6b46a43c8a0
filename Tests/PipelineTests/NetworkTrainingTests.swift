import Foundation
import Schema
import Tensors
import Testing

/// `solve --activation relu` on a dataset: training over all patterns.
@Suite struct NetworkTrainingTests {
  /// Random rows with a constant and targets of signs, as a dataset `data`.
  private func folder(
    samples n: Int, features d: Int, outputs: Int = 1, patches: Int = 1, labels: Bool = false,
    seed: Int
  ) throws -> Folder {
    var random = RandomSource(seed: seed)
    let folder = try Folder()
    let x = (0..<n * patches * d).map { $0 % d == d - 1 ? 1 : random.gaussian() }
    var tensors = [
      "x": Tensor(x, shape: patches == 1 ? [n, d] : [n, patches, d])
    ]
    if labels {
      tensors["labels"] = Tensor((0..<n).map { Int32($0 % max(2, outputs)) })
    } else {
      tensors["targets"] = Tensor(
        (0..<n * outputs).map { _ in random.gaussian() }, shape: [n, outputs])
    }
    try folder.write(Bundle(kind: .dataset, tensors: tensors), "data")
    return folder
  }

  private func solve(_ folder: Folder, _ options: String) throws -> Run {
    try Tools.shell(
      """
      solve --quiet --activation relu \(options) data -o solution && recover --quiet solution -o network \\
        && evaluate --data data --certify solution network
      """, in: folder)
  }

  private func number(_ text: String, _ name: String) -> Double {
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "\t")
      if parts.count == 2, parts[0] == name { return Double(parts[1]) ?? .nan }
    }
    return .nan
  }

  /// The optimum over all cells, listed, is that of the search, in spaces where both can be had.
  @Test(arguments: [(150, 3, 3.0), (150, 3, 0.3), (18, 5, 1.0)])
  func theSearchAgreesWithTheList(_ n: Int, _ d: Int, _ beta: Double) throws {
    let folder = try folder(samples: n, features: d, seed: 1)
    let found = try solve(folder, "--beta \(beta) --gap 1e-6")
    #expect(found.status == 0, "\(found.errors)")
    #expect(found.text.contains("certificate\tglobal"), "\(found.text)")
    let listed = try Tools.shell(
      "arrangements --quiet --exact data | solve --quiet --activation relu --beta \(beta) --gap 1e-6 -o listed && tensor show listed",
      in: folder)
    #expect(listed.status == 0, "\(listed.errors)")
    let best = try #require(
      Double(decimal: try folder.read("listed").metadata["primal_objective"] ?? ""))
    #expect(abs(number(found.text, "primal_objective") - best) <= 2e-6 * best)
  }

  /// Every loss, several outputs and pooled patches are proved too.
  @Test(arguments: LossName.tested, [(1, 1), (3, 1), (1, 3)])
  func everyLossIsProved(_ loss: LossName, _ shape: (outputs: Int, patches: Int)) throws {
    let folder = try folder(
      samples: 30, features: 3, outputs: shape.outputs, patches: shape.patches, labels: true,
      seed: 2)
    let run = try solve(folder, "--beta 1 --loss \(loss.rawValue)")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.contains("certificate\tglobal"), "\(run.text)")
    #expect(number(run.text, "relative_gap") <= 1e-4)
    #expect(number(run.text, "dual_infeasibility") <= 1e-9)
  }

  /// Beyond the dimensions of a proof the certificate is over the patterns that were found, which the solution holds.
  @Test func withoutAProofThePatternsAreThoseOfTheSolution() throws {
    let folder = try folder(samples: 40, features: 12, seed: 3)
    let run = try solve(folder, "--beta 2 --trace trace")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.contains("certificate\tpatterns"), "\(run.text)")
    let solution = try folder.read("solution")
    #expect(solution.metadata["list"] == "found")
    let violation = try #require(Double(decimal: solution.metadata["violation"] ?? ""))
    #expect(violation >= 1 && violation < 1.01)
    #expect((Int(solution.metadata["searches"] ?? "") ?? 0) > 0)
    // evaluate searches by itself.
    let own = number(run.text, "violation")
    #expect(own > 0.9 && own < 1.01 && number(run.text, "searches") > 100, "\(run.text)")
    let patterns = try #require(solution.tensors["patterns"])
    #expect(patterns.shape == [solution.tensors["gates"]?.shape[0] ?? 0, 5])
    let header = try String(contentsOf: folder.url("trace"), encoding: .utf8).split(separator: "\n")
      .first
    #expect(header?.hasSuffix("\tviolation\tproof_seconds") == true)
  }

  /// A second run gives the same bytes.
  @Test func resultsAreReproducible() throws {
    let folder = try folder(samples: 60, features: 8, seed: 4)
    var outputs: Set<Data> = []
    for _ in 0..<2 {
      let run = try Tools.run(
        "solve", ["--quiet", "--activation", "relu", "--beta", "3", "data"], in: folder)
      #expect(run.status == 0 && !run.output.isEmpty)
      outputs.insert(run.output)
    }
    #expect(outputs.count == 1)
  }

  /// A global claim is refused if a better network exists, if the dual point is raised, or if the objective is another.
  @Test func falseClaimsAreRefused() throws {
    let folder = try folder(samples: 60, features: 4, seed: 5)
    #expect(try solve(folder, "--beta 1").text.contains("certificate\tglobal"))
    let honest = try folder.read("solution")
    func judge(_ change: (inout Bundle) -> Void) throws -> Run {
      var forged = honest
      change(&forged)
      try folder.write(forged, "forged")
      return try Tools.shell(
        "recover --quiet forged -o other && evaluate --data data --certify forged other", in: folder
      )
    }
    let raised = try judge { bundle in
      let dual = bundle.tensors["dual"]!
      bundle.tensors["dual"] = Tensor(dual.doubles.map { $0 * 1.001 }, shape: dual.shape)
    }
    #expect(raised.status == 1)
    #expect(raised.errors.contains("has the price"), "\(raised.errors)")
    for key in ["primal_objective", "dual_objective"] {
      let run = try judge { bundle in
        let value = Double(decimal: bundle.metadata[key] ?? "")!
        bundle.metadata[key] = "\(value * 1.0001)"
      }
      #expect(run.status == 1 && run.errors.contains(key), "\(run.errors)")
    }
    // The best over a few sampled patterns is not the best of all.
    let sampled = try Tools.shell(
      "arrangements --quiet --sample 3 data -o list && solve --quiet --activation relu --beta 1 list -o few && tensor show few",
      in: folder)
    #expect(sampled.status == 0)
    let list = try folder.read("list")
    var few = try folder.read("few")
    few.metadata["list"] = "found"
    few.metadata["certificate"] = "global"
    few.tensors["gates"] = list.tensors["gates"]
    few.tensors["patterns"] = list.tensors["patterns"]
    try folder.write(few, "forged")
    let run = try Tools.shell(
      "recover --quiet forged -o other && evaluate --data data --certify forged other", in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("has the price"), "\(run.errors)")
  }

  /// What a list is not given for is refused, and limits are kept.
  @Test func optionsAndLimits() throws {
    let folder = try folder(samples: 200, features: 30, seed: 6)
    #expect(
      try Tools.shell("arrangements --quiet --sample 5 data -o list", in: folder).status == 0)
    for option in ["--global", "--neurons 5", "--restarts 2", "--seed 1", "--max-nodes 7"] {
      let run = try Tools.shell("solve --activation relu --beta 1 \(option) list", in: folder)
      #expect(run.status == 2 && run.errors.contains("is for --activation relu on a dataset"))
    }
    let late = try solve(folder, "--beta 0.1 --max-seconds 0.3")
    #expect(late.status == 0, "\(late.errors)")
    #expect(try folder.read("solution").metadata["status"] == "time-limit")
    let few = try solve(folder, "--beta 0.1 --max-iterations 3 --neurons 4")
    #expect(few.status == 0, "\(few.errors)")
    #expect(try folder.read("solution").metadata["status"] == "iteration-limit")
    let small = try self.folder(samples: 60, features: 8, seed: 7)
    let nodes = try solve(small, "--beta 3 --global --max-nodes 200")
    #expect(nodes.status == 0, "\(nodes.errors)")
    #expect(nodes.text.contains("certificate\tglobal"))
    #expect(try small.read("solution").metadata["status"] == "node-limit")
  }

  /// Without the proof that was asked for nothing is optimal; one that nobody asked for may fail, and says so.
  @Test func proofsThatDoNotEnd() throws {
    let folder = try folder(samples: 60, features: 8, seed: 7)
    let run = try Tools.shell(
      "solve --activation relu --beta 3 --global --max-nodes 200 --require-optimal data -o none",
      in: folder)
    #expect(run.status == 1 && run.errors.contains("node-limit"), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("none")))
    // The first cones of this proof do not even make its bound better than none.
    let none = try Tools.shell(
      "solve --activation relu --beta 3 --global --max-nodes 1 data -o none", in: folder)
    #expect(none.status == 0, "\(none.errors)")
    #expect(try folder.read("none").metadata["status"] == "node-limit")

    let small = try self.folder(samples: 120, features: 5, seed: 3)
    let few = try Tools.shell(
      "solve --activation relu --beta 0.5 --max-nodes 50 data -o solution && recover solution -o network "
        + "&& evaluate --data data --certify solution network", in: small)
    #expect(few.status == 0, "\(few.errors)")
    #expect(few.text.contains("certificate\tpatterns"), "\(few.text)")
    #expect(few.errors.contains("no bound over all neurons was proved"), "\(few.errors)")
    let bound = try #require(
      Double(decimal: try small.read("solution").metadata["violation_bound"] ?? ""))
    #expect(bound >= number(few.text, "violation") - 1e-9)
    // The whole proof gives the smaller bound.
    #expect(try solve(small, "--beta 0.5").text.contains("certificate\tglobal"))
  }

  /// Features of sizes from 5e2 to 1e8: rounding leaves prices at β open, and lengths are chosen badly. Neither may keep
  /// the search going, or lose the network that it has.
  @Test(arguments: ["1e-4", "1e-6"])
  func featuresOfManySizesComeToAnEnd(_ gap: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf '%s\\n' 870.25,-1 1248.04,-1 -650872.7,-1 -120463455.8,1 33471644.8,1 -526.7,1 -857457.4,-1 \\
        -1400596,-1 223231.4,-1 664.17,-1 >table
      tensor from-csv --bias --labels 2 --classes -1,1 table -o data
      solve --quiet --activation relu --loss logistic --class-weights balanced --beta 0.00217 --gap \(gap) \\
        --max-seconds 60 data -o solution
      recover --quiet solution -o network
      evaluate --quiet --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(number(run.text, "primal_objective") < 0.0657)
    #expect(try folder.read("solution").metadata["status"] != "time-limit")
  }

  /// ν = 0 is feasible for all neurons, in any dimension: no proof is needed.
  @Test func targetsThatAreZeroNeedNoNeurons() throws {
    let folder = try folder(samples: 30, features: 25, seed: 4)
    var data = try folder.read("data")
    data.tensors["targets"] = Tensor(type: .f64, shape: [30, 1])
    try folder.write(data, "data")
    for loss in ["squared", "huber"] {
      let run = try solve(folder, "--beta 0.1 --loss \(loss)")
      #expect(run.status == 0, "\(run.errors)")
      #expect(run.text.contains("certificate\tglobal"), "\(run.text)")
      #expect(run.text.contains("neurons\t0"), "\(run.text)")
    }
  }

  @Test func aPathAndItsValidation() throws {
    let folder = try folder(samples: 60, features: 4, labels: true, seed: 8)
    let run = try Tools.shell(
      """
      solve --quiet --activation relu --beta 0.5 --path 3 --path-table table --path-output steps --validation data data \\
        -o solution && for step in steps/*; do recover --quiet $step | evaluate --data data --certify $step; done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.components(separatedBy: "certificate\tglobal").count == 4, "\(run.text)")
  }
}

extension LossName {
  fileprivate static let tested: [LossName] = [
    .squared, .logistic, .hinge, .huber, .quantile(0.3), .crossEntropy,
  ]
}

/// `arrangements --from`: the patterns of a network's neurons.
@Suite struct PatternsOfNetworksTests {
  private func folder() throws -> Folder {
    let folder = try Folder()
    var random = RandomSource(seed: 21)
    let x = (0..<50 * 4).map { _ in random.gaussian() }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: [
          "x": Tensor(x, shape: [50, 4]),
          "labels": Tensor((0..<50).map { Int32($0 % 2) }),
        ]), "data")
    return folder
  }

  /// A network is no better than the best over its own patterns.
  @Test func theBestOverANetworksPatternsIsNoWorse() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      baseline --quiet --activation relu --neurons 8 --epochs 20 --beta 1 data -o trained \\
        && arrangements --quiet --from trained data -o list \\
        && solve --quiet --activation relu --beta 1 list -o solution && recover --quiet solution -o network \\
        && evaluate --data list --certify solution network && evaluate --data data --beta 1 trained
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let objectives = run.text.split(separator: "\n").filter { $0.hasPrefix("objective") }
      .compactMap { Double($0.split(separator: "\t")[1]) }
    #expect(objectives.count == 2 && objectives[0] <= objectives[1] * (1 + 1e-6))
    let list = try folder.read("list")
    #expect((list.tensors["gates"]?.shape[0] ?? 0) <= 8)
    #expect(list.metadata["exact"] == "false")
  }

  /// Any network's distance from the optimum is proved, and the optimum lies above the bound.
  @Test(arguments: ["squared", "logistic"])
  func theDistanceOfAnyNetworkIsProved(_ loss: String) throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      baseline --quiet --activation relu --loss \(loss) --neurons 8 --epochs 20 --beta 1 data -o trained \
        && solve --quiet --activation relu --loss \(loss) --beta 1 data -o solution && recover --quiet solution -o best \
        && for network in trained best; do evaluate --data data --beta 1 --global $network; done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func numbers(_ name: String) -> [Double] {
      run.text.split(separator: "\n").filter { $0.hasPrefix("\(name)\t") }
        .compactMap { Double($0.split(separator: "\t")[1]) }
    }
    let (objectives, bounds) = (numbers("objective"), numbers("global_bound"))
    let shares = numbers("distance_relative")
    try #require(objectives.count == 2 && bounds.count == 2 && shares.count == 2)
    for bound in bounds { #expect(bound <= objectives[1] * (1 + 1e-9)) }
    #expect(shares[0] > shares[1] && shares[1] < 2e-3)
    #expect(objectives[1] <= objectives[0])
    let without = try Tools.run("evaluate", ["--data", "data", "--global", "best"], in: folder)
    #expect(without.status == 2 && without.errors.contains("--beta"))
    #expect(
      try Tools.shell(
        "solve --quiet --activation linear --beta 1 data | recover --quiet -o linear", in: folder
      ).status == 0)
    let other = try Tools.run(
      "evaluate", ["--data", "data", "--beta", "1", "--global", "linear"], in: folder)
    #expect(other.status == 1 && other.errors.contains("is no ReLU network"), "\(other.errors)")
  }

  /// No tolerance is so small that the search does not end.
  @Test func tolerancesOfTheDistance() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      baseline --quiet --activation relu --neurons 8 --epochs 20 --beta 1 data -o trained \
        && for gap in 1e-1 1e-18; do evaluate --data data --beta 1 --global --gap $gap trained | grep global_bound; done
      """, in: folder)
    let bounds = run.text.split(separator: "\n").compactMap { Double($0.split(separator: "\t")[1]) }
    try #require(bounds.count == 2, "\(run.errors)")
    #expect(bounds[0] < bounds[1])
    let alone = try Tools.run(
      "evaluate", ["--data", "data", "--beta", "1", "--gap", "1e-3", "trained"], in: folder)
    #expect(alone.status == 2 && alone.errors.contains("--global"), "\(alone.errors)")
  }

  /// The hinge's subgradient at a network says little of the distance; the dual point of its solution says more.
  @Test func theDistanceUsesTheSolutionsDualPoint() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      solve --quiet --activation relu --loss hinge --beta 0.5 data -o solution && recover --quiet solution -o best \
        && evaluate --data data --beta 0.5 --global best | grep distance_relative \
        && evaluate --data data --certify solution --global best | grep distance_relative
      """, in: folder)
    let shares = run.text.split(separator: "\n").compactMap { Double($0.split(separator: "\t")[1]) }
    try #require(shares.count == 2, "\(run.errors)")
    #expect(shares[1] <= 0.02 && shares[1] <= shares[0], "\(shares)")
  }

  @Test func otherNetworksAndWaysAreRefused() throws {
    let folder = try folder()
    #expect(
      try Tools.shell(
        "solve --quiet --activation linear --beta 1 data | recover --quiet -o linear", in: folder
      ).status == 0)
    for (arguments, status, words) in [
      ("--from linear data", Int32(1), "expected relu or gated-relu"),
      ("--from data data", 1, "expected network"),
      ("--from linear --exact data", 2, "exclude each other"),
      ("--from linear --threshold 1 data", 2, "--threshold is for --sample"),
      ("data", 2, "is missing"),
    ] {
      let run = try Tools.shell("arrangements \(arguments) -o list", in: folder)
      #expect(run.status == status && run.errors.contains(words), "\(run.errors)")
      #expect(!folder.files.contains("list"))
    }
  }
}

/// Starts and spare neurons of training over all patterns.
@Suite struct NetworkStartsTests {
  private func folder() throws -> Folder {
    let folder = try Folder()
    var random = RandomSource(seed: 31)
    let x = (0..<80 * 10).map { _ in random.gaussian() }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: [
          "x": Tensor(x, shape: [80, 10]),
          "targets": Tensor((0..<160).map { _ in random.gaussian() }, shape: [80, 2]),
        ]), "data")
    return folder
  }

  /// A search from a solution, its network, a network of stochastic gradients or a solution over a list ends no higher.
  @Test func anyNetworkIsAStart() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      solve --quiet --activation relu --beta 3 data -o solution && recover --quiet solution -o network \\
        && baseline --quiet --activation relu --neurons 9 --epochs 5 --beta 3 data -o trained \\
        && arrangements --quiet --sample 8 data -o list && solve --quiet --activation relu --beta 3 list -o listed
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let cold = try #require(
      Double(decimal: try folder.read("solution").metadata["primal_objective"] ?? ""))
    for (start, share) in [
      ("solution", 1e-4), ("network", 1e-4), ("trained", 0.05), ("listed", 0.05),
    ] {
      let warm = try Tools.shell(
        """
        solve --quiet --activation relu --beta 3 --warm-start \(start) data -o warm && recover --quiet warm \\
          | evaluate --data data --certify warm
        """, in: folder)
      #expect(warm.status == 0, "\(start): \(warm.errors)")
      let value = try #require(
        Double(decimal: try folder.read("warm").metadata["primal_objective"] ?? ""))
      #expect(value <= cold * (1 + share), "\(start): \(value), \(cold)")
    }
    let other = try Tools.shell(
      """
      solve --quiet --activation linear --beta 3 data -o linear \\
        && solve --quiet --activation relu --beta 3 --warm-start linear data
      """, in: folder)
    #expect(other.status == 1 && other.errors.contains("expected \"relu\""), "\(other.errors)")
  }

  /// `recover --minimal` finds the patterns in the solution.
  @Test func sparesNeuronsByTheDataset() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      solve --quiet --activation relu --beta 0.5 --max-seconds 5 data -o solution \\
        && recover --quiet --minimal --data data solution -o network \\
        && evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }
}
