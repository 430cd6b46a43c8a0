import Schema
import Tensors
import Testing

@testable import Evaluation

/// What sums over samples fulfil.
@Suite struct SummedConsistencyTests {
  /// Sums of features with this Gram matrix (upper triangle), of 1,000 samples with targets 0 and 1.
  private static func sums(_ gram: [Double], order q: Int) throws -> JudgedSums {
    var bundle = Bundle(
      kind: .statistics,
      tensors: [
        "gram": Tensor(gram),
        "correlations": Tensor([Double](repeating: 0, count: q), shape: [q, 1]),
        "squares": Tensor([500.0]), "target_sums": Tensor([500.0]),
        "sums": Tensor([Double](repeating: 0, count: q)), "samples": Tensor([Int64(1000)]),
        "blocks": Tensor([Int64(2)]),
      ])
    bundle.metadata["design"] = "linear"
    bundle.metadata["activation"] = "linear"
    bundle.metadata["regions"] = "1"
    return try JudgedSums(bundle)
  }

  /// No entry says so, but the eigenvalue −0.8 does.
  @Test func aMatrixWithANegativeEigenvalueIsNoProduct() throws {
    let sums = try SummedConsistencyTests.sums([1, 0.9, -0.9, 1, 0.9, 1], order: 3)
    #expect { try sums.expectProduct() } throws: { "\($0)".contains("eigenvalue") }
    try SummedConsistencyTests.sums([1, 0.9, 0.9, 1, 0.9, 1], order: 3).expectProduct()
  }

  @Test func anEntryIsNotBeyondItsDiagonal() throws {
    let sums = try SummedConsistencyTests.sums([1, 2, 9], order: 2)
    try sums.expectProduct()
    let impossible = try SummedConsistencyTests.sums([1, 3.1, 9], order: 2)
    #expect { try impossible.expectProduct() } throws: { "\($0)".contains("(0, 1)") }
  }

  /// Features that are 0, or the same, are honest.
  @Test func dependentFeaturesAreHonest() throws {
    try SummedConsistencyTests.sums([1, 1, 0, 1, 0, 0], order: 3).expectProduct()
    try SummedConsistencyTests.sums([1e-30, 1e-15, 1], order: 2).expectProduct()
  }
}
