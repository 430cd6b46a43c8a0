import Foundation
import Testing

/// The figures of the experiments.
@Suite struct FiguresTests {
  private static let scripts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../experiments").standardizedFileURL.path
  private static let hasGnuplot = (ProcessInfo.processInfo.environment["PATH"] ?? "")
    .split(separator: ":").contains {
      FileManager.default.isExecutableFile(atPath: "\($0)/gnuplot")
    }

  private func figure(_ arguments: String, in folder: Folder) throws -> Run {
    try Tools.shell("'\(Self.scripts)'/figure \(arguments)", in: folder)
  }

  @Test(arguments: [
    "pie -o a.svg", "style.gp -o a.svg", "", "objective trained=a", "objective -o a.pdf",
    "objective trained -o a.svg", "objective -o",
  ])
  func badUsageIsRefused(arguments: String) throws {
    let folder = try Folder()
    let run = try figure(arguments, in: folder)
    #expect(run.status == 2 && run.errors.hasPrefix("figure: "), "\(arguments): \(run.errors)")
    #expect(folder.files.isEmpty)
  }

  @Test(.enabled(if: hasGnuplot)) func everyTrialAndTheOptimumAreDrawn() throws {
    let folder = try Folder()
    let paths = ["build/s/exact/relu", "build/s/network/sgd-1500"]
    for path in paths {
      try FileManager.default.createDirectory(
        at: folder.url(path), withIntermediateDirectories: true)
    }
    try """
    iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta
    1\t0.1\t4\t1\t0.7\t2\t1
    2\t0.2\t1.23457\t1.2345677\t1e-7\t2\t1
    """.write(to: folder.url("\(paths[0])/trace"), atomically: true, encoding: .utf8)
    try "objective\t1.2345678\n".write(
      to: folder.url("\(paths[0])/train.report"), atomically: true, encoding: .utf8)
    let rows = (1...3).flatMap { trial in
      [(0, 0.0, 90.0), (5, 0.5, 30), (10, 1, 12)].map {
        "\(trial)\t\($0.0)\t\($0.0)\t\($0.1)\t\($0.2 * Double(trial))\t1\tnan\tnan\tnan\n"
      }
    }
    try
      ("trial\titeration\tepoch\tseconds\tobjective\tloss\taccuracy\tvalidation_loss\t"
      + "validation_accuracy\n" + rows.joined() + "# best: trial 1\n").write(
        to: folder.url("\(paths[1])/trace"), atomically: true, encoding: .utf8)
    let values = "exact=\(paths[0])/trace trained=\(paths[1])/trace"
    for name in ["a.svg", "a.png"] {
      let run = try figure("objective \(values) -o \(name)", in: folder)
      #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    }
    let text = try String(contentsOf: folder.url("a.svg"), encoding: .utf8)
    for part in [
      "training objective", "time (s)", "optimum, all patterns: 1.2346",
      "SGD, 1,500 neurons (3 trials)",
    ] {
      #expect(text.contains(part), "\(part)")
    }
    // Of SGD a line a trial in each of two panels, and one in the legend.
    #expect(text.components(separatedBy: "rgb( 86, 180, 233)").count - 1 >= 3)
    #expect(try Data(contentsOf: folder.url("a.png")).starts(with: [0x89, 0x50, 0x4E, 0x47]))
  }

  @Test(.enabled(if: hasGnuplot)) func howASearchWentIsDrawn() throws {
    let folder = try Folder()
    try """
    iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta
    1\t0.1\t4\t1\t0.7\t2\t1
    2\t0.2\t2\t1.9\t0.05\t2\t1
    3\t0.3\t1.5\t0\t1\t2\t0.5
    4\t0.5\t1.2\t1.1999\t1e-4\t3\t0.5
    # path: beta\tprimal
    """.write(to: folder.url("trace"), atomically: true, encoding: .utf8)
    try """
    beta\tprimal\tdual\trelative_gap\tneurons\tnorm\tvalidation
    1\t2\t1.9\t0.05\t2\t1\t0.8
    0.5\t1.2\t1.1999\t1e-4\t3\t2\t0.9
    """.write(to: folder.url("table"), atomically: true, encoding: .utf8)
    for (values, name) in [("", "a.svg"), (" path=table", "b.svg"), (" path=table", "b.png")] {
      let run = try figure("progress trace=trace\(values) -o \(name)", in: folder)
      #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    }
    let (alone, both) = (
      try String(contentsOf: folder.url("a.svg"), encoding: .utf8),
      try String(contentsOf: folder.url("b.svg"), encoding: .utf8)
    )
    for part in ["certified relative gap", "objective and bound", "time (s)"] {
      #expect(alone.contains(part) && both.contains(part), "\(part)")
    }
    #expect(both.contains("neurons") && both.contains("validation"))
  }

  /// The recipe of one's own search: files with blanks in their names, and a sentence about those that it cannot draw.
  @Test(.enabled(if: hasGnuplot)) func plotsOfOnesOwnNameWhatIsWrong() throws {
    let folder = try Folder()
    let files = [
      "my trace":
        "iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta\n1\t0.1\t4\t1\t0.7\t2\t1\n",
      "table.csv": "a,b\n1,2\n", "empty": "iteration\tseconds\tprimal\n",
    ]
    for (name, text) in files {
      try text.write(to: folder.url(name), atomically: true, encoding: .utf8)
    }
    func plot(_ trace: String, _ more: String = "") throws -> Run {
      try Tools.shell(
        "make -C '\(Self.scripts)/..' plot TRACE=\"$PWD/\(trace)\" \(more) PLOT=\"$PWD/a plot.svg\"",
        in: folder)
    }
    for (trace, more, message) in [
      ("none", "", "cannot read"), ("table.csv", "", "no table that solve --trace writes"),
      ("empty", "", "has no rows to draw"),
      ("my trace", "TABLE=$PWD/table.csv", "no table that solve --path-table writes"),
    ] {
      let run = try plot(trace, more)
      #expect(run.status == 2 && run.errors.contains(message), "\(run.errors)")
      #expect(folder.files.count == 3)
    }
    #expect(try plot("my trace").status == 0 && folder.files.contains("a plot.svg"))
  }

  @Test(.enabled(if: hasGnuplot)) func whatCannotBeReadLeavesNoFigure() throws {
    let folder = try Folder()
    let run = try figure("objective trained=none -o a.svg", in: folder)
    #expect(run.status == 1)
    #expect(!FileManager.default.fileExists(atPath: folder.url("a.svg").path))
  }
}
