import Foundation
import Tensors
import Testing

/// `solve --loss` with polynomial activations, run as a user runs it.
@Suite struct PolynomialLossPipelineTests {
  private func data(_ folder: Folder, classes: String? = nil) throws {
    let choice = classes.map { "--classes \($0)" } ?? ""
    let run = try Tools.shell(
      "cifar-extract --synthetic 120 --resize 8x8 --grayscale \(choice) "
        + "| patchify --size 4 --moments -o train", in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  @Test func eachLossIsTrainedAndNamed() throws {
    let folder = try Folder()
    try data(folder)
    for loss in ["cross-entropy", "logistic", "hinge", "huber"] {
      let run = try Tools.run(
        "solve",
        [
          "--activation", "0.09,0.5,0.47", "--loss", loss, "--beta", "0.5", "--gap", "1e-3",
          "--require-optimal", "-o", "solution", "train",
        ], in: folder)
      try #require(run.status == 0, "\(loss): \(run.errors)")
      let solution = try folder.read("solution")
      #expect(solution.metadata["loss"] == loss)
      #expect(solution.metadata["status"] == "optimal")
      #expect(Double(solution.metadata["relative_gap"] ?? "").map { $0 <= 1e-3 } == true)
      #expect(solution.tensors["dual"]?.shape == [120, 10])
      #expect(try Tools.run("recover", ["-o", "net", "solution"], in: folder).status == 0)
      let network = try folder.read("net")
      #expect(network.metadata["loss"] == loss)
    }
  }

  @Test func twoClassesOfCrossEntropyHaveTwoOutputs() throws {
    let folder = try Folder()
    try data(folder, classes: "0,1")
    let arguments = [
      "--activation", "0.09,0.5,0.47", "--loss", "cross-entropy", "--beta", "0.1", "--path", "3",
      "--validation", "train", "--gap", "1e-3", "-o", "solution", "train",
    ]
    let run = try Tools.run("solve", arguments, in: folder)
    try #require(run.status == 0, "\(run.errors)")
    let first = try Data(contentsOf: folder.url("solution"))
    let solution = try folder.read("solution")
    #expect(solution.tensors["z"]?.shape[0] == 2)
    #expect(solution.metadata["validation_accuracy"] != nil)
    // The same bytes again.
    try #require(try Tools.run("solve", arguments, in: folder).status == 0)
    #expect(try Data(contentsOf: folder.url("solution")) == first)
  }

  @Test func theInteriorPointIsForSquaredLoss() throws {
    let run = try Tools.run(
      "solve",
      [
        "--activation", "1,0,0", "--loss", "hinge", "--solver", "interior-point", "--beta", "1",
      ])
    #expect(run.status == 2)
    #expect(run.errors.contains("--solver interior-point is for --loss squared"))
    #expect(run.output.isEmpty)
  }
}
