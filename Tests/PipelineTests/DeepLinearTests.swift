import Foundation
import Tensors
import Testing

/// Parallel linear networks of more than two layers.
@Suite struct DeepLinearTests {
  /// 12 samples of 4 features and 3 targets, and a solution with β = 0.5.
  private static let solved = """
    set -e
    awk 'BEGIN { srand(7); s = 7
      for (i = 0; i < 12; i++) { line = ""
        for (k = 0; k < 7; k++) { s = s * 16807 % 2147483647; line = line (k ? "," : "") s / 1073741823 - 1 }
        print line } }' >table
    tensor from-csv table --header no --targets 5,6,7 -o data
    solve --quiet --activation linear --beta 0.5 --gap 1e-8 data -o solution
    """

  private func folder() throws -> Folder {
    let folder = try Folder()
    let run = try Tools.shell(Self.solved, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    return folder
  }

  private static func rows(_ text: String) -> [String: String] {
    text.split(separator: "\n").map { $0.split(separator: "\t", maxSplits: 1).map(String.init) }
      .reduce(into: [:]) { $0[$1[0]] = $1.last }
  }

  /// Loss + (β/L) Σ_k Σ_l ‖W_kl‖^L by loops over the tensors, for every depth the optimum of min ℓ(XZ) + β ‖Z‖_*.
  @Test(arguments: [3, 4, 9, 60]) func everyDepthHasTheObjectiveOfTheProgram(_ depth: Int) throws {
    let folder = try folder()
    let run = try Tools.shell(
      "recover --depth \(depth) solution -o network && evaluate --data data --certify solution network",
      in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = Self.rows(run.text)
    #expect(rows["layers"] == "\(depth)" && rows["certificate"] == "global")
    let network = try folder.read("network")
    let u = try #require(network.tensors["hidden.weight"])
    let middle = try #require(network.tensors["middle.weight"])
    let a = try #require(network.tensors["output.weight"]).doubles
    let m = u.shape[0]
    #expect(middle.shape == [depth - 2, m] && m > 0)
    let data = try folder.read("data")
    let x = try #require(data.tensors["x"]).doubles
    let y = try #require(data.tensors["targets"]).doubles
    func length(_ values: [Double]) -> Double {
      values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
    var penalty = 0.0
    var paths: [Double] = []
    for k in 0..<m {
      let inner = (0..<depth - 2).map { middle.doubles[$0 * m + k] }
      paths.append(inner.reduce(1, *))
      let ends = [
        length(Array(u.doubles[k * 4..<k * 4 + 4])), length((0..<3).map { a[$0 * m + k] }),
      ]
      for size in inner.map(abs) + ends { penalty += pow(size, Double(depth)) / Double(depth) }
    }
    var value = 0.5 * penalty
    for i in 0..<12 {
      for c in 0..<3 {
        let output = (0..<m).reduce(0.0) { sum, k in
          let t = (0..<4).reduce(0.0) { $0 + x[i * 4 + $1] * u.doubles[k * 4 + $1] }
          return sum + t * paths[k] * a[c * m + k]
        }
        value += 0.5 * (output - y[i * 3 + c]) * (output - y[i * 3 + c])
      }
    }
    let primal = try #require(rows["primal_objective"].flatMap { Double($0) })
    #expect(abs(value - primal) < 1e-9 * primal)
    #expect(abs(try #require(rows["objective"].flatMap { Double($0) }) - primal) < 1e-9 * primal)
    #expect(try #require(rows["imbalance"].flatMap { Double($0) }) < 1e-12)
  }

  @Test func twoLayersAreThoseWithoutTheOption() throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      recover solution -o two; recover --depth 2 solution -o same
      for key in hidden.weight output.weight; do cmp <(tensor get $key two) <(tensor get $key same); done
      """, in: folder)
    #expect(run.status == 0 && run.text == "" && run.errors == "", "\(run.errors)")
  }

  /// What is altered, and what evaluate says of it.
  @Test(arguments: [
    ("layers", "metadata \"layers\""), ("middle", "recovery_error"), ("unbalanced", "apart"),
    ("missing", "middle.weight"), ("relu", "expected 3"), ("two", "middle.weight"),
  ]) func alteredNetworksAreRefused(_ alteration: String, _ message: String) throws {
    let folder = try folder()
    try Tools.shell("recover --depth 4 solution -o network", in: folder)
    var network = try folder.read("network")
    func scale(_ name: String, _ factor: Double) throws {
      let tensor = try #require(network.tensors[name])
      network.tensors[name] = Tensor(tensor.doubles.map { $0 * factor }, shape: tensor.shape)
    }
    switch alteration {
    case "layers": network.metadata["layers"] = "5"
    case "middle": try scale("middle.weight", 1.01)
    case "unbalanced":
      try scale("hidden.weight", 1.00001)
      try scale("output.weight", 1 / 1.00001)
    case "missing": network.tensors["middle.weight"] = nil
    case "relu": network.metadata["activation"] = "relu"
    default: network.metadata["layers"] = nil
    }
    try folder.write(network, "altered")
    let run = try Tools.shell("evaluate --data data --certify solution altered", in: folder)
    #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
  }

  @Test(arguments: [
    ("--depth 1 solution", 2, "whole number"), ("--depth 1001 solution", 2, "at most"),
    ("--depth 3 --split 2 solution", 2, "exclude"),
    ("--depth 3 --data data solution", 2, "exclude"),
    ("--depth 3 other", 2, "linear"),
  ]) func badUseIsRefused(_ arguments: String, _ status: Int32, _ message: String) throws {
    let folder = try folder()
    let run = try Tools.shell(
      """
      solve --quiet --activation gated-relu --beta 1 <(arrangements --sample 3 data) -o other
      recover \(arguments) -o network
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.errors)")
    #expect(!folder.files.contains("network"))
  }

  /// X = I₅, classes of 3 and 2, β = 0.4: Σ_c h_β(√n_c) of ReLU, gated and linear networks (further-systems, section 1).
  @Test(arguments: [
    ("relu --norm nuclear", "global"), ("gated-relu --norm nuclear", "gates"),
    ("linear", "global"),
  ]) func whitenedDataHaveTheClosedForm(_ options: String, _ word: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf '%s\\n' 1,0,0,0,0,1,0 0,1,0,0,0,1,0 0,0,1,0,0,1,0 0,0,0,1,0,0,1 0,0,0,0,1,0,1 |
        tensor from-csv --header no --targets 6,7 -o data
      case '\(options)' in linear) ;; *) arrangements --quiet --exact data -o list; mv list data ;; esac
      solve --quiet --activation \(options) --beta 0.4 --gap 1e-8 data -o solution
      recover --quiet solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func h(_ t: Double) -> Double { 0.5 * t * t - 0.5 * (t - 0.4) * (t - 0.4) }
    let known = h(3.0.squareRoot()) + h(2.0.squareRoot())
    #expect(abs(known - 1.098506) < 1e-6)
    let rows = Self.rows(run.text)
    #expect(abs(try #require(rows["primal_objective"].flatMap { Double($0) }) - known) < 1e-7)
    #expect(rows["certificate"] == word)
  }
}
