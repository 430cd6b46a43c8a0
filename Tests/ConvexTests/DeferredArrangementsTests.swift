import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// Deferred images of 2 × 3 pixels, patches of one pixel column or whole images.
private func deferred(_ n: Int, _ change: (inout Bundle) -> Void = { _ in }) -> Bundle {
  var random = RandomSource(seed: 1)
  var bundle = Bundle(
    kind: .dataset,
    tensors: [
      "images": Tensor((0..<n * 6).map { _ in UInt8(random.below(256)) }, shape: [n, 1, 2, 3]),
      "pool": Tensor([Int32(0)]),
    ],
    metadata: [
      "flatten": "true", "scale": "-1,1", "pool": "1", "center": "false", "bias": "true",
      "channels": "1", "height": "2", "width": "3", "dtype": "F32",
    ])
  change(&bundle)
  return bundle
}

@Suite struct DeferredArrangementsTests {
  @Test func patternsOfDeferredDataAreThoseOfTheGates() throws {
    let data = deferred(70)
    let rows = try DataRows(data)
    #expect(rows.isDeferred && rows.count == 70 && rows.dimension == 7 && rows.hasConstant)
    let x = try rows.matrix()
    let drawn = try SampledGates(rows, count: 40, sampler: .samples, cut: 0.4, seed: 3)
    let known = Set((0..<70).map { copied(x.row($0), 7) })
    for k in 0..<drawn.gates.rows { #expect(known.contains(copied(drawn.gates.row(k), 7))) }
    let bundle = drawn.bundle(source: data, isExact: false, bound: .infinity, metadata: [:])
    #expect(bundle.tensors["patterns"] == nil && bundle.tensors["images"] != nil)
    let read = try ArrangementData(bundle)
    #expect(read.features.values == x.values)
    #expect(read.patterns.count == drawn.gates.rows && read.patterns.rows == 70)
    for i in 0..<read.patterns.count {
      let gate = copied(drawn.gates.row(i), 7)
      for j in 0..<70 {
        let value = inner(gate, copied(x.row(j), 7)) - drawn.thresholds![i]
        if abs(value) > 1e-12 { #expect((value >= 0) == read.patterns.isActive(i, row: j)) }
      }
    }
  }

  @Test func patternsAreOfAllPatchesInTheOrderOfX() throws {
    var random = RandomSource(seed: 4)
    let values = (0..<23 * 5 * 3).map { _ in random.gaussian() }
    let bundle = Bundle(
      kind: .dataset,
      tensors: [
        "x": Tensor(values, shape: [23, 5, 3]), "pool": Tensor([1, 0, 1, 0, 1] as [Int32]),
      ])
    let found = try sampled(
      DataRows(bundle), count: 50, sampler: .gaussian, cut: 0.2, seed: 1)
    #expect(found.patterns.rows == 115 && found.patterns.stride == 15)
    for p in 0..<found.patterns.count {
      let gate = copied(found.gates.row(p), 3)
      let cut = 0.2 * inner(gate, gate).squareRoot()
      for i in 0..<23 {
        for k in 0..<5 {
          let j = i * 5 + k
          let value = inner(gate, Array(values[j * 3..<j * 3 + 3])) - cut
          #expect((value >= 0) == found.patterns.isActive(p, row: j))
        }
      }
    }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    func gated(_ change: (inout Bundle) -> Void) -> Bundle {
      deferred(9) {
        $0.metadata["kind"] = "arrangements"
        $0.tensors["gates"] = Tensor([Double](repeating: 1, count: 14), shape: [2, 7])
        change(&$0)
      }
    }
    #expect(try ArrangementData(gated { _ in }).patterns.count == 2)
    let cases: [(String, (inout Bundle) -> Void)] = [
      ("no tensor \"gates\"", { $0.tensors["gates"] = nil }),
      ("expected F64 [P, 7]", { $0.tensors["gates"] = Tensor(type: .f64, shape: [2, 6]) }),
      ("there are no patterns", { $0.tensors["gates"] = Tensor(type: .f64, shape: [0, 7]) }),
      ("expected F64 [2]", { $0.tensors["thresholds"] = Tensor([1.0]) }),
      ("expected U8 [2, 2]", { $0.tensors["patterns"] = Tensor(type: .u8, shape: [2, 1]) }),
      (
        "expected 1",
        {
          $0.metadata.merge(
            ["flatten": "false", "size": "1", "stride": "1", "padding": "0"]) { $1 }
          $0.tensors["pool"] = Tensor([Int32](repeating: 0, count: 6))
        }
      ),
    ]
    for (phrase, change) in cases {
      #expect {
        try ArrangementData(gated(change))
      } throws: {
        let message = ($0 as? Failure)?.message ?? ""
        return message.contains(phrase)
      }
    }
  }
}
