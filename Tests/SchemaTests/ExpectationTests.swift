import Schema
import Tensors
import Testing

private func message(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return (error as? Failure)?.message
  }
}

@Test func expectationsNameWhatCameAndWhatWasExpected() throws {
  let bundle = Bundle(
    kind: .dataset,
    tensors: ["x": Tensor([1.0, .nan], shape: [2, 1]), "labels": Tensor([UInt8(0), 1])],
    metadata: ["gap": "four", "beta": "0.5"])
  #expect(message { try bundle.expect(.dataset, .moments) } == nil)
  #expect(
    message { try bundle.expect(.images, .moments) }
      == "bundle is a bundle of kind \"dataset\", expected images or moments")
  #expect(message { try Bundle().expect(.images) }?.contains("no \"kind\"") == true)
  #expect(message { _ = try bundle.require("x", [.f32, .f64], ["[n, d]", "[n, K, d]"]) } == nil)
  #expect(
    message { _ = try bundle.require("labels", [.i32], ["[n]"]) }
      == "tensor \"labels\" of bundle is U8 [2], expected I32 [n]")
  #expect(
    message { _ = try bundle.require("x", [.f64], ["[n]"]) }
      == "tensor \"x\" of bundle is F64 [2, 1], expected F64 [n]")
  #expect(message { _ = try bundle.require("w", [.f64], ["[n]"]) } == "bundle has no tensor \"w\"")
  #expect(try bundle.optional("w", [.f64], ["[n]"]) == nil)
  #expect(
    message { _ = try bundle.read(.gap) }
      == "metadata \"gap\" of bundle is \"four\", expected a number")
  #expect(message { _ = try bundle.read(.relativeGap) }?.contains("no \"relative_gap\"") == true)
  #expect(try bundle.read(.beta) == 0.5)
  #expect(
    message { try bundle.tensors["x"]!.expectFinite("x") }
      == "tensor \"x\" holds 1 value that is not finite (NaN or infinity)")
  #expect(message { try bundle.tensors["labels"]!.expectFinite("labels") } == nil)
}

@Test func samplesAreCountedWhereTheKindHasThem() throws {
  #expect(
    try sampleCount(.dataset, [("x", [5, 2]), ("mean", [2]), ("labels", [5])], in: "b") == 5)
  #expect(
    message { _ = try sampleCount(.dataset, [("x", [5, 2]), ("labels", [4])], in: "b") }
      == "tensor \"x\" of b has 5 rows, but tensor \"labels\" has 4")
  #expect(message { _ = try sampleCount(.dataset, [("x", [])], in: "b") }?.contains("[]") == true)
  #expect(message { _ = try sampleCount(.dataset, [("mean", [2])], in: "b") } != nil)
}
