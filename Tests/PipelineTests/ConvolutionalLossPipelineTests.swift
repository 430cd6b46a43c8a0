import Foundation
import Tensors
import Testing

/// From pictures to the report of networks with every loss but the squared one, convolutional and with cones.
@Suite struct ConvolutionalLossPipelineTests {
  private static let losses = ["logistic", "hinge", "huber", "cross-entropy"]

  private func run(_ script: String, in folder: Folder) throws {
    let run = try Tools.shell("set -e; \(script)", in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func folder(_ cut: String) throws -> Folder {
    let folder = try Folder()
    try run(
      """
      cifar-extract --synthetic 200 --classes 0,1 --range 0:40 -o images
      cifar-extract --synthetic 300 --classes 0,1 --range 40:60 -o others
      patchify \(cut) -o data images
      patchify --like data -o check others
      arrangements --sample 6 -o train data
      """, in: folder)
    return folder
  }

  /// Whoever recomputes all of it from the data agrees.
  @Test(arguments: ["gated-relu", "relu"], ["class", "pattern"])
  func convolutionalNetworksAreCertified(_ activation: String, _ group: String) throws {
    let folder = try folder(
      "--size 8 --stride 8 --contrast 1e-2 --whiten 0.1 --components 4 --pool 2 --defer")
    for loss in Self.losses {
      try run(
        """
        solve --activation \(activation) --loss \(loss) --group \(group) --beta 0.2 --gap 1e-4 \
          --require-optimal -o solution train
        recover -o network solution
        evaluate --data train --certify solution --beta 0.2 network >report
        """, in: folder)
      let solution = try folder.read("solution")
      #expect(solution.metadata["loss"] == loss && solution.metadata["group"] == group)
      #expect(solution.tensors["index"]!.count > 0)
    }
  }

  /// Fully connected, a path with validation, and on from its end.
  @Test func fullyConnectedPathsGoOn() throws {
    let folder = try folder("--flatten --whiten 0.1 --components 5 --bias")
    for loss in Self.losses {
      try run(
        """
        solve --activation relu --loss \(loss) --beta 0.3 --gap 1e-4 --path 3 --validation check \
          --require-optimal -o solution train
        recover -o network solution
        evaluate --data train --certify solution network >report
        solve --activation relu --loss \(loss) --beta 0.25 --gap 1e-4 --warm-start solution \
          --trace table --require-optimal -o next train
        """, in: folder)
      #expect(try folder.read("solution").metadata["path"]?.split(separator: ",").count == 3)
      #expect(try folder.read("next").metadata["status"] == "optimal")
    }
  }

  @Test func convolutionalPathsGoOn() throws {
    let folder = try folder("--size 8 --stride 8 --whiten 0.1 --components 4 --pool 2")
    try run(
      """
      solve --activation gated-relu --loss logistic --beta 0.1 --path 3 --validation check \
        --require-optimal -o solution train
      solve --activation gated-relu --loss logistic --beta 0.08 --warm-start solution \
        --require-optimal -o next train
      recover -o network next
      evaluate --data train --certify next --beta 0.08 network >report
      evaluate --data check network >>report
      """, in: folder)
    #expect(try folder.read("solution").metadata["path"]?.split(separator: ",").count == 3)
  }
}
