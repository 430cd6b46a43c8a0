import Schema
import Tensors
import Testing

@testable import Convex

@Suite struct MagnitudesTests {
  @Test func whatOverflowsIsRefused() throws {
    func message(_ body: () throws -> Void) -> String? {
      do { try body() } catch { return (error as? Failure)?.message }
      return nil
    }
    #expect(message { try Magnitudes.expect(1e75, "the targets") } == nil)
    for size in [1.1e75, .infinity, .nan] {
      #expect(
        message { try Magnitudes.expect(size, "the targets") }?.hasPrefix(
          "the targets are too large")
          == true)
    }
    let good = Bundle(
      kind: .solution, tensors: ["dual": Tensor([1.0])],
      metadata: ["beta": "1", "classes": "nan,inf"])
    #expect(message { try good.expectFiniteNumbers() } == nil)
    var bad = good
    bad.metadata["primal_objective"] = "inf"
    #expect(
      message { try bad.expectFiniteNumbers() }?.contains("\"primal_objective\" is \"inf\"") == true
    )
    bad = good
    bad.tensors["dual"] = Tensor([Double.nan])
    #expect(message { try bad.expectFiniteNumbers() }?.contains("\"dual\"") == true)
    bad = good
    bad.metadata["classes"] = "nan"
    #expect(message { try bad.expectFiniteNumbers() } == nil, "a name, not a number")
  }
}
