import Foundation
import Tensors
import Testing

/// Stochastic steps on the convex program of gated networks.
@Suite struct GatedProgramTests {
  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  private static let table = """
    awk 'BEGIN { srand(5); for (i = 0; i < 40; ++i) {
      a = 2 * rand() - 1; b = 2 * rand() - 1; e = rand()
      printf "%.6f,%.6f,%s,%.6f\\n", a, b, (a * b > 0 ? "x" : (e > 0.5 ? "y" : "z")), a * b + 0.2 * e } }' >table
    """
  private static let patches =
    "cifar-extract --synthetic 30 --resize 6x6 --classes 0,1,2 | patchify --quiet --size 3 --stride 3 --pool 2 --whiten 0.1 --components 4 --bias"

  /// It comes near to the optimum that solve certifies, never below it, and its solution is one that evaluate judges.
  @Test(arguments: [
    (
      "tensor from-csv table --drop 3 --targets 4 --header no --bias", "--loss squared",
      "--optimizer sgd --learning-rate 0.1"
    ),
    (
      "tensor from-csv table --drop 3 --targets 4 --header no --bias", "--loss huber",
      "--optimizer adam --learning-rate 0.01"
    ),
    (
      "tensor from-csv table --drop 4 --labels 3 --header no --bias",
      "--loss squared --group pattern", "--optimizer sgd --learning-rate 0.1"
    ),
    (
      "tensor from-csv table --drop 4 --labels 3 --header no --bias", "--loss cross-entropy",
      "--optimizer amsgrad --learning-rate 0.02"
    ),
    (patches, "--loss logistic", "--optimizer sgd --learning-rate 0.1"),
    (patches, "--loss squared --group pattern", "--optimizer sgd --learning-rate 0.05"),
  ]) func itTendsToTheCertifiedOptimum(_ data: String, _ program: String, _ optimizer: String)
    throws
  {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.table)
      \(data) | arrangements --quiet --sample 8 --seed 2 -o data
      solve --quiet --activation gated-relu --beta 0.5 --gap 1e-7 \(program) data -o best
      baseline --quiet --activation gated-relu --program gated --beta 0.5 \(program) \(optimizer) --batch 20 \\
        --epochs 3000 --learning-rate-decay 0.998 --trace trace --validation data data -o solution
      recover --quiet solution -o network
      evaluate --quiet --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let optimum = try #require(
      try folder.read("best").metadata["primal_objective"].flatMap { Double($0) })
    let found = try Self.value(run.text, "primal_objective")
    #expect(found >= optimum * (1 - 1e-7) && found <= optimum * 1.02, "\(found) \(optimum)")
    #expect(abs(try Self.value(run.text, "objective") - found) < 1e-9 * found)
    #expect(run.text.contains("certificate\tgates\n") && run.text.contains("dual_objective\t0.0\n"))
    let lines = try String(contentsOf: folder.url("trace"), encoding: .utf8)
      .split(separator: "\n").map { $0.split(separator: "\t") }
    let last = try #require(lines.last { $0.count == 9 })
    #expect(abs((Double(last[4]) ?? 0) - found) < 1e-4 * found)
    #expect(Double(last[7]) == Double(last[5]), "the validation data are the training data")
  }

  /// Deferred patches give the same program.
  @Test func deferredPatchesAreTheSame() throws {
    let folder = try Folder()
    let options =
      "--activation gated-relu --program gated --beta 0.5 --epochs 30 --batch 10 --learning-rate 0.1"
    let run = try Tools.shell(
      """
      set -e
      \(Self.patches) | arrangements --quiet --sample 6 -o data
      \(Self.patches) --defer | arrangements --quiet --sample 6 -o deferred
      for kind in data deferred; do
        baseline --quiet \(options) $kind -o $kind.solution
        recover --quiet $kind.solution | evaluate --quiet --data $kind --certify $kind.solution >$kind.report
        tensor get w --csv $kind.solution >$kind.w
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func weights(_ kind: String) throws -> [Double] {
      try #require(try folder.read("\(kind).solution").tensors["w"]).doubles
    }
    let (a, b) = (try weights("data"), try weights("deferred"))
    #expect(a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(a.contains { $0 != 0 })
  }

  /// Weights to begin with are multiplied by the scale.
  @Test(arguments: ["relu", "linear", "0.09,0.5,0.47"])
  func theScaleMultipliesTheFirstWeights(_ activation: String) throws {
    let folder = try Folder()
    let options = "--activation \(activation) --neurons 3 --epochs 1 --learning-rate 1e-30"
    let run = try Tools.shell(
      """
      set -e
      \(Self.table)
      tensor from-csv table --drop 3 --targets 4 --header no -o data
      baseline --quiet \(options) data -o one
      baseline --quiet \(options) --init-scale 4 data -o four
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    for name in ["hidden.weight", "output.weight"] {
      let (a, b) = (
        try #require(try folder.read("one").tensors[name]).doubles,
        try #require(try folder.read("four").tensors[name]).doubles
      )
      let factor = name == "hidden.weight" && activation.contains(",") ? 1.0 : 4
      #expect(zip(a, b).allSatisfy { abs($1 - factor * $0) <= 1e-6 * abs($1) })
    }
  }
}
