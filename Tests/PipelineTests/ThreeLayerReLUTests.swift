import Foundation
import Tensors
import Testing

/// ReLU networks of three layers over all patterns, on tiny data (docs/mathematics.md).
@Suite struct ThreeLayerReLUTests {
  /// The points (−2, 1) … (2, 1) with the targets ±1.5 in turn.
  private static let points =
    "set -e\nprintf -- '-2,1.5\\n-1,-1.5\\n0,1.5\\n1,-1.5\\n2,1.5\\n' | tensor from-csv --targets 2 --bias -o points\n"

  private func folder(_ script: String) throws -> Folder {
    let folder = try Folder()
    let run = try Tools.shell(Self.points + script, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    return folder
  }

  private static func rows(_ text: String) -> [String: String] {
    text.split(separator: "\n").map { $0.split(separator: "\t", maxSplits: 1).map(String.init) }
      .reduce(into: [:]) { $0[$1[0]] = $1.last }
  }

  private static let solve = "solve --quiet --activation relu --beta 0.1 --gap 1e-6"

  /// A search that ends before it began leaves the zero network and the bound 0.
  @Test(arguments: ["--max-iterations 0", "--max-iterations 1", "--max-seconds 1e-6"])
  func limitsLeaveAClaimThatHolds(_ limit: String) throws {
    let folder = try folder("arrangements --quiet --exact --depth 2 points -o data")
    let run = try Tools.shell(
      """
      set -e
      \(Self.solve) \(limit) data -o solution 2>/dev/null
      recover solution -o network
      evaluate --quiet --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// Known optima, certified, and the networks that have them, by loops over their tensors.
  @Test(arguments: [
    ("--width 1", 2.013919, 1), ("--width 2", 1.793772, 2), ("--width 5", 1.692654, 5),
    ("", 1.692654, 5),
  ]) func optimaAreCertified(_ option: String, _ optimum: Double, _ most: Int) throws {
    let folder = try folder(
      "arrangements --quiet --exact --depth 2 \(option) points -o data; \(Self.solve) data -o solution; recover solution -o network"
    )
    let run = try Tools.shell("evaluate --data data --certify solution network", in: folder)
    let report = Self.rows(run.text)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(report["certificate"] == "global" && report["layers"] == "3")
    func number(_ name: String) throws -> Double {
      try #require(report[name].flatMap { Double($0) })
    }
    #expect(try number("relative_gap") <= 1e-6)
    #expect(abs(try number("primal_objective") - optimum) < 2e-6)
    #expect(try number("dual_objective") <= optimum + 1e-6)
    let network = try folder.read("network")
    let w = try #require(network.tensors["hidden.weight"]).doubles
    let a = try #require(network.tensors["middle.weight"]).doubles
    let o = try #require(network.tensors["output.weight"]).doubles
    let group = try #require(network.tensors["hidden.group"]).doubles.map { Int($0) }
    let units = Set(group).sorted().map { k in group.indices.filter { group[$0] == k } }
    #expect(units.allSatisfy { $0.count <= most })
    var objective = 0.0
    for own in units {
      let hidden = own.reduce(0.0) { $0 + w[2 * $1] * w[2 * $1] + w[2 * $1 + 1] * w[2 * $1 + 1] }
      let middle = own.reduce(0.0) { $0 + a[$1] * a[$1] }
      for length in [hidden.squareRoot(), middle.squareRoot(), abs(o[own[0]])] {
        objective += 0.1 / 3 * length * length * length
      }
    }
    for i in 0..<5 {
      let output = units.reduce(0.0) { sum, own in
        let h = own.reduce(0.0) {
          $0 + a[$1] * max(0, w[2 * $1] * Double(i - 2) + w[2 * $1 + 1])
        }
        return sum + o[own[0]] * max(0, h)
      }
      let y = i % 2 == 0 ? 1.5 : -1.5
      objective += 0.5 * (output - y) * (output - y)
    }
    #expect(abs(objective - optimum) < 2e-6)
    #expect(abs(objective - (try number("objective"))) < 1e-9)
  }

  /// A path, validation and folds are those of every solver.
  @Test func pathsChoose() throws {
    let folder = try folder("arrangements --quiet --exact --depth 2 points -o data")
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation relu --path 3 --beta 0.3 --validation points --path-output path --path-table table data -o chosen
      recover path/3 | evaluate --data data --certify path/3 >report
      solve --quiet --activation relu --path 2 --folds 2 --beta 0.5 data -o folds 2>/dev/null
      solve --quiet --activation relu --beta 100 data -o zero; recover zero | evaluate --data data --certify zero
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.contains("neurons\t0\n") && run.text.contains("certificate\tglobal\n"))
    let table = try String(contentsOf: folder.url("table"), encoding: .utf8)
    #expect(table.split(separator: "\n").count == 4)
  }

  /// Two-layer networks are those of width 1: their optimum bounds the others from above.
  @Test func oneNeuronBelowEachIsTwoLayers() throws {
    let folder = try folder("\(Self.solve) points -o solution")
    let primal = try #require(
      folder.read("solution").metadata["primal_objective"].flatMap { Double($0) })
    #expect(abs(primal - 2.013919) < 2e-6)
  }

  @Test func falseClaimsAreRefused() throws {
    let folder = try folder(
      """
      arrangements --quiet --exact --depth 2 --width 2 points -o data; \(Self.solve) data -o solution
      recover solution -o network; \(Self.solve) points -o flat; recover flat -o two
      arrangements --quiet --sample 6 points -o some
      """)
    let (solution, network) = (try folder.read("solution"), try folder.read("network"))
    func changed(_ name: String, _ change: @escaping (Double) -> Double) -> (inout Bundle) -> Void {
      { bundle in
        guard let old = bundle.tensors[name] else { return }
        let values = old.doubles.map(change)
        bundle.tensors[name] =
          old.type == .f64
          ? Tensor(values, shape: old.shape) : Tensor(values.map { Int32($0) }).shaped(old.shape)
      }
    }
    for (part, change) in [
      ("relative_gap", changed("layers.multipliers") { _ in 0 }),
      ("relative_gap", changed("layers.exception_multipliers") { _ in 0 }),
      ("expected 0 or more", changed("layers.multipliers") { _ in -1 }),
      ("relative_gap", changed("dual") { 2 * $0 }),
      ("primal_objective", changed("layers.weight") { 1.01 * $0 }),
      ("predictions", changed("layers.sign") { -$0 }),
      ("expected 0 to 61", changed("layers.unit") { _ in 62 }),
      ("predictions", changed("layers.unit") { $0 < 30 ? $0 + 1 : $0 - 1 }),
      ("layers.owner", changed("layers.owner") { _ in 9999 }),
      ("does not attain", changed("gates") { -$0 }),
      ("\"index\"", changed("index") { _ in 99 }),
      ("unit_width", { $0.metadata["unit_width"] = "1" }),
      ("unit_width", { $0.metadata["unit_width"] = "0" }),
      ("relative_gap", { $0.metadata["unit_width"] = "3" }),
      ("expected 3", { $0.metadata["layers"] = "4" }),
      ("layers.unit", { $0.metadata["layers"] = nil }),
      ("does not use", { $0.tensors["v"] = $0.tensors["layers.weight"] }),
      ("not finite", changed("layers.weight") { _ in .nan }),
    ] as [(String, (inout Bundle) -> Void)] {
      var other = solution
      change(&other)
      try folder.write(other, "other")
      let run = try Tools.shell("evaluate --data data --certify other network", in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
    }
    for (part, change) in [
      ("recovery_error", changed("middle.weight") { -$0 }),
      ("recovery_error", changed("hidden.weight") { 1.01 * $0 }),
      ("hidden.group", { $0.tensors["hidden.group"] = nil }),
      ("unit_width", changed("hidden.group") { _ in 0 }),
    ] as [(String, (inout Bundle) -> Void)] {
      var other = network
      change(&other)
      try folder.write(other, "other")
      let run = try Tools.shell("evaluate --data data --certify solution other", in: folder)
      #expect(
        run.status == 1 && (run.errors.contains(part) || run.errors.contains("output weights")),
        "\(part): \(run.errors)")
    }
    for (data, solution, network, part) in [
      ("data", "solution", "two", "has two"), ("points", "flat", "network", "has two"),
      ("some", "solution", "network", "patterns"),
    ] {
      let run = try Tools.shell(
        "evaluate --data \(data) --certify \(solution) \(network)", in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
    }
  }

  @Test(arguments: [
    ("--activation gated-relu", "no --activation gated-relu"),
    ("--activation relu --loss huber", "--loss"),
    ("--activation relu --norm nuclear", "--norm nuclear"),
    ("--activation relu --batch-norm before", "--batch-norm"),
  ]) func otherProgramsAreRefused(_ options: String, _ part: String) throws {
    let folder = try folder("arrangements --quiet --exact --depth 2 points -o data")
    let run = try Tools.shell("solve \(options) --beta 1 data -o out", in: folder)
    #expect(run.status == 1 && run.errors.contains(part), "\(run.errors)")
    #expect(!folder.files.contains("out"))
  }

  @Test func dataThatAreTooLargeAreRefused() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      seq 20 | awk '{ print $1 "," $1 % 3 }' | tensor from-csv --targets 2 --bias | arrangements --quiet --exact --depth 2 -o data &&
        solve --activation relu --beta 1 data -o out
      """, in: folder)
    #expect(run.status == 1 && run.errors.contains("at most 12 samples"), "\(run.errors)")
  }
}

extension Tensor {
  /// The same numbers in another shape.
  fileprivate func shaped(_ shape: [Int]) -> Tensor {
    Tensor(type: type, shape: shape, bytes: bytes)
  }
}
