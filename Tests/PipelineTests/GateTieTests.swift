import Foundation
import Tensors
import Testing

/// Next to the boundary of a gate no bit of a pattern may contradict the gate, however large numbers cancel in it.
@Suite struct GateTieTests {
  /// Three samples (a, 1), (a, 2), (a, 3) with this gate and these bits; a product gate if there is a unit.
  private static func data(
    first a: Double, gate: [Double], bits: UInt8, unit output: [Double] = []
  ) -> Bundle {
    var bundle = Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor([a, 1, a, 2, a, 3], shape: [3, 2]),
        "targets": Tensor([1.0, 2, 3], shape: [3, 1]), "gates": Tensor(gate, shape: [1, 2]),
        "patterns": Tensor([bits], shape: [1, 1]),
      ])
    if !output.isEmpty {
      bundle.tensors["gates.unit"] = Tensor([Int32(0)])
      bundle.tensors["gates.hidden"] = Tensor(
        output.flatMap { _ in [0.0, 1] }, shape: [1, output.count, 2])
      bundle.tensors["gates.output"] = Tensor(output, shape: [1, output.count])
    }
    bundle.metadata["exact"] = "false"
    return bundle
  }

  /// Each product, or output of the unit, is at least 0, by less than 1e-12 of the lengths for some samples.
  @Test(
    arguments: [
      (0.0, [1e13, 1.0], []), (0, [1e17, 1], []), (1, [-1, 1], []), (0, [0, 1], [1e13, -1e13, 1]),
    ] as [(Double, [Double], [Double])])
  func bitsAreThoseOfTheGate(_ first: Double, _ gate: [Double], _ output: [Double]) throws {
    let folder = try Folder()
    for (bits, status) in [(UInt8(7), Int32(0)), (0, 1), (6, 1)] {
      try folder.write(
        Self.data(first: first, gate: gate, bits: bits, unit: output), "data")
      let run = try Tools.shell(
        """
        solve --quiet --activation gated-relu --beta 0.5 data -o solution && recover solution -o network &&
          evaluate --quiet --data data --certify solution network
        """, in: folder)
      #expect(run.status == status, "\(bits): \(run.text) \(run.errors)")
      #expect(status == 0 || run.errors.contains("does not attain pattern"), "\(run.errors)")
    }
  }

  /// Batch normalisation: gates decide by the features as they are, not by those of the program. Sample 0 lies on the
  /// boundary of the gate (1, 1), and so is active.
  @Test(arguments: ["before", "after"]) func batchNormalisationKnowsTheGate(_ place: String) throws
  {
    let folder = try Folder()
    let x = [2.0, -2, 4, -1, -3, 1, 1, 1, -2, -1, 3, -4]
    for (bits, status) in [(UInt8(0b001011), Int32(0)), (0b001010, 1)] {
      var data = Bundle(
        kind: .arrangements,
        tensors: [
          "x": Tensor(x.map { $0 / 3 }, shape: [6, 2]),
          "targets": Tensor([4, -0.5, 1, 0.3, -1, 0.2], shape: [6, 1]),
          "gates": Tensor([1.0, 1], shape: [1, 2]), "patterns": Tensor([bits], shape: [1, 1]),
        ])
      data.metadata["exact"] = "false"
      try folder.write(data, "data")
      let run = try Tools.shell(
        """
        solve --quiet --activation gated-relu --batch-norm \(place) --beta 0.5 data -o solution &&
          recover solution -o network && evaluate --quiet --data data --certify solution network
        """, in: folder)
      #expect(run.status == status, "\(bits): \(run.text) \(run.errors)")
      #expect(status == 0 || run.errors.contains("does not attain pattern"), "\(run.errors)")
    }
  }

  /// A row of zeros is active for every gate, in whatever coordinates the program has.
  @Test func aRowOfZerosIsHonestWithBatchNormalisation() throws {
    let folder = try Folder()
    try Data("1,0.2,1\n-0.5,1,-2\n0.3,-0.7,0.5\n0,0,0.3\n".utf8).write(
      to: folder.url.appendingPathComponent("data.csv"))
    let run = try Tools.shell(
      """
      tensor from-csv --targets 3 data.csv | arrangements --quiet --sample 4 -o data &&
        solve --quiet --activation gated-relu --batch-norm before --beta 0.05 data -o solution &&
        recover solution -o network && evaluate --quiet --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.text) \(run.errors)")
  }
}
