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
}
