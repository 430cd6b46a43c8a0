import Evaluation
import Foundation
import Tensors
import Testing

/// Nothing false passes: every tensor and every key of a claim, altered so that it is false, for every activation
/// and loss. What the tools wrote passes.
@Suite struct FalsificationTests {
  /// What is said against the three bundles; empty if the claim holds.
  private static func complaint(_ witnesses: [Witness: Tensors.Bundle]) -> String {
    do {
      let solution = try Evaluation.solution(of: witnesses[.solution]!)
      let examples = try Examples(
        witnesses[.data]!, patterns: solution.needsPatterns, list: solution.ownList)
      return try NetworkEvaluation(
        TrainedNetwork(witnesses[.network]!), on: examples, certifying: solution
      ).violations.joined(separator: "; ")
    } catch let failure as Failure {
      return failure.message
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: HonestCase.all) func everyFalsificationIsRefused(_ honest: HonestCase) throws {
    let folder = try honest.make()
    var witnesses: [Witness: Tensors.Bundle] = [:]
    for witness in Witness.allCases { witnesses[witness] = try folder.read(witness.rawValue) }
    #expect(FalsificationTests.complaint(witnesses) == "", "\(honest.name)")
    let solution = witnesses[.solution]!
    #expect(solution.metadata["gap"] == "1e-05" && solution.metadata["certificate"] != nil)
    var applied = 0
    for falsification in Falsification.all {
      var changed = witnesses
      guard falsification.apply(&changed[falsification.witness]!) else { continue }
      applied += 1
      let found = FalsificationTests.complaint(changed)
      #expect(
        falsification.expected.contains { found.contains($0) },
        "\(honest.name): \(falsification.name): \(found)")
    }
    #expect(applied > 40)
  }

  @Test func theToolRefusesAFalsification() throws {
    let folder = try HonestCase.all[0].make()
    let certify = ["--data", "data", "--certify", "solution", "network"]
    let honest = try Tools.run("evaluate", certify, in: folder)
    #expect(honest.status == 0 && honest.errors == "", "\(honest.errors)")
    #expect(honest.text.contains("\ncertificate\tpatterns\n"))
    #expect(honest.text.contains("\nobjective\t"))
    var solution = try folder.read("solution")
    solution.metadata["certificate"] = "global"
    try folder.write(solution, "solution")
    let forged = try Tools.run("evaluate", certify, in: folder)
    #expect(forged.status == 1 && forged.errors.contains("certificate is \"patterns\""))
    // The report is there all the same.
    #expect(forged.text == honest.text)
  }

  @Test func anotherBetaThanTheSolutionsIsRefused() throws {
    let folder = try HonestCase.all[0].make()
    let run = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "--beta", "0.1", "network"],
      in: folder)
    #expect(run.status == 1 && run.errors.contains("--beta is 0.1"))
  }

  /// A dual point with a huge component that the constraints cannot see: two equal rows.
  @Test(arguments: ["relu", "gated-relu", "linear", "0.09,0.5,0.47"])
  func aHugeDualPointProvesNothing(_ activation: String) throws {
    let folder = try Folder()
    let listed = ["relu", "gated-relu"].contains(activation)
    let run = try Tools.shell(
      """
      set -e
      printf -- '1,2,1\\n1,2,1\\n-1,0.5,2\\n0.3,-1,-1\\n' | tensor from-csv --targets 3 \(
        listed ? "| arrangements --quiet --exact" : "") -o data
      solve --activation \(activation) --beta 100 data -o solution
      recover solution -o network
      evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var solution = try folder.read("solution")
    solution.tensors["dual"] = Tensor([1e15, -1e15, 0, 0], shape: [4, 1])
    solution.metadata["beta"] = "0.1"
    solution.metadata["dual_objective"] = solution.metadata["primal_objective"]
    solution.metadata["relative_gap"] = "0"
    try folder.write(solution, "forged")
    var network = try folder.read("network")
    network.metadata["beta"] = "0.1"
    try folder.write(network, "network")
    let forged = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "forged", "network"], in: folder)
    #expect(forged.status == 1 && forged.errors.contains("relative_gap is"), "\(forged.errors)")
  }

  /// A dual value of −1e18 does not widen what the primal and the network may be off.
  @Test func aVeryNegativeDualValueHidesNothing() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf -- '1,2,1\n1,2,1\n-1,0.5,2\n0.3,-1,-1\n' | tensor from-csv --targets 3 |
        arrangements --quiet --exact -o data && solve --activation relu --beta 0.1 data -o solution &&
        recover solution -o network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var solution = try folder.read("solution")
    solution.tensors["dual"] = Tensor([1e9, -1e9, 0, 0], shape: [4, 1])
    solution.metadata["primal_objective"] = "0.001"
    solution.metadata["dual_objective"] = "-1e18"
    solution.metadata["relative_gap"] = "1e21"
    solution.metadata["status"] = "stalled"
    try folder.write(solution, "forged")
    let forged = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "forged", "network"], in: folder)
    #expect(forged.status == 1 && forged.errors.contains("primal_objective is"), "\(forged.errors)")
  }

  /// Products with such a gate overflow, so that they have no sign.
  @Test func gatesNearTheLargestNumberAttainNoPatternOfTheirOwn() throws {
    let folder = try HonestCase.all[2].make()
    var data = try folder.read("data")
    let gates = try #require(data.tensors["gates"])
    data.tensors["gates"] = gates.replacing(
      gates.doubles.indices.map { $0 < 3 ? 1.7e308 : gates.doubles[$0] })
    try folder.write(data, "data")
    let run = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
    #expect(run.status == 1 && run.errors.contains("does not attain"), "\(run.errors)")
  }

  /// Where ν rounds to double precision by more than the gap, no gap is claimed that evaluate does not find.
  @Test func atAnExtremeBetaNoGapIsHidden() throws {
    let folder = try Folder()
    for beta in ["1e-8", "1e-16", "1e-30"] {
      let run = try Tools.shell(
        """
        set -e
        printf -- '0.2,0.2,-1524408\\n0.3,1.4,-1560540\\n0.5,1.7,204787\\n0.6,-0.2,690979\\n' |
          tensor from-csv --targets 3 -o data
        solve --quiet --activation linear --circular --beta \(beta) --gap 1e-6 data -o solution
        recover solution -o network
        evaluate --quiet --data data --certify solution network
        """, in: folder)
      #expect(run.status == 0, "\(beta): \(run.errors)")
      let solution = try folder.read("solution")
      let gap = try #require(solution.metadata["relative_gap"].flatMap { Double($0) })
      #expect(gap >= 0)
      #expect((gap <= 1e-6) == (solution.metadata["status"] == "optimal"))
    }
  }

  /// Sampled patterns that say they are all there are.
  @Test func sampledPatternsDoNotPassForAll() throws {
    let folder = try HonestCase.all[0].make()
    var data = try folder.read("data")
    data.metadata["exact"] = "true"
    try folder.write(data, "data")
    let run = try Tools.shell(
      """
      solve --activation relu --beta 0.2 data -o solution && recover solution -o network &&
        evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.text.contains("certificate\tpatterns\n"), "\(run.errors)")
    #expect(run.errors.contains("solve: warning: data says that its patterns are all there are"))
    #expect(try folder.read("solution").metadata["certificate"] == "patterns")
  }
}
