import Foundation
import Tensors
import Testing

/// Patterns of a truncation of the data, and the bound over all networks that they prove.
@Suite struct TruncationTests {
  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  /// `n` rows of `d` features, of which the last one extends `share` as far as the others, and a target.
  private static func write(_ n: Int, _ d: Int, share: Double, seed: Int, to url: URL) throws {
    var random = RandomSource(seed: seed)
    let rows = (0..<n).map { _ in
      let x = (0..<d).map { _ in random.gaussian() }
      return (x.dropLast() + [share * x[d - 1], x[0] - abs(x[1]) + 0.3 * random.gaussian()])
        .map { "\($0)" }.joined(separator: ",")
    }
    try Data((rows.joined(separator: "\n") + "\n").utf8).write(to: url)
  }

  /// The optimum over all patterns lies between the bounds that those of the truncation prove, for full-rank data.
  @Test(arguments: [
    ("squared", 0.02, 1), ("squared", 0.3, 2), ("squared", 1, 3), ("huber", 0.1, 4),
    ("squared", 0.05, 5), ("quantile-0.3", 0.05, 6), ("squared", 0.001, 7),
  ])
  func theBoundIsBelowTheOptimumOfAllNetworks(_ loss: String, _ share: Double, _ seed: Int) throws {
    let folder = try Folder()
    try Self.write(14, 3, share: share, seed: seed, to: folder.url("table"))
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv table --targets 4 -o data
      arrangements --quiet --exact data -o all
      arrangements --quiet --exact --rank 2 data -o some
      for list in all some; do
        solve --quiet --activation relu --loss \(loss) --beta 0.5 --gap 1e-7 $list -o $list.solution
        recover $list.solution -o $list.network
        evaluate --data $list --certify $list.solution $list.network >$list.report
      done
      cat all.report
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let report = String(decoding: try Data(contentsOf: folder.url("some.report")), as: UTF8.self)
    let all = run.text
    let (low, high) = (
      try Self.value(report, "global_dual_objective"), try Self.value(report, "primal_objective")
    )
    let (dual, optimum) = (
      try Self.value(all, "dual_objective"), try Self.value(all, "primal_objective")
    )
    #expect(low > 0 && low <= optimum && high >= dual, "\(low) \(dual) \(optimum) \(high)")
    #expect(all.contains("certificate\tglobal\n") && report.contains("certificate\tpatterns\n"))
    #expect(!all.contains("global_dual_objective"))
    let gap = try Self.value(report, "global_gap")
    #expect(abs(gap - (high - low) / high) < 1e-12)
    // If hardly anything is left out, hardly anything is lost.
    if share <= 0.001 { #expect(gap < 0.01) }
    let some = try folder.read("some")
    let (patterns, rank) = (some.tensors["patterns"]?.shape[0], some.metadata["rank"])
    #expect(patterns == 28 && rank == "2" && some.metadata["exact"] == "false")
    #expect(try folder.read("some.solution").metadata["global_dual_objective"] == "\(low)")
    // Gates are in the space of the truncation: three of them are dependent.
    let g = try #require(some.tensors["gates"]).doubles
    let volume =
      g[0] * (g[4] * g[8] - g[5] * g[7]) - g[1] * (g[3] * g[8] - g[5] * g[6])
      + g[2] * (g[3] * g[7] - g[4] * g[6])
    #expect(abs(volume) < 1e-12)
  }

  /// √(κ² + σ²‖ν‖²), by hand: two rows (1, 0) and (0, s), y = (1, 1). The truncation of rank 1 has the row (1, 0) alone, of which a
  /// row of zeros is left: too near to degenerate for a list, so that the data are turned a little.
  @Test func theBoundIsThatOfTheFormula() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '3,0.1,1\\n-2,0.2,1\\n1,-0.3,-1\\n' | tensor from-csv --targets 3 -o data
      arrangements --quiet --exact --rank 1 data -o some
      solve --quiet --activation relu --beta 0.7 --gap 1e-10 some -o solution
      recover solution | evaluate --data some --certify solution
      tensor get dual --csv solution
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let nu = run.text.split(separator: "\n").suffix(3).compactMap { Double($0) }
    #expect(nu.count == 3)
    // XᵀX = [[a, b], [b, c]] and the smaller of its eigenvalues.
    let (a, b, c) = (14.0, 0.3 - 0.4 - 0.3, 0.01 + 0.04 + 0.09)
    let sigma = ((a + c) / 2 - ((a - c) * (a - c) / 4 + b * b).squareRoot()).squareRoot()
    let length = nu.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let error = try #require(
      try folder.read("some").metadata["truncation_error"].flatMap { Double($0) })
    #expect(abs(error - sigma) < 1e-12)
    // The solution's ν is feasible with equality.
    let bound = (0.49 + sigma * sigma * length * length).squareRoot()
    let s = 0.7 / bound
    let y = [1.0, 1, -1]
    let expected =
      s * zip(nu, y).reduce(0) { $0 + $1.0 * $1.1 } - 0.5 * s * s * length * length
    #expect(abs(try Self.value(run.text, "global_dual_objective") - expected) < 1e-8)
  }

  @Test func claimsOfABoundThatIsNotProvedAreRefused() throws {
    let folder = try Folder()
    try Self.write(14, 3, share: 0.1, seed: 8, to: folder.url("table"))
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv table --targets 4 -o data
      arrangements --quiet --exact --rank 2 data -o some
      solve --quiet --activation relu --beta 0.5 --gap 1e-7 some -o solution
      recover solution -o network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func judge(_ data: String, _ solution: String) throws -> Run {
      try Tools.run("evaluate", ["--data", data, "--certify", solution, "network"], in: folder)
    }
    var solution = try folder.read("solution")
    let claimed = try #require(solution.metadata["global_dual_objective"].flatMap { Double($0) })
    for value in [claimed * 1.001, claimed * 0.999] {
      solution.metadata["global_dual_objective"] = "\(value)"
      try folder.write(solution, "forged")
      let forged = try judge("some", "forged")
      #expect(forged.status == 1 && forged.errors.contains("global_dual_objective is"))
    }
    // A list that lacks a pattern, or of another rank, or no claim of one.
    for change in ["patterns", "rank 1", "rank 3", "none"] {
      var data = try folder.read("some")
      switch change {
      case "patterns":
        // Pattern 27 becomes pattern 26, which no neuron of the solution uses then.
        for name in ["patterns", "gates"] {
          let old = try #require(data.tensors[name])
          var values = old.doubles
          let width = values.count / old.shape[0]
          for k in 0..<width { values[27 * width + k] = values[26 * width + k] }
          data.tensors[name] = old.replacing(values)
        }
      case "none": data.metadata["rank"] = nil
      default: data.metadata["rank"] = String(change.last!)
      }
      try folder.write(data, "changed")
      let forged = try judge("changed", "solution")
      #expect(
        forged.status == 1 && forged.errors.contains("not all those of a truncation"),
        "\(change): \(forged.errors)")
    }
    var data = try folder.read("some")
    data.metadata["rank"] = "two"
    try folder.write(data, "changed")
    let strange = try judge("changed", "solution")
    #expect(strange.status == 1 && strange.errors.contains("\"rank\""), "\(strange.errors)")
    // Gated networks have no such bound.
    solution.metadata["activation"] = "gated-relu"
    solution.tensors["v"] = nil
    try folder.write(solution, "forged")
    #expect(try judge("some", "forged").status == 1)
  }

  @Test func nothingIsTruncatedFromDataOfThatRank() throws {
    let folder = try Folder()
    try Self.write(9, 3, share: 1, seed: 3, to: folder.url("table"))
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv table --targets 4 -o data
      arrangements --exact --rank 3 data -o same 2>notes
      grep -q 'nothing is truncated' notes
      arrangements --quiet --exact data -o all
      for name in patterns gates; do
        tensor get $name --csv all >a; tensor get $name --csv same >b; cmp a b
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let same = try folder.read("same")
    #expect(same.metadata["exact"] == "true" && same.metadata["rank"] == nil)
  }

  @Test(arguments: [
    ("--sample 5 --rank 2", "data", 2, "--rank is for --exact"),
    ("--exact --rank 0", "data", 2, "--rank"),
    ("--exact --rank 2 --max 3", "data", 1, "over --max 3"),
    ("--exact --rank 1", "patches", 1, "--rank is for fully-connected networks"),
  ]) func whatMakesNoSenseIsRefused(
    _ options: String, _ data: String, _ status: Int, _ message: String
  ) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf -- '3,0.1,1\\n-2,0.2,1\\n1,-0.3,-1\\n' | tensor from-csv --targets 3 -o data
      cifar-extract --synthetic 4 | patchify --size 16 --stride 16 -o patches
      arrangements --quiet \(options) \(data) -o list
      status=$?
      test ! -e list || exit 99
      exit $status
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.status): \(run.errors)")
  }
}
