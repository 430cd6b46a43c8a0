import LinearAlgebra
import Testing

@testable import Convex

/// The best points of a solve, with dual values by hand: ν·y − ½ν² for the squared loss.
@Suite struct IncumbentTests {
  private let targets = Matrix(2, 2, [3, 1, 4, 0])

  private func incumbent(isSeparable: Bool) -> Incumbent<String> {
    Incumbent(SquaredLoss(), targets: targets, beta: 1, zero: "zero", isSeparable: isSeparable)
  }

  @Test func itBeginsWithTheNetworkThatIsZero() {
    let best = incumbent(isSeparable: false)
    #expect(best.weights == "zero" && best.primal == 13 && best.dualValue == 0)
    #expect(best.gap == 1)
  }

  @Test func onlyBetterPrimalPointsAreTaken() {
    let best = incumbent(isSeparable: false)
    let predictions = Matrix(2, 2, [1, 1, 1, 1])
    best.offer(primal: 5, predictions: predictions) { $0 = "better" }
    best.offer(primal: 6, predictions: Matrix(2, 2)) { $0 = "worse" }
    #expect(best.weights == "better" && best.primal == 5)
    #expect(best.predictions.values == [1, 1, 1, 1])
  }

  /// A norm of 10 allows a tenth of ν; of a norm of 0.5 the best multiple is ν = y itself.
  @Test func dualPointsAreScaledIntoTheirConstraints() {
    let best = incumbent(isSeparable: false)
    best.offer(dual: targets, largest: 10)
    #expect(best.dual.values.elementsEqual([0.3, 0.1, 0.4, 0]) { abs($0 - $1) < 1e-15 })
    #expect(abs(best.dualValue - (2.6 - 0.13)) < 1e-14)
    best.offer(dual: targets, largest: 100)
    #expect(abs(best.dualValue - (2.6 - 0.13)) < 1e-14)
    best.offer(dual: targets, largest: 0.5)
    #expect(best.dual.values == targets.values && best.dualValue == 13)
  }

  /// The first column may keep all of its ν, the second a fifth only.
  @Test func separableColumnsAreScaledByThemselves() {
    let best = incumbent(isSeparable: true)
    best.offer(dual: targets, largest: [1, 5])
    #expect(best.dual.values.elementsEqual([3, 0.2, 4, 0]) { abs($0 - $1) < 1e-15 })
    #expect(abs(best.dualValue - (12.5 + 0.18)) < 1e-14)
    // A better first column does not bring a worse second one with it.
    best.offer(dual: targets, largest: [1, 50])
    #expect(abs(best.dual[0, 1] - 0.2) < 1e-15)
    let joint = incumbent(isSeparable: false)
    joint.offer(dual: targets, largest: [1, 5])
    #expect(abs(joint.dual[0, 0] - 0.6) < 1e-15)
  }

  @Test func freePlacesMayBeImproved() {
    let best = incumbent(isSeparable: false)
    best.offer(dual: targets, largest: 10) { $0[1, 0] = 4 }
    #expect(best.dual[1, 0] == 4 && abs(best.dual[0, 0] - 0.3) < 1e-15)
  }
}
