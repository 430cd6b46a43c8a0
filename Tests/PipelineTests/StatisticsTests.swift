import Foundation
import Schema
import Tensors
import Testing

/// Training and judging from sums over samples: gram, tensor sum, solve, recover, evaluate and tallies.
@Suite struct StatisticsTests {
  private let folder: Folder

  /// Images of two classes in four shards, all and s0 … s3: pooled moments (m.…) and patches in two regions (p.…) with
  /// `like` bundles of both designs, and one for linear networks.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --synthetic 2000 --classes 0,1 --resize 8x8 --grayscale -o all.images
      patchify --quiet --size 2 --stride 2 --pool 2 --moments all.images -o m.all
      patchify --quiet --size 3 --stride 1 --pool 2 --bias --defer all.images -o p.all
      arrangements --sample 6 p.all -o gates
      for i in 0 1 2 3; do
        tensor slice --rows $((i * 100)):$((i * 100 + 100)) m.all -o m.s$i
        tensor slice --rows $((i * 100)):$((i * 100 + 100)) p.all -o p.s$i
      done
      gram --activation 0.09,0.5,0.47 m.s0 -o m.like
      gram --like gates p.s0 -o p.like
      gram --activation linear p.s0 -o l.like
      for d in m p; do
        for i in 0 1 2 3; do gram --like $d.like $d.s$i -o $d.sum$i; done
        gram --like $d.like $d.all -o $d.one
        cat $d.s0 $d.s1 $d.s2 $d.s3 | gram --like $d.like -o $d.stream
        tensor sum --samples 400 $d.sum0 $d.sum1 $d.sum2 $d.sum3 -o $d.shards
      done
      gram --like l.like p.all -o l.one
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func shell(_ script: String) throws -> Run { try Tools.shell(script, in: folder) }

  /// The value of a line of a report.
  private func value(_ report: Run, _ name: String) throws -> Double {
    let line = try #require(
      report.text.split(separator: "\n").first { $0.hasPrefix("\(name)\t") },
      "\(name): \(report.text) \(report.errors)")
    return try #require(Double(line.split(separator: "\t")[1]))
  }

  private func change(_ name: String, into copy: String, _ body: (inout Bundle) -> Void) throws {
    var bundle = try folder.read(name)
    body(&bundle)
    try folder.write(bundle, copy)
  }

  /// One entry changed: number `k`, or the largest.
  private static func changed(_ tensor: Tensor, at k: Int? = nil, by factor: Double) -> Tensor {
    var values = tensor.doubles
    values[k ?? values.indices.max { abs(values[$0]) < abs(values[$1]) }!] *= factor
    return Tensor(values, shape: tensor.shape)
  }

  /// Solves, recovers and judges by the sums `name`; the report.
  @discardableResult
  private func judged(_ name: String, _ options: String) throws -> Run {
    let run = try shell(
      """
      set -e
      solve --quiet \(options) --gap 1e-8 \(name) -o solution
      recover solution -o network
      evaluate --data \(name) --certify solution network
      """)
    #expect(run.status == 0, "\(run.errors)")
    return run
  }

  // MARK: Sums

  @Test(arguments: ["m", "p"]) func sumsAgreeHoweverTheyWereMade(_ design: String) throws {
    let one = try folder.read("\(design).one")
    for name in ["stream", "shards"] {
      let other = try folder.read("\(design).\(name)")
      for key in StatisticsTensors.summed where key.name != "blocks" {
        let (a, b) = (try #require(one[key]).doubles, try #require(other[key]).doubles)
        let size = a.reduce(0) { max($0, abs($1)) }
        #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-12 * size }, "\(key.name)")
      }
    }
    let again = try shell(
      """
      gram --threads 1 --like \(design).like \(design).s2 -o again
      tensor sum \(design).sum0 \(design).sum1 \(design).sum2 \(design).sum3 | cmp - \(design).shards
      """)
    #expect(again.status == 0, "\(again.errors)")
    #expect(try folder.read("again").tensors["samples"]?.doubles == [100])
  }

  @Test func theRecipeOfAStreamIsThatOfItsFirstBundle() throws {
    let command = try #require(folder.read("m.shards").metadata["command"])
    #expect(command.split(separator: "\n").count(where: { $0.hasPrefix("cifar-extract") }) == 1)
    #expect(command.hasSuffix("tensor sum (4 files)"))
  }

  @Test func patchifyFollowsThem() throws {
    let run = try shell(
      """
      set -e
      patchify --quiet --like m.one all.images | gram --like m.like -o a
      patchify --quiet --like p.one all.images | gram --like p.like -o b
      """)
    #expect(run.status == 0, "\(run.errors)")
    for (name, other) in [("a", "m.one"), ("b", "p.one")] {
      let (mine, theirs) = (try folder.read(name), try folder.read(other))
      #expect(mine[.gram]?.doubles == theirs[.gram]?.doubles)
    }
  }

  // MARK: Training

  @Test(
    arguments: [
      ("m.shards", "m.all", "0.09,0.5,0.47", "--beta 0.5"),
      ("m.stream", "m.all", "0.09,0.5,0.47", "--beta 1e-3"),
      ("p.shards", "gates.all", "gated-relu", "--beta 0.5"),
      ("p.one", "gates.all", "gated-relu", "--beta 0.2 --group pattern"),
      ("l.one", "p.all", "linear", "--beta 0.5"),
    ])
  func theyTrainAsSamplesDo(_ c: (sums: String, samples: String, activation: String, beta: String))
    throws
  {
    _ = try shell("cp gates gates.all")
    let report = try judged(c.sums, c.beta)
    #expect(report.text.contains("by statistics"))
    #expect(try value(report, "gap_for_samples") < 1e-6)
    let tally = try shell(
      "evaluate --data \(c.samples == "gates.all" ? "p.all" : c.samples) --certify solution --tally tally network"
    )
    #expect(tally.status == 0, "\(tally.errors)")
    #expect(!tally.text.contains("by statistics"))
    let primal = try value(report, "primal_objective")
    for name in ["primal_objective", "dual_objective", "objective", "loss"] {
      #expect(abs(try value(report, name) - value(tally, name)) <= 1e-9 * primal, "\(name)")
    }
    let whole = try shell(
      "evaluate --data \(c.samples == "gates.all" ? "p.all" : c.samples) network")
    #expect(try value(whole, "accuracy") == value(tally, "accuracy"))
    let direct = try shell(
      "solve --quiet --activation \(c.activation) \(c.beta) --gap 1e-8 \(c.samples) | tensor show")
    #expect(direct.status == 0, "\(direct.errors)")
    let line = try #require(
      direct.text.split(separator: "\n").first { $0.hasPrefix("primal_objective") })
    let theirs = try #require(Double(line.split(separator: " ").last!))
    #expect(abs(theirs - primal) <= 3e-8 * primal)
  }

  @Test func talliesOfShardsAreTheReportOfAll() throws {
    try judged("m.shards", "--beta 0.1")
    let run = try shell(
      """
      set -e
      for i in 0 1 2 3; do evaluate --data m.s$i --certify solution --tally t$i network >/dev/null; done
      tensor sum --samples 400 t0 t1 t2 t3 -o t
      evaluate --data t --certify solution network
      """)
    #expect(run.status == 0, "\(run.errors)")
    let stream = try shell("cat m.s0 m.s1 m.s2 m.s3 | evaluate --data - network")
    let whole = try shell("evaluate --data m.all network")
    for name in ["samples", "accuracy", "recall_0", "precision_1"] where whole.text.contains(name) {
      #expect(try value(run, name) == value(whole, name))
      #expect(try value(stream, name) == value(whole, name))
    }
    // The tally of another network, or one without what a certificate needs.
    let other = try shell(
      """
      solve --quiet --beta 0.2 m.shards | recover -o other; evaluate --data t other && exit 3
      evaluate --data m.s0 --tally plain network >/dev/null; evaluate --data plain --certify solution network
      """)
    #expect(other.status == 1 && other.errors.contains("another network"), "\(other.errors)")
    #expect(other.errors.contains("does not hold the certificate"))
  }

  @Test func pathsWarmStartsAndValidation() throws {
    let run = try shell(
      """
      set -e
      solve --quiet --beta 0.01 --path 4 --validation m.sum3 --path-table a m.shards -o s
      solve --quiet --beta 0.01 --path 4 --validation m.s3 --path-table b m.shards -o s
      solve --quiet --beta 0.02 --warm-start s m.shards -o w
      solve --quiet --beta 0.2 --path 3 --validation p.sum3 p.shards -o g
      solve --quiet --beta 0.3 --warm-start g p.shards -o h
      solve --quiet --beta 0.2 --path 3 --validation l.one l.one -o l
      recover h | evaluate --data p.shards --certify h -
      """)
    #expect(run.status == 0, "\(run.errors)")
    let losses = try String(contentsOf: folder.url("a"), encoding: .utf8)
    #expect(losses.split(separator: "\n").count == 5)
    let refused = try shell("solve --beta 0.01 --path 4 --validation p.sum3 m.shards")
    #expect(refused.failed(1, "solve"), "\(refused.errors)")
  }

  @Test func singlePrecisionProvesNothingByItself() throws {
    let run = try shell(
      """
      set -e
      gram --like gates --dtype F32 p.s0 -o f.like
      for i in 0 1 2 3; do gram --like f.like p.s$i -o f$i; done
      tensor sum --samples 400 f0 f1 f2 f3 -o f
      """)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("f")[.gram]?.type == .f32)
    let report = try judged("f", "--beta 0.5 --gap 1e-6")
    #expect(try value(report, "gap_for_samples") > 1e-6)
    let refused = try shell("gram --activation 1,0,0 --dtype F32 m.s0")
    #expect(refused.failed(2, "gram"), "\(refused.errors)")
  }

  // MARK: What is false

  @Test func whatIsAlteredAfterTrainingIsRefused() throws {
    try judged("m.shards", "--beta 0.1")
    try change("m.shards", into: "bad") {
      $0[.gram] = StatisticsTests.changed($0[.gram]!, by: 1 + 1e-6)
    }
    try change("m.shards", into: "fewer") {
      $0[.samples] = Tensor([Int64(399)])
      $0[.counts] = Tensor(
        [$0[.counts]!.doubles[0] - 1, $0[.counts]!.doubles[1]].map { Int64($0) })
    }
    try change("solution", into: "moved") {
      $0[.dualCoefficients] = StatisticsTests.changed($0[.dualCoefficients]!, by: 1 + 1e-3)
    }
    for (data, solution, message) in [
      ("bad", "solution", "\"gram\""), ("fewer", "solution", "samples"),
      ("m.shards", "moved", "dual_objective"), ("m.sum0", "solution", "samples"),
      ("p.shards", "solution", "features"),
    ] {
      let run = try shell("evaluate --data \(data) --certify \(solution) network")
      #expect(run.status == 1 && run.errors.contains(message), "\(data) \(solution): \(run.errors)")
    }
    // A number of samples that does not fit the classes.
    try change("m.shards", into: "odd") { $0[.samples] = Tensor([Int64(401)]) }
    #expect(try shell("evaluate --data odd network").failed(1, "evaluate"))
  }

  @Test func whatIsAlteredBeforeTrainingIsFoundByTheTally() throws {
    try change("m.shards", into: "bad") {
      $0[.gram] = StatisticsTests.changed($0[.gram]!, by: 1 + 1e-6)
    }
    // Shard 1 in the place of shard 2.
    let run = try shell(
      """
      set -e
      tensor sum --samples 400 m.sum0 m.sum1 m.sum1 m.sum3 -o swapped
      for d in bad swapped; do
        solve --quiet --beta 0.1 --gap 1e-8 $d -o $d.solution
        recover $d.solution -o $d.network
        evaluate --data $d --certify $d.solution $d.network >/dev/null
        evaluate --data m.all --certify $d.solution --tally t $d.network >/dev/null && exit 3
      done
      """)
    #expect(run.status == 1, "\(run.errors)")
    #expect(run.errors.split(separator: "\n").count(where: { $0.contains("does not hold") }) == 2)
  }

  @Test func sumsThatDoNotGoTogetherAreRefused() throws {
    try change("p.sum1", into: "gates.bad") {
      $0[.gates] = StatisticsTests.changed($0[.gates]!, at: 3, by: 2)
    }
    try change("m.sum1", into: "t.bad") {
      $0[.whitening] = StatisticsTests.changed($0[.whitening]!, at: 3, by: 1 + 1e-15)
    }
    _ = try shell("head -c $(($(wc -c < m.sum1) - 8)) m.sum1 > cut")
    for (arguments, message) in [
      ("p.sum0 gates.bad", "\"gates\""), ("m.sum0 t.bad", "\"whitening\""),
      ("m.sum0 p.sum0", "metadata"),
      ("m.sum0 cut", "unexpected end"), ("--samples 200 m.sum0 m.sum1 m.sum2", "300"),
    ] {
      let run = try shell("tensor sum \(arguments)")
      #expect(
        run.failed(1, "tensor") && run.errors.contains(message), "\(arguments): \(run.errors)")
    }
  }

  // MARK: Bad input

  @Test func streamsThatEndEarlyAreRefused() throws {
    for cut in [3, 500, 20_000] {
      let run = try shell("(cat m.s0; head -c \(cut) m.s1) | gram --like m.like")
      #expect(run.failed(1, "gram"), "\(cut): \(run.errors)")
    }
    #expect(try shell("gram --like m.like </dev/null").failed(1, "gram"))
    let other = try shell("cat m.s0 p.s0 | gram --like m.like")
    #expect(other.failed(1, "gram"), "\(other.errors)")
    // All other tools refuse what follows a bundle.
    #expect(try shell("cat m.s0 m.s1 | solve --activation 1,0,0 --beta 1").failed(1, "solve"))
  }

  @Test(
    arguments: [
      ("solve --loss logistic --beta 1 m.shards", 1),
      ("solve --class-weights balanced --beta 1 m.shards", 1),
      ("solve --activation relu --beta 1 p.shards", 1), ("solve --path 3 --folds 2 m.shards", 1),
      ("solve --activation 1,0,0 --beta 1 m.shards", 1),
      ("solve --norm nuclear --group pattern --beta 1 p.shards", 1),
      ("gram m.s0", 2), ("gram --activation relu p.s0", 2),
      ("gram --like m.like --activation 1,0,0 m.s0", 2),
      ("gram --like m.like --targets 0,1 m.s0", 2), ("gram --like m.s0 m.s1", 1),
      ("gram all.images", 1),
      ("evaluate --data m.shards --predictions x all.images", 1),
    ])
  func whatSumsCannotDoIsRefused(_ line: String, _ status: Int32) throws {
    let run = try shell(line)
    #expect(run.failed(status, String(line.prefix { $0 != " " })), "\(run.errors)")
  }

  @Test func aTriangleBeyondMemoryIsRefusedBeforeTheWork() throws {
    guard !Tools.areSanitized else { return }
    let run = try shell(
      "ulimit -v 300000; gram --like gates p.all | cat >/dev/null; arrangements --sample 300 p.all -o many; gram many"
    )
    #expect(run.status == 1 && run.errors.contains("triangle"), "\(run.errors)")
  }
}
