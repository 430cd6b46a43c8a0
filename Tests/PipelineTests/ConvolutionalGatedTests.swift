import Foundation
import Tensors
import Testing

/// From pictures to the solution of a convolutional gated-ReLU network.
@Suite struct ConvolutionalGatedPipelineTests {
  private static let cut =
    "patchify --size 6 --stride 4 --contrast 6e-4 --whiten 0.1 --components 6 --bias --pool 2"
  private static let gates = "arrangements --sample 9 --sampler k-means --threshold 1"
  private static let gated = "solve --activation gated-relu --beta 0.5"

  private func folder(_ count: Int = 120) throws -> Folder {
    let folder = try Folder()
    try run(
      """
      cifar-extract --synthetic \(count) -o images
      \(Self.cut) --defer -o data images
      \(Self.gates) -o train data
      """, in: folder)
    return folder
  }

  private func run(_ script: String, in folder: Folder) throws {
    let run = try Tools.shell("set -e; \(script)", in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func number(_ bundle: Bundle, _ name: String) throws -> Double {
    let text = try #require(bundle.metadata[name])
    return try #require(Double(text))
  }

  @Test(arguments: ["class", "pattern"])
  func deferredDataGiveTheSameNetwork(_ group: String) throws {
    let folder = try folder()
    try run(
      """
      \(Self.cut) images | \(Self.gates) -o stored
      for kind in train stored; do
        \(Self.gated) --group \(group) --gap 1e-8 -o $kind.solution $kind
      done
      """, in: folder)
    let (mine, theirs) = (
      try folder.read("train.solution"), try folder.read("stored.solution")
    )
    for (name, tensor) in mine.tensors {
      #expect(theirs.tensors[name]?.doubles == tensor.doubles, "\(name)")
    }
    #expect(mine.metadata["group"] == group)
    #expect(mine.metadata["status"] == "optimal")
    #expect(try number(mine, "relative_gap") <= 1e-8)
    let active = mine.tensors["index"]!.count
    #expect(mine.tensors["w"]!.shape == [10, active, 4, 7])
    #expect(mine.tensors["gates"]!.shape == [active, 7])
  }

  /// The primal value is ½‖ŷ − y‖² + β Σ‖w‖ of what is written.
  @Test func objectivesAreThoseOfTheTensors() throws {
    let folder = try folder()
    try run("\(Self.gated) --group pattern --gap 1e-6 -o solution train", in: folder)
    let solution = try folder.read("solution")
    let labels = try folder.read("train").tensors["labels"]!.doubles
    func loss(_ name: String) -> Double {
      solution.tensors[name]!.doubles.enumerated().reduce(0) { sum, entry in
        let target = Int(labels[entry.offset / 10]) == entry.offset % 10 ? 1.0 : 0
        return sum
          + (name == "dual"
            ? entry.element * (target - 0.5 * entry.element)
            : 0.5 * (entry.element - target) * (entry.element - target))
      }
    }
    let w = solution.tensors["w"]!
    let (active, values) = (w.shape[1], w.doubles)
    var penalty = 0.0
    for i in 0..<active {
      var sum = 0.0
      for c in 0..<10 {
        for k in 0..<28 { sum += pow(values[(c * active + i) * 28 + k], 2) }
      }
      penalty += sum.squareRoot()
    }
    let primal = try number(solution, "primal_objective")
    #expect(abs(loss("predictions") + 0.5 * penalty - primal) <= 1e-10 * primal)
    #expect(abs(loss("dual") - (try number(solution, "dual_objective"))) <= 1e-10 * primal)
  }

  /// Whoever recomputes all of it from the data agrees.
  @Test(arguments: ["class", "pattern"])
  func theCertificateHolds(_ group: String) throws {
    let folder = try folder()
    let script = """
      set -e
      \(Self.gated) --group \(group) --gap 1e-6 -o solution train
      recover -o network solution
      evaluate --data train --certify solution network
      """
    let run = try Tools.shell(script, in: folder)
    try #require(run.status == 0, "\(run.errors)")
    let report = Dictionary(
      run.text.split(separator: "\n").map { line in
        let parts = line.split(separator: "\t")
        return (String(parts[0]), String(parts.last!))
      }, uniquingKeysWith: { first, _ in first })
    #expect(try #require(Double(report["relative_gap"] ?? "")) <= 1e-6)
    #expect(try #require(Double(report["recovery_error"] ?? "")) <= 1e-9)
  }

  /// Over gates that include each other's mirror images, images and their mirror images are trained best by
  /// the network of patches that are mirrored.
  @Test func mirroredPatchesStandForMirroredImages() throws {
    let folder = try Folder()
    let cut = "patchify --size 4 --stride 3 --bias --dtype F64 --defer"
    try run(
      """
      extract="cifar-extract --synthetic 40 --resize 10x10 --seed 3"
      $extract | \(cut) --mirror | arrangements --sample 5 -o mirrored
      $extract --flip | \(cut) | arrangements --sample 10 -o flipped
      """, in: folder)
    let gates = try #require(folder.read("mirrored").tensors["gates"]).doubles
    // Channel, row and column of a 4 × 4 patch, and the constant.
    let turned = gates.indices.map { k in
      let (gate, j) = (k / 49, k % 49)
      return gates[gate * 49 + (j == 48 ? j : j / 4 * 4 + 3 - j % 4)]
    }
    var flipped = try folder.read("flipped")
    flipped.tensors["gates"] = Tensor(gates + turned, shape: [10, 49])
    try folder.write(flipped, "flipped")
    try run(
      """
      solve="solve --activation gated-relu --group pattern --gap 1e-9"
      $solve --beta 0.4 -o one mirrored
      $solve --beta 0.8 -o both flipped
      """, in: folder)
    let (one, both) = (try folder.read("one"), try folder.read("both"))
    let objective = try number(one, "primal_objective")
    #expect(abs(2 * objective - (try number(both, "primal_objective"))) <= 4e-9 * objective)
    // An image, then its mirror image; the network says the same of them.
    let predictions = try #require(one.tensors["predictions"]).doubles
    let others = try #require(both.tensors["predictions"]).doubles
    #expect(predictions.count * 2 == others.count && predictions.contains { abs($0) > 0.1 })
    for (k, value) in predictions.enumerated() {
      let (sample, output) = (k / 10, k % 10)
      #expect(abs(others[20 * sample + output] - value) <= 1e-3)
      #expect(abs(others[20 * sample + 10 + output] - value) <= 1e-3)
    }
  }

  @Test func pathAndWarmStart() throws {
    let folder = try folder()
    try run(
      """
      cifar-extract --synthetic 60 --seed 7 | patchify --like train --defer -o held
      \(Self.gated) --path 3 --validation held --trace trace -o chosen train
      \(Self.gated) --gap 1e-6 -o first train
      \(Self.gated) --gap 1e-6 --warm-start first -o second train
      """, in: folder)
    let (first, second) = (try folder.read("first"), try folder.read("second"))
    #expect(try number(second, "iterations") < number(first, "iterations"))
    let primal = try number(first, "primal_objective")
    #expect(abs(try number(second, "primal_objective") - primal) <= 1e-6 * primal)
    #expect(try folder.read("chosen").metadata["validation_accuracy"] != nil)
    let trace = try String(contentsOf: folder.url("trace"), encoding: .utf8)
    #expect(trace.contains("# path"))
  }

  @Test func whatIsNotThereIsSaid() throws {
    let folder = try folder(20)
    // A start from other gates.
    let other = try Tools.shell(
      """
      set -e
      \(Self.gated) -o first train
      arrangements --sample 9 --sampler k-means --threshold 1 --seed 9 -o other data
      \(Self.gated) --warm-start first -o out other
      """, in: folder)
    #expect(other.status == 1)
    #expect(other.errors.contains("warm start"))
  }
}
