import Foundation
import Schema
import Tensors
import Testing

/// The scripts that the experiments are made with.
@Suite struct ExperimentsTests {
  /// The folder of the scripts.
  private static let scripts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../experiments").standardizedFileURL.path

  private func script(_ line: String, in folder: Folder) throws -> Run {
    try Tools.shell("'\(Self.scripts)'/\(line)", in: folder)
  }

  @Test func pointsAreDrawnTheSameEverywhere() throws {
    let folder = try Folder()
    let first = try script("draw --normal 200 --seed 1 -o a && head -n 3 a", in: folder)
    // Any awk has these.
    #expect(first.text == "x,y\n-1.374203,1\n0.594250,-1\n")
    let rows = try String(contentsOf: folder.url("a"), encoding: .utf8).split(separator: "\n")
      .dropFirst().map { $0.split(separator: ",").compactMap { Double($0) } }
    #expect(rows.count == 200 && rows.allSatisfy { $0[1] == (abs($0[0]) > 1 ? 1 : -1) })
    let mean = rows.reduce(0) { $0 + $1[0] } / 200
    let square = rows.reduce(0) { $0 + $1[0] * $1[0] } / 200
    #expect(abs(mean) < 0.2 && abs(square - 1) < 0.3)
    let grid = try script("draw --grid 3 --from -2 --to 2", in: folder).text
    #expect(grid.hasPrefix("x1,x2,y\n-2.000000,-2.000000,1\n-2.000000,0.000000,1\n"))
    #expect(grid.contains("0.000000,0.000000,-1\n") && grid.split(separator: "\n").count == 10)
    #expect(try script("draw --polar 3", in: folder).status == 2)
  }

  /// Classes that are orthogonally separable: descent without regularisation tends to the least norm over the margin, which solve
  /// certifies, and never below it.
  @Test func descentTendsToTheCertifiedMargin() throws {
    let folder = try Folder()
    let options =
      "--neurons 50 --loss logistic --beta 0 --penalty decay --init-scale 0.1 --learning-rate 1 --momentum 0 --batch 20"
    let run = try Tools.shell(
      """
      set -e
      '\(Self.scripts)'/orthogonal 20 4 --seed 3 -o table
      tensor from-csv --targets y table -o data
      arrangements --quiet --exact data -o all
      solve --quiet --activation relu --margin --gap 1e-6 all -o solution
      for steps in 100 1000 10000; do
        mkdir $steps; baseline --quiet \(options) --epochs $steps data -o $steps/network
      done
      '\(Self.scripts)'/margins data 100/network 1000/network 10000/network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = try String(contentsOf: folder.url("table"), encoding: .utf8).split(separator: "\n")
      .dropFirst().map { $0.split(separator: ",").compactMap { Double($0) } }
    #expect(rows.count == 20)
    for a in rows {
      for b in rows {
        let product = (0..<4).reduce(0) { $0 + a[$1] * b[$1] }
        #expect(a[4] == b[4] ? product > 0 : product < 0)
      }
    }
    let least = try #require(
      try folder.read("solution").metadata["dual_objective"].flatMap { Double($0) })
    let ratios = run.text.split(separator: "\n").dropFirst().compactMap {
      $0.split(separator: "\t").last.flatMap { Double($0) }
    }
    #expect(ratios.count == 3 && ratios[0] > ratios[1] && ratios[1] > ratios[2])
    #expect((ratios.last ?? 0) >= least && (ratios.last ?? 9) <= 1.15 * least, "\(ratios) \(least)")
  }

  /// A folder in which make finds the project's files, and builds beside them.
  private func project() throws -> Folder {
    let folder = try Folder()
    for name in ["Makefile", "experiments", "benchmarks", "Tests"] {
      try FileManager.default.createSymbolicLink(
        atPath: folder.path(name), withDestinationPath: "\(Self.scripts)/../\(name)")
    }
    return folder
  }

  /// Variables of experiments and benchmarks do not take the place of the program of trials.
  @Test func targetsRunTheTrials() throws {
    let folder = try Folder()
    for target in ["mutations", "stalls", "bench-memory", "memory-limits"] {
      let run = try Tools.shell("make -C '\(Self.scripts)/..' -n \(target)", in: folder)
      let last = run.text.split(separator: "\n").last { $0.contains("--folder") }
      #expect(
        last?.hasPrefix(".build/release/trials ") == true, "\(target): \(run.text) \(run.errors)")
    }
  }

  @Test func theDataMayStandWhereNamesHaveBlanks() throws {
    let folder = try project()
    let made = try Tools.shell(
      """
      mkdir -p "it's here/cifar-10-batches-bin" Sources
      for part in data_batch_{1..5} test_batch; do touch "it's here/cifar-10-batches-bin/$part.bin"; done
      make data CIFAR10="it's here" && ls "$(make data CIFAR10="it's here" | sed 's/.* is in //')"
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    #expect(made.text.contains("test_batch.bin"))
    let missing = try Tools.shell("make data CIFAR10='not here'", in: folder)
    #expect(missing.status == 2)
    #expect(missing.errors.contains("CIFAR10=not here holds no data_batch_1.bin"))
  }

  @Test func whatAKilledRecipeLeftIsMadeAgain() throws {
    let folder = try project()
    let killed = try Tools.shell(
      """
      unset CIFAR10; mkdir -p build/bin build/t Sources; touch build/t/solution
      printf '#!/bin/bash\nkill -9 $PPID\n' > build/bin/tensor; chmod +x build/bin/tensor
      make build/t/beta
      """, in: folder)
    #expect(killed.status != 0)
    let again = try Tools.shell(
      "unset CIFAR10; printf '#!/bin/bash\necho \"beta  0.5\"\n' > build/bin/tensor; make build/t/beta; cat build/t/beta",
      in: folder)
    #expect(again.text.hasSuffix("\n0.5\n"), "\(again)")
  }

  @Test func recordsArePickedByNumber() throws {
    let folder = try Folder()
    for batch in 1...2 {
      let records = (0..<3).flatMap { record in
        [UInt8](repeating: UInt8(10 * batch + record), count: 3073)
      }
      try Data(records).write(to: folder.url("data_batch_\(batch).bin"))
    }
    try "2\n10001\n0\n".write(to: folder.url("numbers"), atomically: true, encoding: .utf8)
    #expect(try script("pick numbers . -o picked", in: folder).status == 0)
    let picked = try Data(contentsOf: folder.url("picked"))
    #expect(picked.count == 3 * 3073)
    #expect([picked[0], picked[3073], picked[6146], picked[9218]] == [12, 21, 10, 10])
  }

  @Test func tablesTellTheBestTrialAndTheMean() throws {
    let folder = try Folder()
    let header = "trial\titeration\tepoch\tseconds\tobjective\tloss\taccuracy\tvalidation_loss\t"
    let trace = """
      \(header)validation_accuracy
      1\t0\t0\t0\t9\t9\t0.5\tnan\tnan
      1\t5\t5\t1\t3\t2\t0.5\tnan\tnan
      2\t0\t0\t0\t9\t9\t0.5\tnan\tnan
      2\t5\t5\t2\t1.5\t1\t1.0\tnan\tnan
      # best: trial 2

      """
    try FileManager.default.createDirectory(
      at: folder.url("build/s/network/r"), withIntermediateDirectories: true)
    try FileManager.default.createDirectory(
      at: folder.url("build/s/exact/o"), withIntermediateDirectories: true)
    try trace.write(to: folder.url("build/s/network/r/trace"), atomically: true, encoding: .utf8)
    try "samples\t2\nobjective\t1.2\n".write(
      to: folder.url("build/s/exact/o/train.report"), atomically: true, encoding: .utf8)
    let table = try Tools.shell(
      "source '\(Self.scripts)'/reports; source '\(Self.scripts)'/rows; "
        + "trained s/network/r 'β' 'printed 1' s/exact/o; print_rows", in: folder)
    #expect(table.status == 0, "\(table.errors)")
    let row = try #require(table.text.split(separator: "\n").last)
    for part in [
      "β", "1.5 (mean 2.25)", "25 %", "1.50 s each", "100.00 % (mean 75.00 %)", "printed 1",
    ] {
      #expect(row.contains(part), "\(row)")
    }
  }

  /// Two neurons in the cones on both sides of a ray, at an angle of 5e-11 to one another: together they would
  /// be one whose output is 0 for the second sample.
  @Test func neuronsOfNearlyOneDirectionStayApart() throws {
    let folder = try Folder()
    let solution = Bundle(
      kind: .solution,
      tensors: [
        "v": Tensor([1e3, 2e-8, 2e3, -6e-8], shape: [2, 2]),
        "w": Tensor([0.0, 0, 0, 0], shape: [2, 2]),
        "gates": Tensor([1.0, 1, 1, -1], shape: [2, 2]), "index": Tensor([Int32(0), 1]),
        "predictions": Tensor([3e3, 2e-5], shape: [2, 1]),
        "dual": Tensor([0.0, 0], shape: [2, 1]),
      ],
      metadata: [
        "activation": "relu", "norm": "group", "group": "class", "loss": "squared", "beta": "0.1",
        "status": "optimal", "primal_objective": "1.0", "dual_objective": "1.0",
        "relative_gap": "0.0", "iterations": "2", "command": "solve", "targets": "-1.0,1.0",
      ])
    try folder.write(solution, "solution")
    #expect(
      try Tools.run("recover", ["--quiet", "solution", "-o", "network"], in: folder).status == 0)
    let network = try folder.read("network")
    let (u, a) = (
      network.tensors["hidden.weight"]!.doubles, network.tensors["output.weight"]!.doubles
    )
    // The samples are [1, 0] and [0, 1000].
    let second = a.indices.reduce(0.0) { $0 + a[$1] * max(0, 1e3 * u[2 * $1 + 1]) }
    #expect(a.count == 2 && abs(second - 2e-5) < 1e-12)
  }
}
