import Foundation
import Tensors
import Testing

private func numbers(_ run: Run) -> [String: Double] {
  var result: [String: Double] = [:]
  for line in run.text.split(separator: "\n") {
    let parts = line.split(separator: "\t")
    if parts.count == 2 { result[String(parts[0])] = Double(parts[1]) }
  }
  return result
}

/// What `solve`, `recover` and `evaluate` have in common: from images to a certified network.
@Suite struct ConvolutionalEvaluationTests {
  private func run(_ script: String, in folder: Folder) throws -> Run {
    let run = try Tools.shell(script, in: folder)
    #expect(run.status == 0, "\(script): \(run.errors)")
    return run
  }

  @Test(arguments: [
    "gated-relu --group class", "gated-relu --group pattern", "relu --group class", "linear",
  ])
  func networksWithRegionsAreCertified(_ options: String) throws {
    let folder = try Folder()
    let threshold = options.hasPrefix("relu") ? "" : "--threshold 0.5"
    _ = try run(
      """
      cifar-extract --synthetic 24 --resize 6x6 -o images
      for defer in '' --defer; do
        patchify --size 3 --stride 1 --pool 2 --contrast 0.1 --whiten 0.1 --components 4 $defer -o d$defer images
        arrangements --sampler samples --sample 6 \(threshold) -o a$defer d$defer
      done
      """, in: folder)
    for (suffix, beta) in [("", "0.5"), ("--defer", "0.5"), ("", "1e6")] {
      _ = try run(
        "solve --activation \(options) --beta \(beta) --gap 1e-4 -o s a\(suffix) && recover -o n s",
        in: folder)
      // Both sorts of data have the same patches, and the same patterns.
      for data in ["a", "a--defer"] {
        let report = numbers(
          try run(
            "evaluate --data \(data) --certify s --beta \(beta) --filters f.png --confusion c.png n",
            in: folder))
        let (primal, objective) = (report["primal_objective"]!, report["objective"]!)
        #expect(abs(primal - objective) <= 1e-10 * primal, "\(options) \(suffix)")
        #expect(report["relative_gap"]! <= 1e-4 && report["relative_gap"]! >= -1e-12)
        #expect(report["recovery_error"]! < 1e-10)
        #expect(beta == "0.5" ? report["neurons"]! > 0 : report["neurons"] == 0)
      }
      let test = try run("evaluate --data d--defer n", in: folder)
      #expect(numbers(test)["accuracy"]! >= 0)
    }
    let refused = try Tools.shell("recover --minimal --data a s", in: folder)
    #expect(refused.status == 2 && refused.errors.contains("--minimal is for"))
  }

  @Test(arguments: ["logistic", "hinge", "huber", "cross-entropy"])
  func otherLossesAreCertified(_ loss: String) throws {
    let folder = try Folder()
    _ = try run(
      """
      cifar-extract --synthetic 24 --resize 4x4 --classes 0,1,2 -o images
      patchify --flatten --bias -o d images
      arrangements --sample 8 -o a d
      """, in: folder)
    for options in ["gated-relu", "gated-relu --group pattern", "relu", "linear"] {
      if options.contains("pattern"), loss != "cross-entropy" { continue }
      _ = try run(
        "solve --activation \(options) --loss \(loss) --beta 0.5 --gap 1e-3 -o s a && recover -o n s",
        in: folder)
      let report = numbers(
        try run("evaluate --data a --certify s --beta 0.5 n", in: folder))
      #expect(
        abs(report["primal_objective"]! - report["objective"]!) <= 1e-9 * report["objective"]!,
        "\(loss) \(options)")
      #expect(report["relative_gap"]! <= 1e-3 && report["relative_gap"]! >= -1e-12)
    }
  }

  /// Of deferred patches the certificate's pass over the data tells the outputs too, where the network has
  /// gates of the data's: they are those of the network by itself.
  @Test(arguments: ["gated-relu --group pattern", "gated-relu", "linear"])
  func outputsAreTheSameWithACertificate(_ options: String) throws {
    let folder = try Folder()
    _ = try run(
      """
      cifar-extract --synthetic 40 --resize 12x12 -o images
      patchify --size 4 --stride 2 --pool 2 --bias --defer images | arrangements --sample 12 -o a
      solve --activation \(options) --beta 0.3 --gap 1e-3 -o s a
      recover -o n s
      """, in: folder)
    let alone = numbers(
      try run("evaluate --data a --beta 0.3 --predictions alone n", in: folder))
    let judged = numbers(
      try run("evaluate --data a --certify s --beta 0.3 --predictions judged n", in: folder))
    for name in ["loss", "objective", "accuracy"] {
      #expect(abs(alone[name]! - judged[name]!) <= 1e-12 * alone[name]!)
    }
    #expect(judged["recovery_error"]! < 1e-10 && judged["neurons"]! > 0)
    func table(_ name: String) throws -> [Double] {
      try String(contentsOf: folder.url(name), encoding: .utf8).split(
        whereSeparator: \.isWhitespace
      )
      .compactMap { Double($0) }
    }
    let (first, second) = (try table("alone"), try table("judged"))
    #expect(first.count == 40 * 13 && first.count == second.count)
    #expect(zip(first, second).allSatisfy { abs($0 - $1) <= 1e-11 })
    // Another network, whose gates the data do not have, is none of the solution's.
    _ = try run(
      """
      patchify --size 4 --stride 2 --pool 2 --bias --defer images | arrangements --sample 12 --seed 5 -o b
      solve --activation \(options) --beta 0.3 --gap 1e-3 -o t b
      recover -o m t
      """, in: folder)
    if options != "linear" {
      let other = try Tools.run("evaluate", ["--data", "a", "--certify", "s", "m"], in: folder)
      #expect(other.status == 1 && other.errors.contains("recovery_error"))
      let own = numbers(try run("evaluate --data a m", in: folder))
      #expect(other.text.contains("loss\t\(own["loss"]!)\n"))
    }
  }

  @Test(arguments: ["class", "pattern"])
  func circularNetworksAreCertified(_ group: String) throws {
    let folder = try Folder()
    _ = try run(
      """
      cifar-extract --synthetic 24 --resize 4x4 --grayscale --classes 0,1,2 -o images
      patchify --flatten -o d images
      solve --activation linear --circular --group \(group) --beta 0.1 --gap 1e-4 -o s d
      recover -o n s
      """, in: folder)
    let report = numbers(try run("evaluate --data d --certify s --beta 0.1 n", in: folder))
    #expect(
      abs(report["primal_objective"]! - report["objective"]!) <= 1e-10 * report["objective"]!)
    #expect(report["relative_gap"]! <= 1e-4 && report["recovery_error"]! < 1e-10)
  }
}
