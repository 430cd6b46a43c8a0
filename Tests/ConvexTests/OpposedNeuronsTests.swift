import LinearAlgebra
import Testing

@testable import Convex

@Suite struct OpposedNeuronsTests {
  private let program = ArrangementProgram(activation: .relu, norm: .group, loss: .squared)

  private func solution(_ v: [[Double]], _ w: [[Double]], primal: Double) -> ArrangementSolution {
    func matrix(_ rows: [[Double]]) -> Matrix {
      Matrix(rows.count, rows[0].count, rows.flatMap { $0 })
    }
    return ArrangementSolution(
      index: Array(v.indices), positive: [matrix(v)], negative: [matrix(w)], dual: Matrix(1, 1),
      predictions: Matrix(1, 1), status: .stalled, primal: primal, dualValue: 0, iterations: 1)
  }

  @Test func theyCancel() throws {
    // v of the first pattern and w of the second have the direction (3, 4)/5: 10 − 5 of it stay.
    let before = solution([[6, 8], [0, 1]], [[0, 0], [3, 4]], primal: 20)
    let after = try #require(before.withoutOpposedNeurons(program, beta: 0.5))
    #expect(after.primal == 20 - 0.5 * 10)
    #expect(after.index == [0, 1])
    #expect(zip(after.positive[0].values, [3, 4, 0, 1]).allSatisfy { abs($0 - $1) < 1e-14 })
    #expect(after.negative[0].values == [0, 0, 0, 0])
    // What takes more than is there changes its side.
    let other = try #require(
      solution([[3, 4], [0, 1]], [[0, 0], [6, 8]], primal: 20)
        .withoutOpposedNeurons(program, beta: 0.5))
    #expect(zip(other.negative[0].values, [3, 4, 0, 0]).allSatisfy { abs($0 - $1) < 1e-14 })
    #expect(zip(other.positive[0].values, [0, 0, 0, 1]).allSatisfy { abs($0 - $1) < 1e-14 })
  }

  @Test func othersStay() {
    #expect(
      solution([[6, 8], [0, 1]], [[0, 0], [4, 3]], primal: 20)
        .withoutOpposedNeurons(program, beta: 0.5) == nil)
    // Of the same sign there is nothing to gain.
    #expect(
      solution([[6, 8], [3, 4]], [[0, 0], [0, 0]], primal: 20)
        .withoutOpposedNeurons(program, beta: 0.5) == nil)
  }
}
