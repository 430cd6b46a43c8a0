import Foundation
import Schema
import Tensors
import Testing

/// Networks trained on what the hidden layers of earlier ones put out.
@Suite struct LayersTests {
  private static func values(_ text: String, _ key: String) -> [Double] {
    text.split(separator: "\n").filter { $0.hasPrefix("\(key)\t") }
      .compactMap { Double($0.split(separator: "\t")[1]) }
  }

  /// T5 with y = 1.5 z: the objective of a stage is no larger than that of the stage before (Belilovsky et al. 2019,
  /// with neurons of unit length and the pattern that is 1 everywhere).
  @Test func fourStagesOverAllPatternsNeverRise() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '-2,1.5\\n-1,-1.5\\n0,1.5\\n1,-1.5\\n2,1.5\\n' | tensor from-csv --targets 2 --bias -o s1
      for k in 1 2 3 4; do
        arrangements --quiet --exact s$k -o a$k
        solve --quiet --activation relu --beta 0.1 --gap 1e-8 a$k -o solution$k
        recover --quiet --unit solution$k -o n$k
        evaluate --data a$k --certify solution$k n$k
        patchify --after n$k s$k -o s$((k + 1))
      done
      # However the chain is given, features are the same.
      patchify --after n1 --after n2 --after n3 s1 | tensor get x >all
      patchify --after n3 s1 | tensor get x >own
      patchify --like s4 s1 | tensor get x >like
      patchify --like s4 s2 | tensor get x >rest
      tensor get x s4 >steps
      for f in all own like rest; do cmp $f steps; done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let objectives = Self.values(run.text, "objective")
    #expect(objectives.count == 4)
    #expect(abs(objectives[0] - 2.013919) < 1e-6)
    for (a, b) in zip(objectives, objectives.dropFirst()) { #expect(b <= a * (1 + 1e-8)) }
    #expect(Self.values(run.text, "relative_gap").allSatisfy { $0 <= 1e-8 })
    #expect(run.text.components(separatedBy: "certificate\tglobal\n").count == 5)
  }

  /// Fifty random problems: over sampled patterns and the open one, stage by stage.
  @Test(arguments: ["relu", "gated-relu"])
  func stagesOverSampledPatternsNeverRise(_ activation: String) throws {
    let folder = try Folder()
    var random = RandomSource(seed: 16)
    for k in 1...25 {
      let (n, d) = (random.below(20) + 6, random.below(4) + 2)
      let rows = (0..<n).map { _ in
        (0...d).map { _ in "\(random.gaussian())" }.joined(separator: ",")
      }
      try Data(rows.joined(separator: "\n").utf8).write(to: folder.url("table\(k)"))
    }
    let run = try Tools.shell(
      """
      set -e
      for table in table*; do
        tensor from-csv $table --targets 1 --bias -o s
        echo stages 0
        for k in 1 2 3 4; do
          arrangements --quiet --sample 6 --seed $k --open s -o a
          solve --quiet --activation \(activation) --beta 0.2 --gap 1e-7 a -o solution
          recover --quiet --unit solution -o n
          evaluate --quiet --data a --certify solution n
          # Nothing is left to learn from where no neuron is worth its weight.
          tensor show n | grep -q 'hidden.weight  F64   .0,' && break
          patchify --quiet --after n s -o next
          mv next s
        done
      done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let parts = run.text.components(separatedBy: "stages 0\n").dropFirst()
    #expect(parts.count == 25)
    for part in parts {
      let objectives = Self.values(part, "objective")
      #expect(!objectives.isEmpty)
      for (a, b) in zip(objectives, objectives.dropFirst()) {
        #expect(b <= a * (1 + 1e-6), "\(objectives)")
      }
    }
  }

  private static let images = """
    set -e
    cifar-extract --quiet --synthetic 60 --resize 12x11 --classes 0,1 -o images
    patchify --quiet --size 4 --stride 1 --pool 2 --contrast 0.01 --whiten 0.1 --components 9 --bias --defer images -o one
    arrangements --quiet --sample 8 --sampler k-means one -o gates
    solve --quiet --activation gated-relu --beta 0.5 --gap 1e-5 gates -o first
    recover --quiet --unit first -o network
    evaluate --quiet --data gates --certify first network >report
    """

  /// With patches of one position, the same regions and the open gate a stage has the function of the one before.
  @Test func aConvolutionalStageIsNoWorse() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.images)
      grep ^objective report
      for k in 1 2; do
        patchify --quiet --dtype F64 --after network --size 1 --stride 1 --pool 2 --defer images -o two
        arrangements --quiet --sample 3 --open two -o gates
        solve --quiet --activation gated-relu --beta 0.5 --gap 1e-6 gates -o second
        recover --quiet --unit second -o network
        evaluate --quiet --data gates --certify second network | grep -E '^(objective|recovery)'
      done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let objectives = Self.values(run.text, "objective")
    #expect(objectives.count == 3)
    for (a, b) in zip(objectives, objectives.dropFirst()) { #expect(b <= a * (1 + 1e-5)) }
    #expect(Self.values(run.text, "recovery_error").allSatisfy { $0 < 1e-9 })
  }

  /// Deferred or held, the features are the same, and further images go the same way.
  @Test(arguments: ["--keep 3", "--directions 2", "--responses"])
  func whatGoesOnIsTheSameDeferred(_ choice: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.images)
      options="--after network \(choice) --average 2 --size 2 --stride 1 --pool 2 --contrast 0.1 --whiten 0.1 --bias"
      patchify --quiet $options --mirror --dtype F64 --defer images -o deferred
      patchify --quiet $options --mirror --dtype F64 images -o held
      for kind in deferred held; do
        arrangements --quiet --sample 6 held -o gates
        test $kind = held || { arrangements --quiet --sample 6 deferred -o gates; }
        solve --quiet --activation gated-relu --beta 0.5 --gap 1e-5 gates -o solution-$kind
        recover --quiet solution-$kind -o network-$kind
        evaluate --quiet --data gates --certify solution-$kind network-$kind | grep ^objective
      done
      cifar-extract --quiet --synthetic 30 --seed 5 --resize 12x11 --classes 0,1 -o others
      patchify --quiet --like deferred others -o test
      patchify --quiet --like held others -o test-held
      for network in network-deferred network-held; do
        evaluate --quiet $network test | grep ^loss
        evaluate --quiet $network test-held | grep ^loss
      done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    for key in ["objective", "loss"] {
      let found = Self.values(run.text, key)
      #expect(found.count == (key == "loss" ? 4 : 2))
      #expect(found.allSatisfy { abs($0 - found[0]) <= 1e-9 * abs(found[0]) }, "\(found)")
    }
  }

  /// A layer that was changed anywhere is another network.
  @Test func changedLayersAreFoundOut() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.images)
      patchify --quiet --after network --keep 3 --size 2 --stride 1 --defer images -o two
      arrangements --quiet --sample 4 two -o gates
      solve --quiet --activation gated-relu --beta 0.5 gates -o solution
      recover --quiet solution -o second
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func judged() throws -> Run {
      try Tools.run(
        "evaluate", ["--data", "gates", "--certify", "solution", "second"], in: folder)
    }
    #expect(try judged().status == 0)
    for name in ["solution", "second"] {
      let honest = try folder.read(name)
      let changes: [(String, (inout Tensors.Bundle) -> Void)] = [
        (
          "after.1.hidden.weight",
          {
            $0.tensors["after.1.hidden.weight"] = Tensor(
              $0.tensors["after.1.hidden.weight"]!.doubles.map { 2 * $0 },
              shape: $0.tensors["after.1.hidden.weight"]!.shape)
          }
        ),
        ("after.1.mean", { $0.tensors["after.1.mean"] = nil }),
        ("after.1.size", { $0.metadata["after.1.size"] = "3" }),
        ("after.2.size", { $0.metadata["after.2.size"] = "3" }),
      ]
      for (what, change) in changes {
        var bundle = honest
        change(&bundle)
        try folder.write(bundle, name)
        let run = try judged()
        #expect(run.status == 1 && run.errors.contains(what), "\(name) \(what): \(run.errors)")
      }
      try folder.write(honest, name)
    }
    // The same of the data: the claim is about others then.
    var data = try folder.read("gates")
    data.tensors["after.1.hidden.weight"] = Tensor(
      data.tensors["after.1.hidden.weight"]!.doubles.map { 2 * $0 },
      shape: data.tensors["after.1.hidden.weight"]!.shape)
    try folder.write(data, "gates")
    #expect(try judged().status == 1)
  }

  @Test func mistakesAreNamed() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      \(Self.images)
      printf '1,2,3\\n4,5,7\\n2,2,1\\n0,1,5\\n' | tensor from-csv --targets 3 --bias -o table
      solve --quiet --activation relu --beta 0.1 table -o solution
      recover --quiet solution -o dense
      printf '1,3\\n4,7\\n' | tensor from-csv --targets 2 --bias -o narrow
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    let mistakes: [([String], Int32, String)] = [
      (["--after", "one", "images"], 1, "expected network"),
      (["--after", "dense", "images"], 1, "trained on features"),
      (["--after", "network", "table"], 1, "patches of images"),
      (["--after", "network", "one"], 1, "expected the images"),
      (["--after", "dense", "narrow"], 1, "3 features"),
      (["--after", "dense", "--size", "2", "table"], 2, "--size"),
      (["--after", "dense", "--directions", "1", "table"], 1, "no gates"),
      (["--after", "network", "--after", "network", "images"], 1, "went through 0 layers"),
      (["--after", "network", "--scale", "0,1", "images"], 2, "--scale"),
      (["--after", "network", "--keep", "2", "--responses", "images"], 2, "exclude each other"),
      (["--after", "network", "--average", "10", "images"], 1, "\"average\""),
      (["--after", "network", "--like", "one", "images"], 2, "--after"),
      (["--keep", "2", "images"], 2, "--after"),
      (["--after", "-", "-"], 2, "standard input"),
      (["table"], 1, "expected images"),
    ]
    for (arguments, status, message) in mistakes {
      let run = try Tools.run("patchify", arguments + ["-o", "none"], in: folder)
      #expect(
        run.status == status && run.errors.contains(message), "\(arguments): \(run.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.path("none")))
    }
    // Layers that a bundle tells wrongly.
    let sound = try Tools.shell(
      "patchify --quiet --after network --keep 3 --size 2 --defer images -o two", in: folder)
    #expect(sound.status == 0)
    let changes: [(String, (inout Tensors.Bundle) -> Void)] = [
      ("\"average\"", { $0.metadata["after.1.average"] = "0" }),
      ("none of layer 2", { $0.metadata["after.3.size"] = "2" }),
      ("\"hidden.weight\"", { $0.tensors["after.1.hidden.weight"] = nil }),
      ("\"hidden.gate\"", { $0.tensors["after.1.hidden.gate"] = Tensor([1.0], shape: [1, 1]) }),
      (
        "not finite",
        {
          $0.tensors["after.1.hidden.weight"]!.withMutableElements(of: Double.self) { $0[0] = .nan }
        }
      ),
      ("images of", { $0.metadata["after.1.width"] = "10" }),
    ]
    for (message, change) in changes {
      var bundle = try folder.read("two")
      change(&bundle)
      try folder.write(bundle, "changed")
      let run = try Tools.run(
        "arrangements", ["--sample", "3", "changed", "-o", "none"], in: folder)
      #expect(run.status == 1 && run.errors.contains(message), "\(message): \(run.errors)")
    }
  }

  /// Tables whose targets are standardised, and constants that are there already.
  @Test func tablesKeepTargetsAndConstants() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf 'a,b,y\\n1,2,30\\n4,5,71\\n2,2,10\\n0,1,50\\n3,-1,22\\n' >table
      tensor from-csv --targets y --bias --standardize table -o one
      arrangements --quiet --exact one | solve --quiet --activation relu --beta 0.1 -o solution
      recover --quiet --unit solution -o network
      patchify --bias --after network one -o two
      patchify --like two two -o again
      patchify --after network two -o kept
      cmp <(tensor get x two) <(tensor get x again)
      cmp <(tensor get x two) <(tensor get x kept)
      tensor get target_shift two | cmp - <(tensor get target_shift one)
      arrangements --quiet --exact two -o gates
      solve --quiet --activation relu --beta 0.1 gates -o solution
      recover --quiet solution -o second
      evaluate --quiet --data gates --certify solution second | grep '^certificate'
      # Named in order, or the last alone.
      patchify --after network --after second --keep 1 one | tensor get x >chain
      patchify --after second --keep 1 one | tensor get x | cmp - chain
      tensor standardize two | patchify --quiet --like - one | tensor get divisor
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.text.hasPrefix("certificate\tglobal\n"))
  }
}
