import Foundation
import Schema
import Tensors
import Testing

/// `--class-weights`: a sample of weight w counts as w samples do.
@Suite struct ClassWeightsTests {
  private let folder: Folder

  /// Two and three classes: each row once (`two`, `three`), and three times of class a, once of b, twice of c.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
        BEGIN { s = 99
          for (i = 0; i < 26; ++i) {
            a = r(); b = r(); c = r(); e = r()
            third = (e > 0.3) ? "a" : ((a > b) ? "b" : "c"); second = (a - c + 0.6 * e > 0.2) ? "a" : "b"
            for (k = 0; k < (third == "a" ? 3 : third == "b" ? 1 : 2); ++k)
              printf "%.9f,%.9f,%.9f,%s\\n", a, b, c, third > (k ? "rest3" : "three.csv")
            for (k = 0; k < (second == "a" ? 3 : 1); ++k)
              printf "%.9f,%.9f,%.9f,%s\\n", a, b, c, second > (k ? "rest2" : "two.csv")
          } }'
      cat three.csv rest3 >three-repeated.csv; cat two.csv rest2 >two-repeated.csv
      for name in two three two-repeated three-repeated; do
        tensor from-csv --header no $name.csv --labels 4 -o $name
        arrangements --quiet --sample 12 $name -o $name.listed
      done
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private static let losses = [
    "squared", "logistic", "hinge", "huber", "cross-entropy", "quantile-0.7",
  ]
  private static let networks: [(options: String, isListed: Bool)] = [
    ("relu --beta 0.3", true), ("relu --group pattern --beta 0.3", true),
    ("relu --beta 0.3", false),
    ("gated-relu --beta 0.3", true), ("gated-relu --norm nuclear --beta 0.3", true),
    ("0.09,0.5,0.47 --beta 0.1", false), ("linear --beta 0.3", false),
    ("linear --circular --beta 0.3", false),
  ]

  /// Every loss and every road to a network: the objective is that of repeated samples, and is certified.
  @Test(arguments: losses, networks.indices)
  func weightsAreRepetitions(_ loss: String, _ k: Int) throws {
    let network = ClassWeightsTests.networks[k]
    for (data, weights) in [("two", "3,1"), ("three", "3,1,2")] {
      let end = network.isListed ? ".listed" : ""
      let options =
        "--quiet --gap 1e-7 --max-seconds 20 --loss \(loss) --activation \(network.options)"
      let run = try Tools.shell(
        """
        set -e
        solve \(options) --class-weights \(weights) \(data)\(end) -o solution
        solve \(options) \(data)-repeated\(end) -o repeated
        recover --quiet solution -o network
        evaluate --quiet --json --certify solution network \(data)\(end)
        """, in: folder)
      #expect(run.status == 0, "\(network.options): \(run.errors)")
      let (mine, theirs) = (try folder.read("solution"), try folder.read("repeated"))
      func number(_ bundle: Tensors.Bundle, _ key: String) throws -> Double {
        try #require(bundle.metadata[key].flatMap { Double($0) })
      }
      let (a, b) = (try number(mine, "primal_objective"), try number(theirs, "primal_objective"))
      let slack = try number(mine, "relative_gap") + number(theirs, "relative_gap") + 1e-9
      #expect(abs(a - b) <= slack * b, "\(network.options), \(data): \(a), \(b)")
      #expect(try number(mine, "relative_gap") <= 1e-4, "\(network.options), \(data)")
      let report = try #require(JSONSerialization.jsonObject(with: run.output) as? [String: Any])
      let objective = try #require(report["objective"] as? Double)
      #expect(abs(objective - a) <= 1e-8 * a)
      #expect(report["certificate"] as? String == mine.metadata["certificate"])
    }
  }

  @Test func convolutionalNetworksHaveThem() throws {
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --synthetic 30 --resize 6x6 --classes 0,1 | patchify --quiet --size 3 --stride 3 --pool 2 --bias -o data
      arrangements --quiet --sample 6 data -o listed
      for options in "relu" "gated-relu" "gated-relu --group pattern" "gated-relu --norm nuclear"; do
        for loss in squared logistic; do
          solve --quiet --activation $options --loss $loss --beta 0.5 --class-weights balanced listed -o solution
          recover --quiet solution | evaluate --certify solution --data listed >report
        done
      done
      patchify --quiet --size 3 --stride 3 --moments -o moments <(cifar-extract --synthetic 30 --resize 6x6 --classes 0,1)
      solve --quiet --activation 1,0,0 --beta 0.5 --class-weights 2,5 moments -o solution
      recover --quiet solution | evaluate --certify solution --data moments >report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("solution").metadata["class_weights"] == "[2.0,5.0]")
  }

  /// Weights are part of the claim: others than those of training are refused, in the solution, the network or both.
  @Test func falseWeightsAreRefused() throws {
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation gated-relu --beta 0.3 --class-weights balanced three.listed -o solution
      recover --quiet solution -o network
      evaluate --data three.listed --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let honest = (try folder.read("solution"), try folder.read("network"))
    let labels = try #require(folder.read("three").tensors["labels"]).doubles
    let counts = (0..<3).map { c in Double(labels.count { $0 == Double(c) }) }
    #expect(
      honest.0.metadata["class_weights"]
        == "[\(counts.map { "\(26 / (3 * $0))" }.joined(separator: ","))]")
    for text in ["[1.0,1.0,1.0]", "[1.0,1.0]", "[0.0,1.0,1.0]", "balanced", nil] {
      for isBoth in [false, true] {
        var (solution, network) = honest
        solution.metadata["class_weights"] = text
        if isBoth { network.metadata["class_weights"] = text }
        try folder.write(solution, "forged")
        try folder.write(network, "forged.network")
        let run = try Tools.run(
          "evaluate", ["--data", "three.listed", "--certify", "forged", "forged.network"],
          in: folder)
        #expect(run.status == 1, "\(text ?? "none")")
        #expect(
          run.errors.contains(isBoth ? "primal_objective" : "class_weights")
            || run.errors.contains("class_weights"), "\(run.errors)")
      }
    }
  }

  /// The trained network and its trace have the objective that evaluate computes.
  @Test(arguments: ["relu", "gated-relu", "0.09,0.5,0.47"])
  func baselinesAreTrainedWithThem(_ activation: String) throws {
    let run = try Tools.shell(
      """
      set -e
      baseline --quiet --activation \(activation) --neurons 8 --epochs 3 --beta 0.1 --class-weights 3,1,2 \
        --trace trace three -o network
      evaluate --quiet --json --beta 0.1 network three
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let report = try #require(JSONSerialization.jsonObject(with: run.output) as? [String: Any])
    let objective = try #require(report["objective"] as? Double)
    let rows = try String(contentsOfFile: folder.path("trace"), encoding: .utf8)
      .split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.split(separator: "\t") }
    let column = try #require(rows[0].firstIndex(of: "objective"))
    let last = try #require(Double(rows[rows.count - 1][column]))
    #expect(abs(objective - last) <= 1e-5 * last)
    #expect(try folder.read("network").metadata["class_weights"] == "[3.0,1.0,2.0]")
  }

  /// Held-out parts may lack a class; the weights stay those of all training data.
  @Test func pathsAndFoldsHaveThem() throws {
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation gated-relu --loss logistic --path 4 --folds 3 --class-weights balanced three.listed -o a
      recover --quiet a | evaluate --certify a --data three.listed
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("a").metadata["validation_accuracy"] != nil)
  }

  @Test func whatHasNoWeightsIsRefused() throws {
    let cases: [(String, String, String)] = [
      (
        "solve --activation linear --beta 1 --class-weights 1,2 three",
        "2 numbers, but three has 3", "2"
      ),
      ("solve --activation linear --beta 1 --class-weights 1 two", "1 number, but two has 2", "2"),
      ("solve --activation linear --beta 1 --class-weights 0,1 two", "expected balanced", "2"),
      ("solve --activation linear --beta 1 --class-weights even two", "expected balanced", "2"),
      (
        "tensor from-csv --header no two.csv --targets 1 --drop 4 | solve --activation linear --beta 1 --class-weights balanced",
        "--class-weights is for labels", "2"
      ),
      ("baseline --class-weights 1,2 three", "2 numbers, but three has 3", "2"),
    ]
    for (command, message, status) in cases {
      let run = try Tools.shell("\(command) >out", in: folder)
      #expect(
        "\(run.status)" == status && run.errors.contains(message), "\(command): \(run.errors)")
    }
  }
}
