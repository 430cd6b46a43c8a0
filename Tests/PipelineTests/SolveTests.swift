import Foundation
import Schema
import Tensors
import Testing

/// A folder with a small dataset of two classes, its moments, and one of three classes.
private func trainingFolder() throws -> Folder {
  let folder = try Folder()
  try folder.write(dataset(classes: 2, seed: 1), "two")
  try folder.write(dataset(classes: 3, seed: 2), "three")
  try folder.write(dataset(classes: 2, seed: 3), "held")
  return folder
}

/// 40 samples of four patches in two regions; the class moves the mean.
private func dataset(classes: Int, seed: Int, n: Int = 40) -> Bundle {
  var random = RandomSource(seed: seed)
  let labels = (0..<n).map { Int32($0 % classes) }
  let x = (0..<n).flatMap { i in
    (0..<12).map { j in
      Float(random.gaussian() + (j % 3 == Int(labels[i]) ? 0.8 : 0))
    }
  }
  return Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor(x, shape: [n, 4, 3]), "pool": Tensor([0, 0, 1, 1] as [Int32]),
      "labels": Tensor(labels),
    ],
    metadata: ["classes": ["cat", "dog", "frog"].prefix(classes).joined(separator: ",")])
}

private let usual = ["--activation", "0.09,0.5,0.47", "--beta", "0.5"]

private struct Row {
  var iteration, primal, dual, gap, neurons, beta: Double
}

/// The rows of a trace; records an issue where it is not a table as promised.
private func readTrace(_ folder: Folder, _ name: String) throws -> [Row] {
  let lines = try String(contentsOf: folder.url(name), encoding: .utf8).split(separator: "\n")
  #expect(
    lines.first == "iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta")
  return lines.dropFirst().filter { !$0.hasPrefix("#") }.compactMap { line in
    let values = line.split(separator: "\t", omittingEmptySubsequences: false).compactMap {
      Double($0)
    }
    guard values.count == 7 else {
      Issue.record("not seven numbers: \(line)")
      return nil
    }
    return Row(
      iteration: values[0], primal: values[2], dual: values[3], gap: values[4],
      neurons: values[5], beta: values[6])
  }
}

@Suite struct SolveTests {
  @Test func labelsAndTargetsTogetherAreRefused() throws {
    let folder = try trainingFolder()
    var both = try folder.read("two")
    both.tensors["targets"] = Tensor([Double](repeating: 1, count: 40))
    try folder.write(both, "both")
    let run = try Tools.run("solve", usual + ["both", "-o", "out"], in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("\"labels\" and \"targets\""))
    #expect(!folder.files.contains("out"))
  }

  @Test func theChainIsCertified() throws {
    let folder = try trainingFolder()
    for (data, solver) in [("two", "interior-point"), ("three", "admm"), ("three", "auto")] {
      let run = try Tools.shell(
        """
        solve --activation 0.2,-0.3,0.1 --beta 0.3 --gap 1e-5 --solver \(solver) -o solution \(data) \
        && recover solution > network \
        && evaluate --data \(data) --certify solution --beta 0.3 network
        """, in: folder)
      #expect(run.status == 0 && run.errors == "", "\(run.errors)")
      let report = Dictionary(
        uniqueKeysWithValues: run.text.split(separator: "\n").map { line in
          let parts = line.split(separator: "\t")
          return (String(parts[0]), Double(parts[1]) ?? .nan)
        })
      let primal = try #require(report["primal_objective"])
      #expect((report["relative_gap"] ?? 1) <= 1e-5)
      #expect(abs((report["objective"] ?? 0) - primal) <= 1e-8 * primal)
      #expect((report["recovery_error"] ?? 1) <= 1e-8)
      let solution = try folder.read("solution")
      #expect(solution.metadata["status"] == "optimal" && solution.metadata["beta"] == "0.3")
      #expect(solution.metadata["activation"] == "0.2,-0.3,0.1")
      #expect(solution.metadata["kind"] == "solution" && solution.metadata["loss"] == "squared")
      let outputs = data == "two" ? 1 : 3
      #expect(solution.tensors["z"]?.shape == [outputs, 2, 2, 4, 4])
      #expect(solution.tensors["dual"]?.shape == [40, outputs])
    }
  }

  @Test func theSameBytesEveryTime() throws {
    let folder = try trainingFolder()
    let bundle = try Data(contentsOf: folder.url("three"))
    // Two threads work on three classes; a limit and a path must not depend on their timing either.
    for extra in [
      [], ["--solver", "admm"], ["--max-iterations", "7"],
      ["--path", "4", "--validation", "three"],
      ["--path", "4", "--validation", "three", "--max-iterations", "11"],
    ] {
      for threads in ["1", "2", "3"] {
        let runs = try (0..<3).map { _ in
          try Tools.run(
            "solve", usual + extra + ["--quiet", "--threads", threads], input: bundle, in: folder)
        }
        #expect(runs.allSatisfy { $0.status == 0 && $0.errors == "" })
        #expect(!runs[0].output.isEmpty)
        #expect(runs[1].output == runs[0].output && runs[2].output == runs[0].output)
      }
    }
    // A file, or standard input and output: the same.
    let piped = try Tools.run("solve", usual, input: bundle)
    let named = try Tools.run("solve", usual + ["-o", "solution", "three"], in: folder)
    #expect(named.status == 0 && named.output.isEmpty)
    #expect(try Data(contentsOf: folder.url("solution")) == piped.output)
  }

  @Test func theTraceTellsTheWay() throws {
    let folder = try trainingFolder()
    for solver in ["auto", "admm", "interior-point"] {
      let run = try Tools.run(
        "solve",
        usual + [
          "--solver", solver, "--gap", "1e-5", "--trace", "t", "-o", "s", "--path", "3",
          "--validation", "three", "three",
        ], in: folder)
      #expect(run.status == 0)
      let rows = try readTrace(folder, "t")
      #expect(rows.count > 3 && Set(rows.map(\.beta)).count == 3)
      for (before, after) in zip(rows, rows.dropFirst()) {
        #expect(after.iteration >= before.iteration)
        guard after.beta == before.beta else {
          #expect(after.beta < before.beta || after.iteration == before.iteration)
          continue
        }
        #expect(after.primal <= before.primal * (1 + 1e-12))
        #expect(after.dual >= before.dual - 1e-12 * before.primal)
        #expect(abs(after.gap - (after.primal - after.dual) / after.primal) < 1e-12)
      }
      // The path stands at the end, as comments: a head and three values.
      let comments = try String(contentsOf: folder.url("t"), encoding: .utf8)
        .split(separator: "\n").filter { $0.hasPrefix("#") }
      #expect(comments.count == 4)
      let solution = try folder.read("s")
      let chosen = try #require(solution.metadata["beta"])
      #expect(comments.contains { $0.hasPrefix("# \(chosen)\t") })
      let scores = comments.dropFirst().compactMap { Double($0.split(separator: "\t").last ?? "") }
      #expect(solution.metadata["validation_accuracy"].flatMap(Double.init) == scores.max())
    }
  }

  @Test func limitsWarn() throws {
    let folder = try trainingFolder()
    for (limit, status) in [
      (["--max-iterations", "0"], "iteration-limit"),
      (["--max-iterations", "2"], "iteration-limit"),
      (["--max-seconds", "1e-9"], "time-limit"),
    ] {
      let run = try Tools.run("solve", usual + limit + ["-o", "s", "three"], in: folder)
      #expect(run.status == 0)
      #expect(run.errors.hasPrefix("solve: warning: stopped by \(status)"))
      let solution = try folder.read("s")
      #expect(solution.metadata["status"] == status)
      // The claim is as good as any: evaluate finds it true.
      let judged = try Tools.shell(
        "recover s | evaluate --data three --certify s - > report; cat report", in: folder)
      #expect(judged.status == 0, "\(judged.errors)")
      let silent = try Tools.run("solve", usual + limit + ["--quiet", "three"], in: folder)
      #expect(silent.status == 0 && silent.errors == "")
      try FileManager.default.removeItem(at: folder.url("s"))
      let strict = try Tools.run(
        "solve", usual + limit + ["--require-optimal", "-o", "s", "three"], in: folder)
      #expect(strict.status == 1 && strict.errors.contains(status))
      #expect(!folder.files.contains("s") && strict.output.isEmpty)
    }
    let optimal = try Tools.run("solve", usual + ["--require-optimal", "three"], in: folder)
    #expect(optimal.status == 0 && !optimal.output.isEmpty && optimal.errors == "")
  }

  @Test func warmStartsAndTargets() throws {
    let folder = try trainingFolder()
    #expect(try Tools.run("solve", usual + ["-o", "s", "three"], in: folder).status == 0)
    let warm = try Tools.run(
      "solve", usual + ["--warm-start", "s", "-o", "w", "three"], in: folder)
    #expect(warm.status == 0 && warm.errors == "")
    let (first, second) = (try folder.read("s"), try folder.read("w"))
    let primals = [first, second].compactMap { Double($0.metadata["primal_objective"] ?? "") }
    #expect(primals.count == 2 && abs(primals[0] - primals[1]) <= 2e-4 * primals[0])
    // No path of a file stands in the recipe.
    #expect(second.metadata["command"]?.contains("--warm-start BUNDLE") == true)

    let levels = try Tools.run(
      "solve", usual + ["--targets", "0,1", "-o", "s", "two"], in: folder)
    #expect(levels.status == 0)
    #expect(try folder.read("s").metadata["targets"] == "0.0,1.0")
    for (arguments, part) in [
      (["--warm-start", "s", "three"], "warm start"), (["--warm-start", "two", "two"], "kind"),
      (["--targets", "0,1", "three"], "two classes"),
    ] {
      let run = try Tools.run("solve", usual + arguments + ["-o", "o"], in: folder)
      #expect(run.status != 0 && run.errors.contains(part), "\(run.errors)")
      #expect(!folder.files.contains("o"))
    }
  }

  @Test func badDataWritesNothing() throws {
    let folder = try trainingFolder()
    let good = try folder.read("three")
    var moments = good
    moments.metadata["kind"] = "moments"
    moments.tensors["moments"] = Tensor(type: .f64, shape: [40, 2, 9])
    func changed(_ bundle: Bundle, _ name: String, _ tensor: Tensor?) -> Bundle {
      var bundle = bundle
      bundle.tensors[name] = tensor
      return bundle
    }
    func kind(_ kind: String?) -> Bundle {
      var bundle = good
      bundle.metadata["kind"] = kind
      return bundle
    }
    var labels = good.tensors["labels"]!.doubles.map { Int32($0) }
    labels[7] = 3
    let x = good.tensors["x"]!
    var broken = x.doubles
    broken[100] = .nan
    broken[200] = -.infinity
    var rows = [Double](repeating: 0.5, count: 40 * 18)
    rows[5] = .nan
    let nan = Tensor([Double](repeating: .nan, count: 40))
    var targets = changed(good, "labels", nil)
    targets = changed(targets, "targets", nan)
    for (bundle, parts) in [
      (changed(good, "x", Tensor(broken, shape: x.shape)), ["\"x\"", "2 values", "not finite"]),
      (changed(moments, "moments", Tensor(rows, shape: [40, 2, 9])), ["\"moments\"", "1 value"]),
      (targets, ["\"targets\"", "not finite"]),
      (changed(targets, "targets", nil), ["\"targets\""]),
      (changed(good, "labels", Tensor(labels)), ["\"labels\"", "sample 7 is 3", "0 to 2"]),
      (changed(good, "labels", Tensor(labels.map { _ in 1 as Int32 })), ["one class only"]),
      (changed(good, "labels", Tensor(Array(labels[1...]))), ["\"labels\"", "I32 [39]"]),
      (changed(good, "labels", Tensor(labels.map { Double($0) })), ["\"labels\"", "F64"]),
      (changed(good, "x", nil), ["no tensor \"x\""]),
      (changed(good, "x", Tensor([UInt8](repeating: 1, count: 480), shape: x.shape)), ["U8"]),
      (changed(good, "x", Tensor(type: .f32, shape: [40])), ["F32 [40]"]),
      (changed(good, "x", Tensor(type: .f32, shape: [40, 4, 0])), ["no features"]),
      (changed(good, "x", Tensor(type: .f32, shape: [0, 4, 3])), ["no samples"]),
      (changed(good, "x", Tensor(type: .f32, shape: [0, 4, 1 << 58])), ["no samples"]),
      (changed(good, "pool", Tensor([0, 0, 1] as [Int32])), ["\"pool\"", "one region a patch"]),
      (changed(good, "pool", Tensor([0, 0, 3, 3] as [Int32])), ["no patch in region 1"]),
      (changed(good, "pool", Tensor([0, 0, -1, 1] as [Int32])), ["holds -1"]),
      (changed(good, "pool", Tensor([0, 0, 1, .max] as [Int32])), ["holds 2147483647"]),
      (changed(good, "pool", Tensor([0.0, 0, 1, 1])), ["\"pool\"", "F64"]),
      (changed(moments, "moments", Tensor(type: .f64, shape: [40, 2, 8])), ["d(d+1)/2+d"]),
      (changed(moments, "moments", nil), ["no tensor \"moments\""]),
      (kind("images"), ["kind \"images\"", "moments or dataset"]), (kind(nil), ["\"kind\""]),
      (kind("nonsense"), ["nonsense"]),
    ] {
      try folder.write(bundle, "bad")
      let run = try Tools.run(
        "solve", usual + ["-o", "o", "--trace", "t", "bad"], in: folder)
      #expect(run.status == 1, "\(parts): \(run.errors)")
      #expect(run.errors.hasPrefix("solve: ") && run.errors.split(separator: "\n").count == 1)
      for part in parts { #expect(run.errors.contains(part), "\(part): \(run.errors)") }
      #expect(run.output.isEmpty && !folder.files.contains("o") && !folder.files.contains("t"))
    }
    let whole = try Data(contentsOf: folder.url("three"))
    for count in [0, 7, 20, whole.count / 2, whole.count - 1] {
      let run = try Tools.run("solve", usual, input: whole.prefix(count))
      #expect(run.status == 1 && run.output.isEmpty)
      #expect(run.errors.hasPrefix("solve: "))
    }
    let trailing = try Tools.run("solve", usual, input: whole + Data([0]))
    #expect(trailing.status == 1 && trailing.errors.hasPrefix("solve: "))
  }

  @Test func validationMustMatch() throws {
    let folder = try trainingFolder()
    let held = try folder.read("held")
    func refused(_ bundle: Bundle, _ part: String) throws {
      try folder.write(bundle, "bad")
      let run = try Tools.run(
        "solve", usual + ["--path", "3", "--validation", "bad", "-o", "o", "two"], in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(run.errors)")
      #expect(!folder.files.contains("o"))
    }
    try refused(dataset(classes: 3, seed: 4), "there is no class \"frog\"")
    var other = held
    other.tensors["pool"] = nil
    try refused(other, "1 regions of 3 features")
    other = held
    other.tensors["mean"] = Tensor([1.0, 2, 3])
    try refused(other, "patchify --like")
    other = held
    other.tensors["labels"] = nil
    other.tensors["targets"] = Tensor([Double](repeating: 1, count: 40))
    try refused(other, "has targets, but the training data have labels")
    other = held
    other.tensors["x"] = Tensor([Float](repeating: .infinity, count: 480), shape: [40, 4, 3])
    try refused(other, "not finite")
    other = held
    other.metadata["kind"] = "solution"
    try refused(other, "kind")
    let missing = try Tools.run(
      "solve", usual + ["--path", "3", "--validation", "none", "two"], in: folder)
    #expect(missing.status == 1 && missing.errors.contains("none"))

    let run = try Tools.run(
      "solve", usual + ["--path", "3", "--validation", "held", "-o", "o", "two"], in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let path = try folder.read("o").metadata["path"] ?? ""
    #expect(path.split(separator: ",").count == 3)
  }

  @Test func badUsage() throws {
    let folder = try trainingFolder()
    let activation = ["--activation", "1,0,0"]
    for (arguments, part) in [
      (["--beta", "1"], "--activation"), (activation, "--beta"),
      (activation + ["--beta", "0"], "above 0"), (activation + ["--beta", "-1"], "above 0"),
      (activation + ["--beta", "nan"], "above 0"), (activation + ["--beta", "inf"], "above 0"),
      (["--activation", "1,0", "--beta", "1"], "three numbers"),
      (["--activation", "0,0,0", "--beta", "1"], "three numbers"),
      (["--activation", "tanh", "--beta", "1"], "tanh"),
      (["--activation", "1,nan,0", "--beta", "1"], "three numbers"),
      (usual + ["--gap", "0"], "--gap"), (usual + ["--gap", "nan"], "--gap"),
      (usual + ["--validation", "held"], "--path"),
      (usual + ["--path-table", "t"], "--path COUNT"),
      (usual + ["--path-output", "d"], "--path COUNT"),
      (usual + ["--path", "0", "--validation", "held"], "--path"),
      (usual + ["--solver", "simplex"], "interior-point"), (usual + ["--loss", "l7"], "squared"),
      (usual + ["--max-iterations", "-1"], "--max-iterations"),
      (usual + ["--max-seconds", "0"], "--max-seconds"),
      (usual + ["--targets", "1,1"], "two different"),
      (usual + ["--targets", "1"], "two different"),
      (usual + ["--threads", "0"], "--threads"), (usual + ["--nonsense"], "--nonsense"),
      (usual + ["--path", "2", "--validation", "-", "-"], "standard input"),
      (usual + ["two", "three"], "three"),
    ] {
      let run = try Tools.run("solve", arguments, in: folder)
      #expect(run.status == 2, "\(arguments): \(run.errors)")
      #expect(run.errors.hasPrefix("solve: ") && run.errors.contains(part), "\(run.errors)")
      #expect(run.output.isEmpty)
    }
  }

  @Test func fullDisks() throws {
    let folder = try trainingFolder()
    let options = usual.joined(separator: " ")
    for target in ["> /dev/full", "-o /dev/full", "--trace /dev/full -o o"] {
      let run = try Tools.shell("solve \(options) two \(target)", in: folder)
      #expect(run.status == 1 && run.errors.contains("no space left"), "\(target): \(run.errors)")
      #expect(!folder.files.contains("o"))
    }
    let nowhere = try Tools.run("solve", usual + ["-o", "none/o", "two"], in: folder)
    #expect(nowhere.status == 1 && nowhere.errors.contains("none/o"))
  }
}
