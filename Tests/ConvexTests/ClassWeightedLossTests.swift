import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// A loss that multiplies by weights is the loss of samples that occur so many times.
@Suite struct ClassWeightedLossTests {
  private static let weights = ClassWeights([3, 1, 2])!
  private static let labels = (0..<30).map { ($0 * 7 + $0 / 4) % 3 }

  /// Entries of the targets (n × C) with and without weights, and predictions.
  private static func example(_ name: LossName, seed: Int = 1)
    -> (loss: any Loss, f: Matrix, y: Matrix, plain: Matrix)
  {
    var random = RandomSource(seed: seed)
    let two = TargetValues(outputs: 3, loss: name)
    let weighting = ClassWeighting(weights, two)
    let n = labels.count
    let f = Matrix(n, 3, (0..<3 * n).map { _ in 1.5 * random.gaussian() })
    let (y, plain) = (Matrix(n, 3), Matrix(n, 3))
    for (i, label) in labels.enumerated() {
      for c in 0..<3 {
        y[i, c] = weighting.entry(label, isSecond: c == label, name)
        plain[i, c] = c == label ? two.second : two.first
      }
    }
    return (name.loss(weighting), f, y, plain)
  }

  private func same(_ a: Double, _ b: Double, _ tolerance: Double = 1e-10) -> Bool {
    abs(a - b) <= tolerance * max(1, abs(a), abs(b))
  }

  /// Rows of `matrix`, each as often as its sample weighs.
  private func repeated(_ matrix: Matrix) -> Matrix {
    let rows = ClassWeightedLossTests.labels.enumerated().flatMap { i, label in
      (0..<Int(ClassWeightedLossTests.weights.values[label])).map { _ in
        (0..<3).map { matrix[i, $0] }
      }
    }
    return Matrix(rows.count, 3, rows.flatMap { $0 })
  }

  @Test(arguments: LossName.allCases) func valuesAreThoseOfRepeatedSamples(_ name: LossName) {
    let (loss, f, y, plain) = ClassWeightedLossTests.example(name)
    #expect(same(loss.value(f, y), name.loss.value(repeated(f), repeated(plain))))
    // ν of a sample is the sum of those of its copies.
    let (nu, base) = (Matrix(30, 3), Matrix(30, 3))
    loss.residual(f, y, into: nu)
    name.loss.residual(f, plain, into: base)
    for (i, label) in ClassWeightedLossTests.labels.enumerated() {
      let w = ClassWeightedLossTests.weights.values[label]
      for c in 0..<3 { #expect(same(nu[i, c], w * base[i, c])) }
    }
    #expect(same(loss.dualValue(nu, y), name.loss.dualValue(repeated(base), repeated(plain))))
    let (curvature, plainCurvature) = (Matrix(30, 3), Matrix(30, 3))
    loss.curvature(f, y, into: curvature)
    name.loss.curvature(f, plain, into: plainCurvature)
    for (i, label) in ClassWeightedLossTests.labels.enumerated() {
      let w = ClassWeightedLossTests.weights.values[label]
      for c in 0..<3 { #expect(same(curvature[i, c], w * plainCurvature[i, c])) }
    }
  }

  /// r (z − v) = −∇ℓ(z), by Fenchel's equality, and the rows stay in the domain.
  @Test(arguments: LossName.allCases, [0.05, 1.0, 20.0])
  func theProxIsTheMinimum(_ name: LossName, _ penalty: Double) {
    let (loss, v, y, _) = ClassWeightedLossTests.example(name)
    let (z, nu) = (Matrix(30, 3), Matrix(30, 3))
    loss.prox(v, y, penalty: penalty, into: z)
    for k in 0..<v.count { nu.base[k] = penalty * (z.base[k] - v.base[k]) }
    loss.restrict(nu, y)
    for k in 0..<v.count { #expect(same(nu.base[k], penalty * (z.base[k] - v.base[k]), 1e-8)) }
    #expect(same(loss.value(z, y) - loss.dualValue(nu, y), -inner(nu.values, z.values), 1e-8))
  }

  @Test(arguments: LossName.allCases) func theScalingIsTheBestOfAll(_ name: LossName) {
    let (loss, f, y, _) = ClassWeightedLossTests.example(name)
    let nu = Matrix(30, 3)
    loss.residual(f, y, into: nu)
    for bound in [1e-3, 0.3, 1.0, 10.0, 1e300] {
      let s = loss.scaling(nu, y, bound: bound)
      #expect(abs(s) <= bound)
      func value(_ s: Double) -> Double {
        loss.dualValue(Matrix(30, 3, nu.values.map { s * $0 }), y)
      }
      let best = value(s)
      #expect(best.isFinite)
      for step in -200...200 {
        let other = value(min(bound, 10) * Double(step) / 200)
        #expect(other <= best + 1e-9 * max(1, abs(best)), "\(name), \(bound): \(s)")
      }
    }
  }

  /// The terms of interior-point methods: ν in the domain, and W⁻¹ the inverse of the curvature at it.
  @Test(arguments: LossName.allCases) func theTermsOfInteriorPointMethodsAreWeighted(
    _ name: LossName
  ) throws {
    let (loss, f, y, _) = ClassWeightedLossTests.example(name)
    let start = Matrix(30, 3)
    loss.residual(f, y, into: start)
    for k in 0..<start.count { start.base[k] *= 0.5 }
    let turned = start.transposed
    let term = try #require(DualTerm(loss, y))
    for k in 0..<turned.count {
      let a = term.signs[k] * turned.base[k]
      #expect(a >= term.low(k) && a <= term.high(k))
      // φ'' is the derivative of φ'.
      let h = 1e-6
      let slope = (term.slope(a + h, k) - term.slope(a - h, k)) / (2 * h)
      #expect(same(slope, term.curvature(a, k), 1e-5))
    }
    let terms: any LossTerms =
      BoxLossTerms(loss, y.transposed, start: turned, mu: 0.1)
      ?? SmoothLossTerms(loss, y.transposed, start: turned)
    terms.refresh(f.transposed)
    for k in 0..<turned.count { #expect(same(terms.nu.base[k], turned.base[k], 1e-9)) }
    guard !(terms is BoxLossTerms) else { return }
    for k in 0..<turned.count {
      #expect(same(terms.inverse.base[k], term.curvature(term.signs[k] * turned.base[k], k), 1e-9))
    }
    let move = Matrix(3, 30, turned.values.map { -0.1 * $0 })
    terms.move(1, move)
    let moved = terms.nu.transposed
    #expect(loss.dualValue(moved, y).isFinite)
  }

  @Test func balancedWeightsMakeClassesWeighTheSame() {
    let weights = ClassWeights(balancing: [0, 0, 0, 1, 3, 3], of: 4)
    #expect(weights.values == [6.0 / 9, 2, 1, 1])
    #expect(ClassWeights.parse("[0.5,2.0]")?.values == [0.5, 2])
    for text in ["[]", "[0,1]", "[-1,1]", "1,2", "[1,nan]", "[1,2", ""] {
      #expect(ClassWeights.parse(text) == nil, "\(text)")
    }
    #expect(ClassWeights.parse(weights.text) == weights)
    #expect(ClassWeightChoice.parse("balanced") == .balanced)
    #expect(ClassWeightChoice.parse("1,0") == nil && ClassWeightChoice.parse("even") == nil)
  }
}
