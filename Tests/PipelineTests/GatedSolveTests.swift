import Foundation
import Schema
import Tensors
import Testing

/// Samples of two or three classes, whose class moves a feature, with the patterns of Gaussian gates.
private struct Example {
  var n = 60
  let d = 5
  var classes = 2
  var x: [Double]
  var labels: [Int32]
  var gates: [[Double]]

  init(classes: Int = 2, n: Int = 60, patterns: Int = 25, seed: Int = 1) {
    var random = RandomSource(seed: seed)
    self.n = n
    self.classes = classes
    let labels = (0..<n).map { Int32($0 % classes) }
    self.labels = labels
    x = (0..<n * 5).map { k in
      k % 5 == 4 ? 1 : random.gaussian() + (k % 5 == Int(labels[k / 5]) ? 1 : 0)
    }
    var gateRandom = RandomSource(seed: 100)
    gates = (0..<patterns).map { _ in (0..<5).map { _ in gateRandom.gaussian() } }
  }

  func isActive(_ gate: [Double], _ j: Int, threshold: Double = 0) -> Bool {
    zip(gate, x[j * d..<(j + 1) * d]).reduce(0) { $0 + $1.0 * $1.1 } >= threshold
  }

  var patterns: Tensor {
    let stride = (n + 7) / 8
    var bits = [UInt8](repeating: 0, count: gates.count * stride)
    for (i, gate) in gates.enumerated() {
      for j in 0..<n where isActive(gate, j) { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
    return Tensor(bits, shape: [gates.count, stride])
  }

  var bundle: Bundle {
    Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor(x, shape: [n, 1, d]), "labels": Tensor(labels),
        "gates": Tensor(gates.flatMap { $0 }, shape: [gates.count, d]), "patterns": patterns,
      ],
      metadata: [
        "classes": ["cat", "dog", "frog"].prefix(classes).joined(separator: ","),
        "exact": "false", "command": "arrangements --sample 25", "size": "2",
      ])
  }

  func folder() throws -> Folder {
    let folder = try Folder()
    try folder.write(bundle, "train")
    return folder
  }
}

private let gated = ["--activation", "gated-relu", "--beta", "0.5"]

private func number(_ bundle: Bundle, _ key: String) -> Double {
  Double(bundle.metadata[key] ?? "") ?? .nan
}

@Suite struct GatedSolveTests {
  @Test(arguments: [2, 3])
  func theBundleIsTheSolution(classes: Int) throws {
    let example = Example(classes: classes)
    let folder = try example.folder()
    let run = try Tools.run("solve", gated + ["--gap", "1e-8", "-o", "s", "train"], in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let solution = try folder.read("s")
    for (key, value) in [
      "kind": "solution", "activation": "gated-relu", "loss": "squared", "norm": "group",
      "group": "class", "beta": "0.5", "status": "optimal", "exact": "false", "size": "2",
    ] { #expect(solution.metadata[key] == value, "\(key)") }
    #expect(solution.metadata["targets"] == (classes == 2 ? "-1.0,1.0" : "0.0,1.0"))
    #expect(
      solution.metadata["command"]
        == "arrangements --sample 25\nsolve --activation gated-relu --beta 0.5 --gap 1e-8")
    let outputs = classes == 2 ? 1 : 3
    let index = try #require(solution.tensors["index"]).doubles.map { Int($0) }
    let active = index.count
    #expect(active > 0 && solution.tensors["index"]?.type == .i32)
    #expect(solution.tensors["w"]?.shape == (outputs == 1 ? [active, 5] : [3, active, 5]))
    #expect(solution.tensors["gates"]?.shape == [active, 5])
    #expect(solution.tensors["v"] == nil && solution.tensors["thresholds"] == nil)
    #expect(solution.tensors["gates"]?.doubles == index.flatMap { example.gates[$0] })

    // Objectives, feasibility and predictions, by the definitions.
    let w = try #require(solution.tensors["w"]).doubles
    let nu = try #require(solution.tensors["dual"])
    let predictions = try #require(solution.tensors["predictions"])
    #expect(nu.shape == [60, outputs] && predictions.shape == [60, outputs])
    var (primal, dual) = (0.0, 0.0)
    for c in 0..<outputs {
      for j in 0..<60 {
        var output = 0.0
        for (row, i) in index.enumerated() where example.isActive(example.gates[i], j) {
          for k in 0..<5 { output += w[(c * active + row) * 5 + k] * example.x[j * 5 + k] }
        }
        #expect(abs(output - predictions.doubles[j * outputs + c]) < 1e-9)
        let label = Int(example.labels[j])
        let y = outputs == 1 ? Double(2 * label - 1) : label == c ? 1 : 0
        let value = nu.doubles[j * outputs + c]
        primal += 0.5 * (output - y) * (output - y)
        dual += value * y - 0.5 * value * value
      }
      for row in 0..<active {
        primal +=
          0.5 * (0..<5).reduce(0) { $0 + pow(w[(c * active + row) * 5 + $1], 2) }.squareRoot()
      }
      for gate in example.gates {
        var t = [Double](repeating: 0, count: 5)
        for j in 0..<60 where example.isActive(gate, j) {
          for k in 0..<5 { t[k] += nu.doubles[j * outputs + c] * example.x[j * 5 + k] }
        }
        #expect(t.reduce(0) { $0 + $1 * $1 }.squareRoot() <= 0.5 * (1 + 1e-9))
      }
    }
    #expect(abs(primal - number(solution, "primal_objective")) <= 1e-9 * primal)
    #expect(abs(dual - number(solution, "dual_objective")) <= 1e-9 * primal)
    #expect(primal - dual <= 1.001e-8 * primal && primal >= dual)
  }

  @Test func theSameBytesEveryTime() throws {
    let folder = try Example(classes: 3, n: 300).folder()
    let bundle = try Data(contentsOf: folder.url("train"))
    for extra in [
      [], ["--max-iterations", "9"], ["--path", "3", "--validation", "train"],
      ["--norm", "nuclear"], ["--group", "pattern"], ["--loss", "cross-entropy"],
      ["--activation", "relu"],
    ] {
      for threads in ["1", "2"] {
        let runs = try (0..<3).map { _ in
          try Tools.run(
            "solve", gated + extra + ["--quiet", "--threads", threads], input: bundle, in: folder)
        }
        #expect(runs.allSatisfy { $0.status == 0 && $0.output == runs[0].output })
        #expect(!runs[0].output.isEmpty)
      }
    }
  }

  @Test func aboveBetaMaxTheNetworkIsZero() throws {
    let folder = try Example().folder()
    let first = try Tools.run("solve", gated + ["-o", "s", "train"], in: folder)
    #expect(first.status == 0)
    let largest = number(try folder.read("s"), "beta_max")
    #expect(largest > 1)
    let run = try Tools.run(
      "solve", ["--activation", "gated-relu", "--beta", "\(largest)", "-o", "z", "train"],
      in: folder)
    #expect(run.status == 0 && run.errors == "")
    let zero = try folder.read("z")
    #expect(zero.tensors["w"]?.shape == [0, 5] && zero.tensors["index"]?.shape == [0])
    #expect(number(zero, "primal_objective") == 30 && number(zero, "relative_gap") < 1e-12)
    #expect(zero.metadata["iterations"] == "0" && zero.metadata["status"] == "optimal")
    // It is a warm start too.
    let warm = try Tools.run(
      "solve", gated + ["--warm-start", "z", "-o", "w", "train"], in: folder)
    #expect(warm.status == 0, "\(warm.errors)")
  }

  @Test func aPathChoosesByValidation() throws {
    let folder = try Example(classes: 3, seed: 1).folder()
    try folder.write(Example(classes: 3, n: 90, seed: 2).bundle, "held")
    var plain = Example(classes: 3, n: 90, seed: 2).bundle
    plain.metadata["kind"] = "dataset"
    plain.tensors["gates"] = nil
    plain.tensors["patterns"] = nil
    try folder.write(plain, "dataset")
    for held in ["held", "dataset"] {
      let run = try Tools.run(
        "solve",
        gated + ["--path", "5", "--validation", held, "--trace", "t", "-o", held + ".s", "train"],
        in: folder)
      #expect(run.status == 0, "\(run.errors)")
    }
    let solution = try folder.read("held.s")
    #expect(try folder.read("dataset.s").tensors["w"]?.doubles == solution.tensors["w"]?.doubles)
    let path = try #require(solution.metadata["path"]).split(separator: ",")
    #expect(path.count == 5)
    let best = path.compactMap { Double($0.split(separator: ":")[1]) }.max()
    #expect(number(solution, "validation_accuracy") == best && (best ?? 0) > 0.4)
    #expect(path.contains { $0.hasPrefix("\(solution.metadata["beta"] ?? "none"):") })

    // The accuracy is that of gates on the held-out samples.
    let example = Example(classes: 3, n: 90, seed: 2)
    let gates = try #require(solution.tensors["gates"]).doubles
    let w = try #require(solution.tensors["w"]).doubles
    let active = gates.count / 5
    var right = 0
    for j in 0..<90 {
      let outputs = (0..<3).map { c in
        (0..<active).reduce(0.0) { sum, row in
          guard example.isActive(Array(gates[row * 5..<row * 5 + 5]), j) else { return sum }
          return (0..<5).reduce(sum) { $0 + w[(c * active + row) * 5 + $1] * example.x[j * 5 + $1] }
        }
      }
      right += outputs.firstIndex(of: outputs.max()!) == Int(example.labels[j]) ? 1 : 0
    }
    #expect(number(solution, "validation_accuracy") == Double(right) / 90)
    let lines = try String(contentsOf: folder.url("t"), encoding: .utf8).split(separator: "\n")
    #expect(lines[0] == "iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta")
    #expect(lines.filter { $0.hasPrefix("#") }.count == 6)
  }

  @Test func warmStartsFindTheirGates() throws {
    let example = Example(n: 250)
    let folder = try example.folder()
    let cold = try Tools.run("solve", gated + ["--gap", "1e-8", "-o", "s", "train"], in: folder)
    #expect(cold.status == 0)
    let solution = try folder.read("s")
    func iterations(_ bundle: Bundle, _ data: String) throws -> Int {
      try folder.write(bundle, "start")
      let run = try Tools.run(
        "solve", gated + ["--gap", "1e-8", "--warm-start", "start", "-o", "w", data], in: folder)
      #expect(run.status == 0 && run.errors == "", "\(run.errors)")
      let warm = try folder.read("w")
      #expect(
        abs(number(warm, "primal_objective") / number(solution, "primal_objective") - 1) < 2e-8)
      return Int(warm.metadata["iterations"] ?? "") ?? .max
    }
    #expect(try iterations(solution, "train") <= 2)
    // The same patterns in another order, and gates of other lengths.
    var other = example
    other.gates = example.gates.reversed()
    try folder.write(other.bundle, "reversed")
    #expect(try iterations(solution, "reversed") <= 2)
    other.gates = example.gates.reversed().map { gate in gate.map { 3 * $0 } }
    try folder.write(other.bundle, "scaled")
    #expect(try iterations(solution, "scaled") <= 2)

    func refused(_ data: String, _ parts: [String], change: (inout Bundle) -> Void) throws {
      var start = solution
      change(&start)
      try folder.write(start, "start")
      let run = try Tools.run(
        "solve", gated + ["--warm-start", "start", "-o", "o", data], in: folder)
      #expect(run.status == 1, "\(run.errors)")
      for part in parts { #expect(run.errors.contains(part), "\(run.errors)") }
      #expect(!folder.files.contains("o"))
    }
    other.gates = Array(example.gates.map { gate in gate.map { -$0 } })
    try folder.write(other.bundle, "negated")
    try refused("negated", ["row 0", "none of the 25 patterns"]) { _ in }
    try refused("train", ["activation", "\"relu\""]) { $0.metadata["activation"] = "relu" }
    try refused("train", ["\"w\"", "expected F64"]) { bundle in
      bundle.tensors["w"] = bundle.tensors["w"]?.rows(0..<1)
    }
    try refused("train", ["\"w\"", "not finite"]) { bundle in
      let shape = bundle.tensors["w"]!.shape
      bundle.tensors["w"] = Tensor(
        [Double](repeating: .nan, count: shape[0] * shape[1]), shape: shape)
    }
    try refused("train", ["no tensor \"gates\""]) { $0.tensors["gates"] = nil }
    try refused("train", ["no tensor \"index\""]) { $0.tensors["index"] = nil }
    try refused("train", ["\"dual\"", "[250, 1]"]) {
      $0.tensors["dual"] = $0.tensors["dual"]?.rows(0..<9)
    }
    try refused("train", ["kind"]) { $0.metadata["kind"] = "network" }
    // Places out of range are no harm where the gates are found.
    var places = solution
    places.tensors["index"] = Tensor(
      [Int32](repeating: -7, count: solution.tensors["index"]!.count))
    #expect(try iterations(places, "train") <= 2)
  }

  @Test func limitsWarn() throws {
    let folder = try Example(classes: 3, n: 200).folder()
    for (limit, status) in [
      (["--max-iterations", "0"], "iteration-limit"),
      (["--max-iterations", "4"], "iteration-limit"),
      (["--max-seconds", "1e-9"], "time-limit"),
    ] {
      let arguments = gated + ["--gap", "1e-10"] + limit
      let run = try Tools.run("solve", arguments + ["-o", "s", "train"], in: folder)
      #expect(run.status == 0)
      #expect(run.errors.hasPrefix("solve: warning: stopped by \(status) with a relative gap of"))
      let solution = try folder.read("s")
      #expect(solution.metadata["status"] == status)
      let (primal, dual) = (
        number(solution, "primal_objective"), number(solution, "dual_objective")
      )
      #expect(abs((primal - dual) / primal - number(solution, "relative_gap")) < 1e-12)
      let strict = try Tools.run(
        "solve", arguments + ["--require-optimal", "-o", "r", "train"], in: folder)
      #expect(strict.status == 1 && !folder.files.contains("r"))
    }
  }

  @Test func thresholdsAreKept() throws {
    var example = Example()
    example.gates.removeLast(20)
    var bundle = example.bundle
    let thresholds = [0.3, 0.5, -0.2, 1, 0]
    bundle.tensors["thresholds"] = Tensor(thresholds)
    var bits = [UInt8](repeating: 0, count: 5 * 8)
    for (i, gate) in example.gates.enumerated() {
      for j in 0..<60 where example.isActive(gate, j, threshold: thresholds[i]) {
        bits[i * 8 + j / 8] |= 1 << UInt8(j % 8)
      }
    }
    bundle.tensors["patterns"] = Tensor(bits, shape: [5, 8])
    let folder = try Folder()
    try folder.write(bundle, "train")
    let run = try Tools.run(
      "solve", gated + ["--path", "2", "--validation", "train", "-o", "s", "train"], in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let solution = try folder.read("s")
    let index = try #require(solution.tensors["index"]).doubles.map { Int($0) }
    #expect(solution.tensors["thresholds"]?.doubles == index.map { thresholds[$0] })
    // Validated on its own data the accuracy is that of the predictions.
    let predictions = try #require(solution.tensors["predictions"]).doubles
    let right = zip(predictions, example.labels).filter { ($0 > 0) == ($1 == 1) }.count
    #expect(number(solution, "validation_accuracy") == Double(right) / 60)
  }

  @Test func badDataWritesNothing() throws {
    let example = Example(classes: 3)
    let folder = try example.folder()
    let good = example.bundle
    func refused(_ parts: [String], _ change: (inout Bundle) -> Void) throws {
      var bundle = good
      change(&bundle)
      try folder.write(bundle, "bad")
      let run = try Tools.run("solve", gated + ["-o", "o", "bad"], in: folder)
      #expect(run.status == 1, "\(parts): \(run.errors)")
      #expect(run.errors.hasPrefix("solve: ") && run.output.isEmpty)
      for part in parts { #expect(run.errors.contains(part), "\(run.errors)") }
      #expect(!folder.files.contains("o"))
    }
    try refused(["kind \"dataset\"", "arrangements"]) { $0.metadata["kind"] = "dataset" }
    try refused(["kind \"moments\""]) { $0.metadata["kind"] = "moments" }
    try refused(["no tensor \"patterns\""]) { $0.tensors["patterns"] = nil }
    try refused(["no tensor \"gates\""]) { $0.tensors["gates"] = nil }
    try refused(["no tensor \"x\""]) { $0.tensors["x"] = nil }
    try refused(["\"patterns\"", "U8 [25, 7]", "60 samples"]) { bundle in
      bundle.tensors["patterns"] = Tensor([UInt8](repeating: 1, count: 25 * 7), shape: [25, 7])
    }
    try refused(["\"patterns\"", "no patterns"]) { bundle in
      bundle.tensors["patterns"] = Tensor(type: .u8, shape: [0, 8])
    }
    try refused(["\"gates\"", "F64 [25, 5]"]) { bundle in
      bundle.tensors["gates"] = Tensor(type: .f64, shape: [25, 4])
    }
    try refused(["\"gates\"", "not finite"]) { bundle in
      bundle.tensors["gates"] = Tensor([Double](repeating: .nan, count: 125), shape: [25, 5])
    }
    try refused(["\"x\"", "not finite"]) { bundle in
      var x = example.x
      x[77] = .infinity
      bundle.tensors["x"] = Tensor(x, shape: [60, 1, 5])
    }
    try refused(["\"patterns\"", "120 patches"]) { bundle in
      bundle.tensors["x"] = Tensor(example.x + example.x, shape: [60, 2, 5])
    }
    try refused(["\"thresholds\"", "F64 [25]"]) { $0.tensors["thresholds"] = Tensor([1.0, 2]) }
    try refused(["\"labels\"", "I32 [9]"]) { bundle in
      bundle.tensors["labels"] = Tensor([Int32](repeating: 1, count: 9))
    }
    try refused(["one class only"]) { bundle in
      bundle.tensors["labels"] = Tensor([Int32](repeating: 1, count: 60))
    }

    // Validation data that do not fit.
    func unfit(_ parts: [String], _ change: (inout Bundle) -> Void) throws {
      var bundle = good
      change(&bundle)
      try folder.write(bundle, "bad")
      let run = try Tools.run(
        "solve", gated + ["--path", "2", "--validation", "bad", "-o", "o", "train"], in: folder)
      #expect(run.status == 1 && !folder.files.contains("o"))
      for part in parts { #expect(run.errors.contains(part), "\(run.errors)") }
    }
    try unfit(["4 features", "5"]) { bundle in
      bundle.tensors["x"] = Tensor(Array(example.x[..<240]), shape: [60, 1, 4])
    }
    try unfit(["\"mean\""]) { $0.tensors["mean"] = Tensor([1.0, 2, 3, 4, 5]) }
    try unfit(["kind"]) { $0.metadata["kind"] = "moments" }
    try unfit(["classes"]) { $0.metadata["classes"] = "a,b,c" }
  }

  @Test func badUsage() throws {
    let folder = try Example().folder()
    for (arguments, part) in [
      (["--activation", "gated", "--beta", "1"], "gated-relu"),
      (gated + ["--group", "all"], "class"),
      (gated + ["--norm", "two"], "nuclear"), (gated + ["--solver", "admm"], "--solver"),
      (gated + ["--loss", "hinge2"], "squared"),
      (["--activation", "1,0,0", "--norm", "nuclear", "--beta", "1"], "--norm"),
      (["--activation", "gated-relu"], "--beta"),
    ] {
      let run = try Tools.run("solve", arguments + ["train"], in: folder)
      #expect(run.status == 2 && run.output.isEmpty, "\(arguments): \(run.errors)")
      #expect(run.errors.hasPrefix("solve: ") && run.errors.contains(part), "\(run.errors)")
    }
  }
}
