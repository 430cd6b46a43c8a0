import Foundation
import Tensors
import Testing

/// The numbers of `evaluate`'s report; what the certificate is about is a word.
private struct Report {
  let values: [String: Double]
  init(_ text: String) {
    let lines = text.split(separator: "\n").map { $0.split(separator: "\t") }
    values = Dictionary(
      uniqueKeysWithValues: lines.filter { $0[0] != "certificate" }
        .map { (String($0[0]), Double($0[1])!) })
  }
  subscript(_ name: String) -> Double { values[name] ?? .nan }
}

private func number(_ bundle: Bundle, _ name: String) -> Double {
  bundle.metadata[name].flatMap(Double.init) ?? .nan
}

/// Small textures that every test starts from: 10 classes, cut into patches of 9 features.
private let textures = "--resize 16x16 --grayscale"
private let patches = "--size 3 --contrast 0.1"
private let activation = "--activation 0.09,0.5,0.47"

@Suite struct EndToEndTests {
  let folder: Folder

  init() throws {
    folder = try Folder()
    try bash(
      """
      cifar-extract --synthetic 400 \(textures) | patchify \(patches) --moments -o train
      cifar-extract --synthetic 200 --split test \(textures) | patchify --like train -o test
      """)
  }

  /// Runs a script that must succeed and say nothing on standard error but which β was chosen; returns what it printed.
  @discardableResult
  private func bash(_ script: String) throws -> String {
    let run = try Tools.shell("set -e; " + script, in: folder)
    let others = run.errors.split(separator: "\n").filter { !$0.hasPrefix("solve: chose beta ") }
    #expect(run.status == 0 && others.isEmpty, "\(script): \(run.status) \(run.errors)")
    return run.text
  }

  @Test func theWholeChainIsCertified() throws {
    try bash(
      "solve \(activation) --beta 0.1 --gap 1e-6 train -o solution; recover solution -o network")
    let report = Report(
      try bash("evaluate --data train --certify solution --beta 0.1 network"))
    #expect(report["samples"] == 400 && report["classes"] == 10)
    #expect(report["relative_gap"] <= 1e-6 && report["relative_gap"] >= 0)
    #expect(report["dual_infeasibility"] <= 1e-9)
    // The network is as good as the convex program says that one can be.
    let primal = report["primal_objective"]
    #expect(abs(report["objective"] - primal) <= 1e-8 * primal)
    #expect(report["dual_objective"] <= primal)
    let solution = try folder.read("solution")
    let largest = solution.tensors["predictions"]!.doubles.map(abs).max()!
    #expect(report["recovery_error"] <= 1e-8 * largest)
    #expect(abs(number(solution, "primal_objective") - primal) <= 1e-9 * primal)
    #expect(solution.metadata["status"] == "optimal")
    // No more neurons than the ranks of Z and Z' allow, and each a unit vector.
    let network = try folder.read("network")
    let filters = network.tensors["hidden.weight"]!
    #expect(report["neurons"] == Double(filters.shape[0]))
    #expect(filters.shape[0] <= 10 * 2 * 10 && filters.shape[1] == 9)
    for start in stride(from: 0, to: filters.count, by: 9) {
      let norm = filters.doubles[start..<start + 9].reduce(0) { $0 + $1 * $1 }
      #expect(abs(norm - 1) < 1e-9)
    }
    // It learned something that holds on images it has not seen.
    let unseen = Report(try bash("evaluate --data test network"))
    #expect(unseen["samples"] == 200)
    #expect(unseen["accuracy"] > 0.4)
    #expect(unseen["accuracy"] < 1)
  }

  @Test func oneLineOfPipesDoesTheSame() throws {
    try bash("solve \(activation) --beta 0.1 train -o solution; recover solution -o network")
    let piped = try bash(
      """
      cifar-extract --synthetic 400 \(textures) | patchify \(patches) --moments |
        solve \(activation) --beta 0.1 | recover | tee piped | evaluate --data test
      """)
    #expect(piped == (try bash("evaluate --data test network")))
    #expect(
      try Data(contentsOf: folder.url("piped")) == Data(contentsOf: folder.url("network")))
    #expect(
      try folder.read("network").metadata["command"] == """
        cifar-extract --synthetic 400 --resize 16x16 --grayscale
        patchify --size 3 --contrast 0.1 --moments
        solve --activation 0.09,0.5,0.47 --beta 0.1
        recover
        """)
  }

  @Test func theSameCommandsGiveTheSameBytes() throws {
    for solver in ["interior-point", "admm"] {
      for threads in 1...2 {
        try bash(
          """
          for copy in a b; do
            solve \(activation) --beta 0.1 --solver \(solver) --threads \(threads) train -o $copy
            recover --threads \(threads) $copy -o $copy.network
            evaluate --threads \(threads) --data train --certify $copy $copy.network -o $copy.report
          done
          cmp a b; cmp a.network b.network; cmp a.report b.report
          """)
      }
    }
  }

  @Test func solversAndThreadsAgree() throws {
    let options = ["--solver admm", "--solver interior-point", "--threads 1", "--threads 3"]
    let solutions = try options.map { options in
      try bash("solve \(activation) --beta 0.1 --gap 1e-7 \(options) train -o solution")
      return try folder.read("solution")
    }
    for solution in solutions {
      let primal = number(solution, "primal_objective")
      for other in solutions {
        #expect(number(other, "dual_objective") <= primal)
        #expect(abs(primal - number(other, "primal_objective")) <= 1.01e-7 * primal)
      }
    }
  }

  @Test func patchesAndMomentsAreTheSameProgram() throws {
    for regions in [1, 2] {
      try bash(
        """
        cifar-extract --synthetic 300 --classes plaid,clouds \(textures) -o images
        patchify --size 4 --stride 4 --pool \(regions) --dtype F64 images -o patches
        patchify --size 4 --stride 4 --pool \(regions) --moments images -o moments
        for data in patches moments; do
          solve \(activation) --beta 0.01 --gap 1e-8 $data | tee $data.solution |
            recover -o $data.network
          evaluate --data $data --certify $data.solution --beta 0.01 $data.network -o $data.report
        done
        """)
      let reports = try ["patches", "moments"].map {
        Report(String(decoding: try Data(contentsOf: folder.url("\($0).report")), as: UTF8.self))
      }
      let objective = reports[0]["objective"]
      #expect(objective > 0)
      #expect(abs(reports[1]["objective"] - objective) <= 1e-7 * objective)
      let network = try folder.read("moments.network")
      #expect(network.tensors["output.weight"]!.shape[0] == 1)
      #expect(network.tensors["hidden.region"]!.doubles.max() == Double(regions * regions - 1))
    }
  }

  @Test func aPathChoosesByValidationAndRecordsIt() throws {
    try bash(
      "tensor slice --rows 0:100 test -o validation; tensor slice --rows 100: test -o unseen")
    try bash(
      """
      solve \(activation) --beta 1e-4 --path 4 --validation validation --trace trace train -o path
      recover path -o network; evaluate --data train --certify path network >/dev/null
      evaluate --data validation network -o validation.report
      """)
    let solution = try folder.read("path")
    let steps = (solution.metadata["path"] ?? "").split(separator: ",").map { step in
      step.split(separator: ":").map { Double($0)! }
    }
    #expect(steps.count == 4)
    #expect(zip(steps, steps.dropFirst()).allSatisfy { $0[0] > $1[0] })
    let best = steps.map { $0[1] }.max()!
    // One of the best, and the accuracy is that of the network that was written.
    #expect(steps.contains { $0[0] == number(solution, "beta") && $0[1] == best })
    #expect(number(solution, "validation_accuracy") == best)
    let report = Report(
      String(decoding: try Data(contentsOf: folder.url("validation.report")), as: UTF8.self))
    #expect(abs(report["accuracy"] - best) < 1e-12)
    #expect(solution.metadata["command"]!.hasSuffix("--path 4 --validation BUNDLE"))
    let trace = String(decoding: try Data(contentsOf: folder.url("trace")), as: UTF8.self)
    #expect(trace.hasPrefix("iteration\tseconds\tprimal\tdual\t"))
    #expect(trace.split(separator: "\n").count > 4)

    try bash("solve --activation 1,0,0 --beta 0.1 --path 3 train -o alone")
    let alone = try folder.read("alone")
    #expect(number(alone, "beta") == 0.1 && alone.metadata["path"] == nil)
  }

  @Test func aWarmStartSavesWork() throws {
    try bash("solve \(activation) --beta 0.1 --solver admm --gap 1e-6 train -o cold")
    try bash(
      "solve \(activation) --beta 0.09 --solver admm --gap 1e-6 --warm-start cold train -o warm")
    let cold = try folder.read("cold")
    let warm = try folder.read("warm")
    #expect(number(warm, "relative_gap") <= 1e-6)
    #expect(number(warm, "iterations") <= number(cold, "iterations"))
    // A smaller beta costs less.
    #expect(number(warm, "primal_objective") < number(cold, "primal_objective"))
    let stranger = try Tools.shell(
      """
      cifar-extract --synthetic 300 \(textures) | patchify --size 4 --moments |
        solve \(activation) --beta 0.1 --warm-start cold -o refused
      """, in: folder)
    #expect(stranger.status == 1 && stranger.errors.hasPrefix("solve: "))
    #expect(!folder.files.contains("refused"))
  }

  @Test func aLimitIsToldNotHidden() throws {
    for solver in ["interior-point", "admm"] {
      let limited =
        "\(activation) --beta 0.1 --gap 1e-9 --max-iterations 1 --solver \(solver) train"
      let run = try Tools.run("solve", (limited + " -o limited").words, in: folder)
      #expect(run.status == 0)
      #expect(run.errors.hasPrefix("solve: warning: ") && run.errors.contains("iteration-limit"))
      let solution = try folder.read("limited")
      #expect(solution.metadata["status"] == "iteration-limit")
      #expect(number(solution, "relative_gap") > 1e-9)
      // The best point is a network all the same, and the judge says what is missing.
      try bash("recover limited -o network")
      let judged = try Tools.run(
        "evaluate", "--data train --certify limited network".words, in: folder)
      #expect(judged.status == 0)
      #expect(
        judged.errors.hasPrefix(
          "evaluate: warning: the status of limited is \"iteration-limit\", with a relative gap of "
        ))
      #expect(Report(judged.text)["relative_gap"] <= number(solution, "relative_gap") * 1.000001)
      // The same points do not bear the word optimal out.
      var boast = solution
      boast.metadata["status"] = "optimal"
      try folder.write(boast, "boast")
      let found = try Tools.run(
        "evaluate", "--data train --certify boast network".words, in: folder)
      #expect(found.status == 1 && found.errors.contains("above the 1e-09 that was asked for"))

      let strict = try Tools.run(
        "solve", (limited + " --require-optimal -o strict").words, in: folder)
      #expect(strict.status == 1 && strict.errors.hasPrefix("solve: stopped by "))
      #expect(strict.output.isEmpty && !folder.files.contains("strict"))
      let piped = try Tools.run("solve", (limited + " --require-optimal").words, in: folder)
      #expect(piped.status == 1 && piped.output.isEmpty)
    }
    let quiet = try Tools.run(
      "solve", "\(activation) --beta 0.1 --max-seconds 1e-9 --quiet train -o timed".words,
      in: folder)
    #expect(quiet.status == 0 && quiet.errors.isEmpty)
    #expect(try folder.read("timed").metadata["status"] == "time-limit")
  }

  @Test func aLargeBetaMakesTheNetworkZero() throws {
    try bash("solve \(activation) --beta 1e9 train -o solution; recover solution -o network")
    let solution = try folder.read("solution")
    #expect(number(solution, "beta_max") < 1e9)
    #expect(number(solution, "relative_gap") == 0)
    // ½‖Y‖² of 400 one-hot rows.
    #expect(number(solution, "primal_objective") == 200)
    #expect(try folder.read("network").tensors["hidden.weight"]!.shape == [0, 9])
    let report = Report(try bash("evaluate --data train --certify solution --beta 1e9 network"))
    #expect(report["neurons"] == 0 && report["objective"] == 200)
  }

  @Test func badInputIsRefusedAndNothingWritten() throws {
    try bash(
      """
      cifar-extract --synthetic 20 \(textures) -o images
      head -c 5000 train > cut; (cat train; echo) > longer; : > empty
      cifar-extract --synthetic 20 --classes 3 \(textures) | patchify --size 3 --moments -o single
      """)
    for (data, words) in [
      ("images", "images"), ("cut", "end"), ("longer", "longer"), ("empty", "empty"),
      ("missing", "missing"), ("single", "class"),
    ] {
      let run = try Tools.run("solve", "\(activation) --beta 1 \(data) -o out".words, in: folder)
      #expect(run.status == 1, "\(data)")
      #expect(run.errors.hasPrefix("solve: ") && run.errors.contains(words), "\(run.errors)")
    }
    for options in ["--beta 0", "--beta -1", "--beta nan", "--activation 1,2 --beta 1", "--beta"] {
      let run = try Tools.run(
        "solve", "--activation 1,0,0 \(options) -o out train".words, in: folder)
      #expect(run.status == 2, "\(options)")
    }
    #expect(!folder.files.contains("out"))
  }
}

/// On real images, where the environment variable CIFAR10 says where they are.
@Suite struct RealImagesTests {
  static let directory = ProcessInfo.processInfo.environment["CIFAR10"].flatMap {
    $0.isEmpty ? nil : $0
  }

  @Test(.enabled(if: directory != nil, "CIFAR10 names no directory with CIFAR-10"))
  func airplanesAndAutomobiles() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e; cifar='\(RealImagesTests.directory!)'; classes='--classes airplane,automobile'
      cifar-extract $classes --range 0:2000 "$cifar" | patchify --moments -o train
      cifar-extract $classes --split test --range 0:500 "$cifar" | patchify --like train -o test
      solve \(activation) --beta 1 --gap 1e-6 train -o solution; recover solution -o network
      evaluate --data train --certify solution --beta 1 network >&2; evaluate --data test network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(Report(run.errors)["relative_gap"] <= 1e-6)
    #expect(Report(run.text)["accuracy"] > 0.7)
  }
}

extension String {
  fileprivate var words: [String] { split(separator: " ").map(String.init) }
}
