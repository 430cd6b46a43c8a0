import Evaluation
import Testing

/// Σ λ u² + 2 w·u for a diagonal matrix.
private func value(_ eigenvalues: [Double], _ weights: [Double], _ u: [Double]) -> Double {
  eigenvalues.indices.reduce(0) {
    $0 + eigenvalues[$1] * u[$1] * u[$1] + 2 * weights[$1] * u[$1]
  }
}

private func bound(_ eigenvalues: [Double], _ weights: [Double]) -> SphereBound {
  let top = eigenvalues.max()!
  return SphereBound(top: top, gaps: eigenvalues.map { top - $0 }, weights: weights)
}

@Test func noPointOfTheSphereExceedsTheBoundAndOneAttainsIt() {
  var generator = SeededGenerator(5)
  for d in [1, 2, 3, 7] {
    for round in 0..<40 {
      let eigenvalues = generator.signed(d)
      let scale = [1e-8, 1e-3, 1, 100][round % 4]
      let weights = generator.signed(d).map { $0 * scale }
      let found = bound(eigenvalues, weights)
      for _ in 0..<500 {
        #expect(value(eigenvalues, weights, generator.unit(d)) <= found.value)
      }
      // The maximiser u = (μI − A)⁻¹ g, which has length 1 outside the hard case.
      let top = eigenvalues.max()!
      let u = (0..<d).map { weights[$0] / (found.shift + (top - eigenvalues[$0])) }
      #expect(abs(u.reduce(0) { $0 + $1 * $1 } - 1) < 1e-6)
      let attained = value(eigenvalues, weights, u)
      #expect(abs(attained - found.value) < 1e-6 * scale + 1e-12)
    }
  }
}

@Test func theHardCase() {
  // g is orthogonal to the top eigenspace and short: the maximum takes up length there.
  let hard = bound([1, 1, -1], [0, 0, 0.5])
  #expect(hard.shift == 0)
  // u₃ = 0.5/2, the rest along the top: 1 + 0.25/2.
  #expect(abs(hard.value - 1.125) < 1e-13)
  // On the border, and beyond it.
  #expect(abs(bound([1, -1], [0, 2]).value - 3) < 1e-13)
  #expect(abs(bound([1, -1], [0, 5]).value - 9) < 1e-13)
  // Nearly hard: continuous in the weights.
  #expect(abs(bound([1, 1, -1], [1e-12, 0, 0.5]).value - 1.125) < 1e-11)
  #expect(abs(bound([1, 1, -1], [1e-200, 0, 0.5]).value - 1.125) < 1e-13)
}

@Test func boundsOfTrivialQuadratics() {
  #expect(bound([0, 0], [0, 0]).value == 0)
  #expect(abs(bound([2, 2], [0, 0]).value - 2) < 1e-13)
  #expect(abs(bound([0, 0], [3, 4]).value - 10) < 1e-13)
  #expect(abs(bound([-7], [-3]).value - -1) < 1e-13)
}
