import Foundation
import Schema
import Tensors
import Testing

/// One program over the gates of several kinds of patches.
@Suite struct JointTests {
  private static func values(_ text: String, _ key: String) -> [Double] {
    text.split(separator: "\n").filter { $0.hasPrefix("\(key)\t") }
      .compactMap { Double($0.split(separator: "\t")[1]) }
  }

  /// `one` and `two`: arrangements of the same images with other patches and other regions.
  private static let parts = """
    set -e
    cifar-extract --quiet --synthetic 50 --resize 9x9 --classes 0,1,2 -o images
    patchify --quiet --size 4 --stride 1 --pool 2 --contrast 0.01 --whiten 0.1 --components 6 --bias --mirror --defer images -o a
    patchify --quiet --dtype F64 --size 6 --stride 3 --bias images -o b
    arrangements --quiet --sample 6 --sampler k-means a -o one
    arrangements --quiet --sample 5 --open b -o two
    """

  /// The optimum is at most that of either part, and the same in any order; every number is judged.
  @Test(arguments: ["squared", "logistic", "cross-entropy"], ["class", "pattern"])
  func theJointOptimumIsNoWorse(_ loss: String, _ group: String) throws {
    let folder = try Folder()
    let options = "--activation gated-relu --loss \(loss) --group \(group) --beta 0.4 --gap 1e-6"
    let run = try Tools.shell(
      """
      \(Self.parts)
      solve --quiet \(options) one -o s1 && recover --quiet s1 | evaluate --quiet --data one --certify s1
      solve --quiet \(options) two -o s2 && recover --quiet s2 | evaluate --quiet --data two --certify s2
      solve --quiet \(options) --with two one -o s12
      recover --quiet s12 | evaluate --quiet --data one --with two --certify s12
      solve --quiet \(options) --with one two -o s21
      recover --quiet --unit s21 | evaluate --quiet --data two --with one --certify s21
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let objectives = Self.values(run.text, "objective")
    #expect(objectives.count == 4)
    let best = min(objectives[0], objectives[1])
    #expect(objectives[2] <= best * (1 + 1e-6))
    if loss == "squared" { #expect(objectives[2] < 0.9999 * best) }
    #expect(abs(objectives[2] - objectives[3]) <= 2e-6 * objectives[2])
    #expect(Self.values(run.text, "relative_gap").allSatisfy { $0 <= 1e-6 })
  }

  /// With the same gates twice nothing is gained: the norm of a sum is no larger than the sum of the norms.
  @Test func theSamePatchesTwiceGainNothing() throws {
    let folder = try Folder()
    let options = "--activation gated-relu --beta 0.4 --gap 1e-7"
    let run = try Tools.shell(
      """
      \(Self.parts)
      solve --quiet \(options) one -o s1 && recover --quiet s1 | evaluate --quiet --data one --certify s1
      solve --quiet \(options) --with one one -o s11
      recover --quiet s11 | evaluate --quiet --data one --with one --certify s11
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let objectives = Self.values(run.text, "objective")
    #expect(objectives.count == 2 && abs(objectives[0] - objectives[1]) < 1e-6 * objectives[0])
  }

  /// β chosen by held-out samples, and predictions of further ones.
  @Test func aPathAndItsValidation() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.parts)
      cifar-extract --quiet --synthetic 40 --seed 9 --resize 9x9 --classes 0,1,2 -o others
      patchify --quiet --like one others -o va
      patchify --quiet --like two others -o vb
      solve --quiet --activation gated-relu --path 4 --path-table table --validation va --validation-with vb \
        --with two one -o s
      recover --quiet s -o n
      evaluate --quiet --data one --with two --certify s n >report
      evaluate --quiet --with vb n va
      tail -n +2 table | cut -f7 | sort -g | tail -1
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let accuracy = try #require(Self.values(run.text, "accuracy").first)
    let best = try #require(Double(run.text.split(separator: "\n").last!))
    #expect(abs(accuracy - best) < 1e-12)
  }

  @Test func falseClaimsAreRefused() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      \(Self.parts)
      solve --quiet --activation gated-relu --beta 0.4 --gap 1e-6 --with two one -o s
      recover --quiet s -o n
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    func judged(_ options: [String] = ["--data", "one", "--with", "two"]) throws -> Run {
      try Tools.run("evaluate", options + ["--quiet", "--certify", "s", "n"], in: folder)
    }
    #expect(try judged().status == 0)
    // Data in another order, or not all of them.
    #expect(try judged(["--data", "two", "--with", "one"]).status == 1)
    #expect(try judged(["--data", "one"]).errors.contains("2 parts"))
    #expect(
      try judged(["--data", "one", "--with", "two", "--with", "two"]).errors.contains("2 parts"))

    func scaled(_ name: String, _ factor: Double) -> (inout Tensors.Bundle) -> Void {
      { bundle in
        let old = bundle.tensors[name]!
        bundle.tensors[name] = Tensor(old.doubles.map { factor * $0 }, shape: old.shape)
      }
    }
    let changes: [(String, String, (inout Tensors.Bundle) -> Void)] = [
      ("s", "primal_objective", scaled("part.1.w", 1.01)),
      ("s", "primal_objective", scaled("part.2.w", 0.99)),
      ("s", "dual", scaled("dual", 1.01)),
      ("s", "predictions", scaled("predictions", 1.001)),
      ("s", "gate", scaled("part.2.gates", -1)),
      ("s", "part.1", { $0.tensors["w"] = $0.tensors["part.1.w"] }),
      (
        "s", "part 2",
        { bundle in
          for name in bundle.tensors.keys where name.hasPrefix("part.2.") {
            bundle.tensors[name] = nil
          }
        }
      ),
      ("s", "part 1", { $0.tensors["part.1.dual"] = $0.tensors["dual"] }),
      ("s", "none of part 3", { $0.metadata["part.4.size"] = "3" }),
      ("s", "\"size\"", { $0.metadata["part.1.size"] = "5" }),
      ("s", "\"whiten\"", scaled("part.1.whiten", 2)),
      ("n", "recovery_error", scaled("part.2.output.weight", 1.01)),
      ("n", "gate", scaled("part.2.hidden.gate", -1)),
      ("n", "\"whiten\"", scaled("part.1.whiten", 2)),
      (
        "n", "parts",
        { bundle in
          for name in bundle.tensors.keys where name.hasPrefix("part.2.") {
            bundle.tensors[name] = nil
          }
          for name in bundle.metadata.keys where name.hasPrefix("part.2.") {
            bundle.metadata[name] = nil
          }
        }
      ),
    ]
    for (name, message, change) in changes {
      let honest = try folder.read(name)
      var bundle = honest
      change(&bundle)
      try folder.write(bundle, name)
      let run = try judged()
      #expect(run.status == 1, "\(name) \(message): \(run.text)")
      try folder.write(honest, name)
    }
  }

  @Test func mistakesAreNamed() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      \(Self.parts)
      cifar-extract --quiet --synthetic 50 --resize 9x9 --classes 0,1,3 |
        patchify --quiet --size 3 | arrangements --quiet --sample 3 -o strangers
      tensor slice --rows 0:9 a -o part && arrangements --quiet --sample 4 part -o few
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    let gated = ["--activation", "gated-relu", "--beta", "1"]
    let mistakes: [([String], Int32, String)] = [
      (gated + ["--with", "b", "one"], 1, "expected arrangements"),
      (gated + ["--with", "few", "one"], 1, "9 samples"),
      (gated + ["--with", "strangers", "one"], 1, "classes"),
      (gated + ["--with", "-", "-"], 2, "standard input"),
      (gated + ["--norm", "nuclear", "--with", "two", "one"], 2, "--norm group"),
      (["--activation", "relu", "--beta", "1", "--with", "two", "one"], 2, "gated-relu"),
      (
        ["--activation", "gated-relu", "--path", "3", "--folds", "2", "--with", "two", "one"], 2,
        "--folds"
      ),
      (
        [
          "--activation", "gated-relu", "--path", "3", "--validation", "one", "--with", "two",
          "one",
        ], 2, "--validation-with"
      ),
      (gated + ["--warm-start", "one", "--with", "two", "one"], 2, "--warm-start"),
    ]
    for (arguments, status, message) in mistakes {
      let run = try Tools.run("solve", arguments + ["-o", "none"], in: folder)
      #expect(run.status == status && run.errors.contains(message), "\(arguments): \(run.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.path("none")))
    }
  }

  /// What the parts of one program have to agree in, and what follows from only one of them.
  @Test func partsAreOfTheSameSamples() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      \(Self.parts)
      printf '1,2,0\\n4,5,1\\n2,2,1\\n0,1,0\\n3,1,1\\n' | tensor from-csv --targets 3 --bias -o table
      arrangements --quiet --exact table -o all
      arrangements --quiet --sample 2 table -o some
      for order in 'some all' 'all some'; do
        set -- $order
        solve --quiet --activation gated-relu --beta 0.1 --with $1 $2 -o s
        recover --quiet s | evaluate --quiet --data $2 --with $1 --certify s >report
      done
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    func refused(_ message: String, _ change: (inout Tensors.Bundle) -> Void) throws {
      var bundle = try folder.read("two")
      change(&bundle)
      try folder.write(bundle, "changed")
      let run = try Tools.run(
        "solve",
        ["--activation", "gated-relu", "--beta", "1", "--with", "changed", "one", "-o", "none"],
        in: folder)
      #expect(run.status == 1 && run.errors.contains(message), "\(message): \(run.errors)")
    }
    try refused("classes") { $0.metadata["classes"] = "other,names,here" }
    try refused("\"labels\"") { bundle in
      let labels = bundle.tensors["labels"]!.doubles.map { Int32(2 - $0) }
      bundle.tensors["labels"] = Tensor(labels)
    }
    var named = try folder.read("one")
    named.tensors["names"] = Tensor((0..<15).map { UInt8(40 + $0) }, shape: [15, 1])
    try folder.write(named, "one")
    try refused("names") {
      $0.tensors["names"] = Tensor((0..<15).map { UInt8(89 - $0) }, shape: [15, 1])
    }
  }
}
