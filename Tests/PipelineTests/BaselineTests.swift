import Foundation
import Schema
import Tensors
import Testing

/// n samples of `patches` patches in two regions where there are more than one; the class moves the first of the
/// features, and the last is 1.
private func dataset(
  _ classes: Int, patches: Int = 1, n: Int = 24, d: Int = 3, seed: Int = 1
) -> Bundle {
  var random = RandomSource(seed: seed)
  let labels = (0..<n).map { Int32($0 % classes) }
  let x = (0..<n * patches * d).map { k in
    let class0 = Double(labels[k / (patches * d)])
    return Float(k % d == d - 1 ? 1 : random.gaussian() + (k % d == 0 ? 0.8 * class0 : 0))
  }
  return Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor(x, shape: [n, patches, d]), "labels": Tensor(labels),
      "pool": Tensor((0..<patches).map { Int32(patches > 1 ? $0 % 2 : 0) }),
    ],
    metadata: ["classes": ["cat", "dog", "frog"].prefix(classes).joined(separator: ",")])
}

private func report(_ text: String) -> [String: Double] {
  Dictionary(
    uniqueKeysWithValues: text.split(separator: "\n").map { line in
      let parts = line.split(separator: "\t")
      return (String(parts[0]), Double(parts[1]) ?? .nan)
    })
}

/// The numbers of a trace by columns.
private func readTrace(_ folder: Folder, _ name: String = "trace") throws -> [[String: Double]] {
  let lines = try String(contentsOf: folder.url(name), encoding: .utf8).split(separator: "\n")
  let names = lines[0].split(separator: "\t").map(String.init)
  #expect(
    names == [
      "trial", "iteration", "epoch", "seconds", "objective", "loss", "accuracy", "validation_loss",
      "validation_accuracy",
    ])
  return lines.dropFirst().filter { !$0.hasPrefix("#") }.map { line in
    let values = line.split(separator: "\t").map { Double($0) ?? .infinity }
    return Dictionary(uniqueKeysWithValues: zip(names, values))
  }
}

private let thorough =
  "--optimizer adam --learning-rate 0.05 --learning-rate-decay 0.998 --epochs 3000"
private let polynomial = "0.09,0.5,0.47"

@Suite struct BaselineTests {
  /// What `solve` certifies bounds the baseline from below, which with many neurons comes near it.
  @Test(arguments: [
    ("relu", "group", 2, 1), ("relu", "l1", 2, 1), ("relu", "group", 3, 1),
    (polynomial, "l1", 2, 4), (polynomial, "l1", 3, 4), ("gated-relu", "group", 3, 1),
    ("gated-relu", "decay", 3, 1),
  ])
  func theCertifiedOptimumBoundsIt(
    activation: String, penalty: String, classes: Int, patches: Int
  ) throws {
    let folder = try Folder()
    try folder.write(dataset(classes, patches: patches), "data")
    let norm = penalty == "decay" ? "--norm nuclear" : ""
    let gates = activation == "relu" ? "--exact" : "--sample 12"
    let input = activation == polynomial ? "cat data" : "arrangements --quiet \(gates) data"
    let run = try Tools.shell(
      """
      \(input) > program && solve --activation \(activation) \(norm) --beta 0.5 --gap 1e-6 \
        -o solution program &&
      baseline --activation \(activation) --penalty \(penalty) --beta 0.5 --neurons 60 --trials 2 \
        \(thorough) -o network program && evaluate --data data --beta 0.5 network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let objective = try #require(report(run.text)["objective"])
    let dual = try #require(Double(folder.read("solution").metadata["dual_objective"] ?? ""))
    #expect(objective >= dual)
    #expect(objective <= 1.01 * dual)
  }

  /// Few neurons do not reach the optimum.
  @Test func fewNeuronsStayAbove() throws {
    let folder = try Folder()
    try folder.write(dataset(2, n: 12), "data")
    let run = try Tools.shell(
      """
      arrangements --quiet --exact data | solve --activation relu --beta 0.05 -o solution &&
      baseline --beta 0.05 --neurons 1 \(thorough) data | evaluate --data data --beta 0.05
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let dual = try #require(Double(folder.read("solution").metadata["dual_objective"] ?? ""))
    #expect(try #require(report(run.text)["objective"]) > 1.02 * dual)
  }

  /// `evaluate` reads every network as it is, and tells the trace's numbers.
  @Test(arguments: ["relu", "gated-relu", "linear", polynomial], [1, 4])
  func evaluateTellsTheSameObjective(activation: String, patches: Int) throws {
    let folder = try Folder()
    try folder.write(dataset(3, patches: patches), "three")
    try folder.write(dataset(2, patches: patches), "two")
    let penalties =
      switch activation {
      case "linear": ["decay"]
      case polynomial: ["l1"]
      default: ["decay", "group", "l1"]
      }
    for (penalty, loss) in penalties.flatMap({ penalty in
      ["squared", "logistic", "hinge", "huber", "cross-entropy"].map { (penalty, $0) }
    }) {
      for data in loss == "squared" ? ["two", "three"] : ["three"] {
        let run = try Tools.shell(
          """
          baseline --activation \(activation) --penalty \(penalty) --loss \(loss) --beta 0.3 \
            --neurons 7 --epochs 2 --batch 5 --trace trace -o network \(data) &&
          evaluate --data \(data) --beta 0.3 network
          """, in: folder)
        #expect(run.status == 0 && run.errors == "", "\(run.errors)")
        let told = report(run.text)
        let last = try #require(try readTrace(folder).last)
        for name in ["objective", "loss", "accuracy"] {
          let (ours, theirs) = (last[name] ?? .nan, told[name] ?? .nan)
          #expect(abs(ours - theirs) <= 1e-5 * abs(theirs), "\(name) \(penalty) \(loss) \(data)")
        }
        let network = try folder.read("network")
        #expect(network.kind == .network)
        #expect(network.metadata["loss"] == loss && network.metadata["activation"] == activation)
      }
    }
  }

  @Test func theSameBytesEveryTime() throws {
    let folder = try Folder()
    try folder.write(dataset(3, patches: 4), "data")
    let arguments = ["--epochs", "3", "--batch", "7", "--trials", "2", "--beta", "0.1", "data"]
    for extra in [[], ["--activation", polynomial, "--program", "psd"]] {
      for threads in ["1", "2"] {
        let runs = try ["0", "0", "1"].map { seed in
          try Tools.run(
            "baseline", extra + ["--threads", threads, "--seed", seed] + arguments, in: folder)
        }
        #expect(runs.allSatisfy { $0.status == 0 && $0.errors == "" })
        #expect(runs[0].output == runs[1].output && runs[0].output != runs[2].output)
      }
    }
    // Neither a trace nor its checks change what goes out.
    let plain = try Tools.run("baseline", arguments, in: folder)
    let traced = try Tools.run(
      "baseline", ["--trace", "trace", "--trace-every", "1"] + arguments, in: folder)
    #expect(plain.output == traced.output && !plain.output.isEmpty)
    // 24 samples in batches of 7, three times, for each of two trials; and where they begin.
    #expect(try readTrace(folder).count == 2 * (3 * 4 + 1))
  }

  @Test func oneFileForTwoProductsIsRefused() throws {
    let folder = try Folder()
    try folder.write(dataset(3), "data")
    for command in ["baseline", "solve --activation gated-relu --beta 1"] {
      let run = try Tools.shell("\(command) --trace same -o same data", in: folder)
      #expect(run.status == 2 && run.errors.contains("--trace"))
      #expect(!folder.files.contains("same"))
    }
  }

  @Test func validationChoosesTheTrial() throws {
    let folder = try Folder()
    try folder.write(dataset(3), "data")
    try folder.write(dataset(3, seed: 2), "held")
    let run = try Tools.shell(
      """
      baseline --neurons 3 --trials 8 --epochs 20 --learning-rate 0.05 --validation held --trace trace \
        -o network data && evaluate --data held network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let last = try readTrace(folder).filter { $0["iteration"] == 20 }
    #expect(last.count == 8)
    let accuracies = last.compactMap { $0["validation_accuracy"] }
    let best = try #require(accuracies.max())
    #expect(Set(accuracies).count > 1)
    #expect(report(run.text)["accuracy"] == best)
    // Of equally accurate trials the one of smaller loss.
    let loss = last.filter { $0["validation_accuracy"] == best }.compactMap {
      $0["validation_loss"]
    }
    let told = try #require(report(run.text)["loss"])
    #expect(abs(told - loss.min()!) <= 1e-5 * told)
  }

  @Test func theTraceTellsTheWay() throws {
    let folder = try Folder()
    try folder.write(dataset(2, n: 40), "data")
    let run = try Tools.run(
      "baseline",
      [
        "--trace", "trace", "--epochs", "30", "--batch", "8", "--trials", "2", "--beta", "0.2",
        "-o", "n", "data",
      ],
      in: folder)
    #expect(run.status == 0)
    let rows = try readTrace(folder)
    let epochs = rows.compactMap { $0["epoch"] }
    let expected = (0...30).map { Double($0) }
    #expect(epochs == expected + expected)
    for trial in [1.0, 2] {
      let own = rows.filter { $0["trial"] == trial }
      #expect(own.last!["objective"]! < 0.7 * own[0]["objective"]!)
      #expect(own[0]["seconds"] == 0)
      for (before, after) in zip(own, own.dropFirst()) {
        #expect(after["seconds"]! >= before["seconds"]!)
      }
      #expect(own.allSatisfy { $0["validation_loss"]!.isNaN && $0["objective"]! >= $0["loss"]! })
    }
    let short = try Tools.run(
      "baseline", ["--max-seconds", "1e-9", "--trace", "trace", "-o", "n", "data"], in: folder)
    #expect(short.status == 0)
    #expect(try readTrace(folder).last?["iteration"] == 1)
  }

  @Test(arguments: ["free", "symmetric", "psd"])
  func matricesOfTheConvexProgramAreTrained(form: String) throws {
    let folder = try Folder()
    try folder.write(dataset(3, patches: 4), "data")
    let run = try Tools.shell(
      """
      baseline --activation \(polynomial) --program \(form) --optimizer amsgrad --learning-rate 0.01 \
        --batch 4 --epochs 60 --beta 0.1 --trace trace -o solution data
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = try readTrace(folder)
    #expect(rows.last!["objective"]! < 0.3 * rows[0]["objective"]!)
    let solution = try folder.read("solution")
    #expect(solution.kind == .solution && solution.tensors["z"]?.shape == [3, 2, 2, 4, 4])
    #expect(solution.metadata["status"] == "iteration-limit")
    #expect(solution.metadata["relative_gap"] == "1.0" && solution.metadata["program"] == form)
    let z = try #require(solution.tensors["z"]?.doubles)
    let isSymmetric = z.indices.allSatisfy { k in
      let (row, column) = (k / 4 % 4, k % 4)
      let mirrored = k - 4 * row - column + 4 * column + row
      return z[k] == z[mirrored]
    }
    #expect(isSymmetric == (form != "free"))
    // Its trace is not that of a network.
    let recovered = try Tools.run("recover", ["solution"], in: folder)
    #expect(recovered.status == 1 && recovered.output.isEmpty)
  }

  @Test(arguments: [
    (["--activation", "1,2"], 2, "--activation"), (["--neurons", "0"], 2, "--neurons"),
    (["--beta", "-1"], 2, "--beta"), (["--beta", "nan"], 2, "--beta"),
    (["--momentum", "1"], 2, "--momentum"),
    (["--momentum", "0.5", "--optimizer", "adam"], 2, "--optimizer sgd"),
    (["--activation", "1,0,0", "--penalty", "decay"], 2, "l1"),
    (["--activation", "linear", "--penalty", "group"], 2, "decay"),
    (["--program", "psd"], 2, "polynomial"),
    (["--program", "gated"], 2, "gated-relu"),
    (["--program", "gated", "--activation", "1,0,0"], 2, "gated-relu"),
    (
      ["--program", "gated", "--activation", "gated-relu", "--beta", "1"], 1,
      "expected arrangements"
    ),
    (["--program", "gated", "--activation", "gated-relu", "--penalty", "l1"], 2, "--penalty"),
    (["--program", "gated", "--activation", "gated-relu", "--init-scale", "2"], 2, "--init-scale"),
    (["--group", "pattern"], 2, "--group is for --program gated"),
    (["--activation", "gated-relu", "--program", "gated"], 2, "--beta above 0"),
    (["--init-scale", "0"], 2, "--init-scale"),
    (["--program", "psd", "--activation", "1,0,0", "--penalty", "l1"], 2, "--penalty"),
    (["--learning-rate", "0"], 2, "--learning-rate"), (["--batch", "0"], 2, "--batch"),
    (["--learning-rate-decay", "1.5"], 2, "--learning-rate-decay"),
    (["--trace-every", "5"], 2, "--trace"), (["--validation", "-"], 2, "once"),
    (["--neurons", "9000000000000000"], 1, "memory"),
    (["--learning-rate", "1e30"], 1, "diverged"), (["--validation", "two"], 1, "2 regions"),
    (["--activation", "1,0,0", "--program", "free", "--validation", "two"], 1, "2 regions"),
    (["--loss", "hinge", "--targets", "0,1"], 2, "--targets"),
  ])
  func whatCannotBeIsRefused(arguments: [String], status: Int32, hint: String) throws {
    let folder = try Folder()
    try folder.write(dataset(2, patches: 1), "data")
    try folder.write(dataset(2, patches: 4), "two")
    let run = try Tools.run(
      "baseline", arguments + ["-o", "out"], input: Data(contentsOf: folder.url("data")), in: folder
    )
    #expect(run.failed(status, "baseline") && run.errors.contains(hint), "\(run)")
    #expect(folder.files == ["data", "two"])
  }

  @Test func dataThatAreNotNumbersAreRefused() throws {
    let folder = try Folder()
    var bundle = dataset(2)
    bundle.tensors["x"] = Tensor([Float](repeating: .nan, count: 72), shape: [24, 1, 3])
    try folder.write(bundle, "nan")
    bundle = dataset(2)
    bundle.tensors["pool"] = Tensor([Int32(3)])
    try folder.write(bundle, "pool")
    bundle = dataset(2)
    bundle.tensors["labels"] = nil
    try folder.write(bundle, "none")
    for (name, hint) in [("nan", "\"x\""), ("pool", "\"pool\""), ("none", "\"targets\"")] {
      let run = try Tools.run("baseline", ["-o", "out", name], in: folder)
      #expect(run.failed(1, "baseline") && run.errors.contains(hint), "\(run)")
    }
    #expect(folder.files == ["nan", "none", "pool"])
  }

  /// Deferred patches are cut as they are read, and are the same.
  @Test func deferredPatchesTrainTheSameNetwork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      cifar-extract --synthetic 40 --resize 8x8 -o images
      patchify --size 4 --pool 2 images -o plain && patchify --size 4 --pool 2 --defer images -o deferred
      for data in plain deferred; do
        baseline --neurons 5 --epochs 2 --learning-rate 1e-3 -o $data.network $data
        tensor get hidden.weight --csv $data.network
      done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let lines = run.text.split(separator: "\n")
    #expect(lines.count > 10 && lines.prefix(lines.count / 2) == lines.suffix(lines.count / 2))
  }
}
