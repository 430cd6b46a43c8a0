import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// Targets that a loss is defined for, n × C, and predictions.
private func example(_ loss: LossName, n: Int = 40, seed: Int = 1) -> (f: Matrix, y: Matrix) {
  var random = RandomSource(seed: seed)
  let outputs = loss == .crossEntropy ? 4 : 2
  let f = Matrix(n, outputs, (0..<n * outputs).map { _ in 2 * random.gaussian() })
  let y = Matrix(n, outputs)
  for j in 0..<n {
    for c in 0..<outputs {
      switch loss {
      case .crossEntropy: y[j, c] = j % outputs == c ? 1 : 0
      case .logistic, .hinge: y[j, c] = random.gaussian() < 0 ? -1 : 1
      default: y[j, c] = random.gaussian()
      }
    }
  }
  return (f, y)
}

private func same(_ a: Double, _ b: Double, _ tolerance: Double) -> Bool {
  abs(a - b) <= tolerance * max(1, abs(a), abs(b))
}

@Suite struct LossTests {
  @Test(arguments: LossName.allCases) func theResidualIsMinusTheGradient(_ name: LossName) {
    let loss = name.loss
    let (f, y) = example(name)
    let (r, curvature) = (Matrix(f.rows, f.columns), Matrix(f.rows, f.columns))
    loss.residual(f, y, into: r)
    loss.curvature(f, y, into: curvature)
    let h = 1e-5
    var checked = 0
    for k in 0..<f.count {
      // Where the loss has a kink within reach there is no derivative to compare with.
      if name == .hinge, abs(1 - y.base[k] * f.base[k]) < 1e-3 { continue }
      if name == .quantile(0.5), abs(y.base[k] - f.base[k]) < 1e-3 { continue }
      if name == .huber, abs(abs(f.base[k] - y.base[k]) - 1) < 1e-3 { continue }
      let kept = f.base[k]
      func at(_ z: Double) -> (value: Double, slope: Double) {
        f.base[k] = z
        let slope = Matrix(f.rows, f.columns)
        loss.residual(f, y, into: slope)
        return (loss.value(f, y), -slope.base[k])
      }
      let (high, low) = (at(kept + h), at(kept - h))
      f.base[k] = kept
      #expect(same((high.value - low.value) / (2 * h), -r.base[k], 1e-6))
      #expect(same((high.slope - low.slope) / (2 * h), curvature.base[k], 1e-6))
      checked += 1
    }
    #expect(checked > f.count / 2)
  }

  /// ℓ(f) + ℓ*(−ν) = −νᵀf for ν = −∇ℓ(f), and ≥ for any other ν.
  @Test(arguments: LossName.allCases) func theConjugateMeetsFenchelsEquality(_ name: LossName) {
    let loss = name.loss
    let (f, y) = example(name)
    let (other, _) = example(name, seed: 2)
    let (nu, far) = (Matrix(f.rows, f.columns), Matrix(f.rows, f.columns))
    loss.residual(f, y, into: nu)
    loss.residual(other, y, into: far)
    let left = loss.value(f, y) - loss.dualValue(nu, y)
    #expect(same(left, -inner(nu.values, f.values), 1e-10))
    let apart = loss.value(f, y) - loss.dualValue(far, y) + inner(far.values, f.values)
    #expect(apart > 1e-3)
  }

  @Test(arguments: LossName.allCases, [0.05, 1.0, 20.0])
  func theProxIsTheMinimum(_ name: LossName, _ penalty: Double) {
    let loss = name.loss
    let (v, y) = example(name)
    let z = Matrix(v.rows, v.columns)
    loss.prox(v, y, penalty: penalty, into: z)
    // r (z − v) = −∇ℓ(z): by Fenchel's equality also where there is only a subgradient.
    let nu = Matrix(v.rows, v.columns)
    for k in 0..<v.count { nu.base[k] = penalty * (z.base[k] - v.base[k]) }
    loss.restrict(nu, y)
    for k in 0..<v.count {
      #expect(same(nu.base[k], penalty * (z.base[k] - v.base[k]), 1e-9))
    }
    #expect(same(loss.value(z, y) - loss.dualValue(nu, y), -inner(nu.values, z.values), 1e-9))
    // The start does not matter.
    let again = Matrix(v.rows, v.columns, v.values.map { 50 - 3 * $0 })
    loss.prox(v, y, penalty: penalty, into: again)
    #expect(relativeDistance(z, again) < 1e-9)
  }

  @Test(arguments: LossName.allCases) func theScalingIsTheBestOfAll(_ name: LossName) {
    let loss = name.loss
    let (f, y) = example(name)
    let nu = Matrix(f.rows, f.columns)
    loss.residual(f, y, into: nu)
    for bound in [1e-3, 0.3, 1.0, 10.0] {
      let s = loss.scaling(nu, y, bound: bound)
      #expect(abs(s) <= bound)
      func value(_ s: Double) -> Double {
        loss.dualValue(Matrix(nu.rows, nu.columns, nu.values.map { s * $0 }), y)
      }
      let best = value(s)
      #expect(best.isFinite)
      for step in -200...200 {
        #expect(value(bound * Double(step) / 200) <= best + 1e-9 * max(1, abs(best)))
      }
    }
  }

  @Test(arguments: LossName.allCases) func directionsOutsideTheDomainAreRefused(_ name: LossName) {
    let loss = name.loss
    let (_, y) = example(name)
    let nu = Matrix(y.rows, y.columns)
    #expect(loss.dualValue(nu, y).isFinite)
    #expect(loss.scaling(nu, y, bound: 1) * 0 == 0)
    guard name != .squared else { return }
    // Beyond the domain by a little, in one entry; the row's sum stays 0.
    nu[3, 0] =
      name == .quantile(0.5)
      ? 0.5 + 1e-9 : name == .huber ? 1 + 1e-9 : (y[3, 0] > 0 ? 1 : y[3, 0]) * (1 + 1e-9)
    if name == .crossEntropy { nu[3, 0] = y[3, 0] + 1e-6 }
    if name == .crossEntropy { nu[3, 1] = -nu[3, 0] }
    #expect(loss.dualValue(nu, y) == -.infinity)
    loss.restrict(nu, y)
    #expect(loss.dualValue(nu, y).isFinite)
  }

  @Test func theEdgesOfTheDomainHaveTheirValues() {
    let y = Matrix(2, 1, [1, -1])
    let edge = Matrix(2, 1, [1, 0])
    #expect(LogisticLoss().dualValue(edge, y) == 0)
    #expect(HingeLoss().dualValue(edge, y) == 1)
    #expect(HuberLoss().dualValue(Matrix(2, 1, [1, -1]), y) == 1)
    let one = Matrix(1, 3, [0, 1, 0])
    #expect(CrossEntropyLoss().dualValue(Matrix(1, 3), one) == 0)
    #expect(CrossEntropyLoss().dualValue(Matrix(1, 3, [-1, 1, 0]), one) == 0)
  }

  @Test(arguments: LossName.allCases) func largePredictionsStayFinite(_ name: LossName) {
    let loss = name.loss
    let (f, y) = example(name)
    for size in [1e3, 1e8] {
      let far = Matrix(f.rows, f.columns, f.values.map { size * $0 })
      let nu = Matrix(f.rows, f.columns)
      loss.residual(far, y, into: nu)
      #expect(loss.value(far, y).isFinite && nu.isFinite)
      let z = Matrix(f.rows, f.columns)
      loss.prox(far, y, penalty: 1e-3, into: z)
      #expect(z.isFinite)
    }
  }

  @Test func targetsOfAnotherKindAreRefused() {
    let one = Matrix(3, 1, [1, -1, 0.5])
    for name in [LossName.logistic, .hinge] {
      #expect(throws: Failure.self) { try name.loss.expect(one, name: "t") }
      #expect(throws: Never.self) { try name.loss.expect(Matrix(2, 1, [1, -1]), name: "t") }
    }
    let loss = CrossEntropyLoss()
    #expect(throws: Failure.self) { try loss.expect(one, name: "t") }
    #expect(throws: Failure.self) { try loss.expect(Matrix(1, 2, [0.5, 0.6]), name: "t") }
    #expect(throws: Failure.self) { try loss.expect(Matrix(1, 2, [1.5, -0.5]), name: "t") }
    #expect(throws: Never.self) { try loss.expect(Matrix(1, 2, [0.25, 0.75]), name: "t") }
  }
}
