import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors
import Testing

@testable import Training

private let polynomial = PolynomialActivation(a: 0.3, b: -0.5, c: 0.7)

private struct Combination: CustomTestStringConvertible {
  let activation: Activation
  let penalty: WeightPenalty
  let patches: Int
  var testDescription: String { "\(activation.text) \(penalty) \(patches)" }
}

private let combinations: [Combination] = [1, 6].flatMap { patches in
  [
    (Activation.relu, WeightPenalty.decay), (.relu, .group), (.relu, .l1),
    (.gatedReLU, .group), (.gatedReLU, .decay), (.linear, .decay), (.polynomial(polynomial), .l1),
  ].map { Combination(activation: $0, penalty: $1, patches: patches) }
}

/// A model with weights drawn, and its reference.
private func model(
  _ combination: Combination, _ problem: Problem, m: Int = 5, plan: StepPlan? = nil
) throws -> (NetworkModel, Reference) {
  let d = problem.source.dimension
  var gates: NeuronGates?
  if combination.activation == .gatedReLU { gates = NeuronGates(neurons: m, features: d, seed: 3) }
  var settings = NetworkModel.Settings()
  settings.activation = combination.activation
  settings.penalty = combination.penalty
  settings.neurons = m
  settings.beta = 0.4
  let model = try NetworkModel(
    problem.source, problem.targets, settings, gates: gates, validation: nil, plan: plan)
  var random = RandomSource(seed: 5)
  model.initialize(&random)
  return (
    model,
    Reference(
      problem: problem, activation: combination.activation, penalty: combination.penalty, beta: 0.4,
      gates: gates, m: m)
  )
}

@Suite struct GradientTests {
  @Test(arguments: combinations, LossName.allCases)
  fileprivate func gradientsAreThoseOfFiniteDifferences(
    _ combination: Combination, _ loss: LossName
  ) throws {
    // Two classes have one output, but for cross-entropy.
    for (classes, samples) in [(3, Array(0..<9)), (2, [7, 2, 4])] {
      let problem = try Problem(loss, patches: combination.patches, classes: classes)
      let (model, reference) = try model(combination, problem)
      let gradient = model.gradient(samples)
      let (u, a) = (doubles(model.parameters.hidden), doubles(model.parameters.output))
      var hidden = differences(u) { reference.value($0, a, samples) }
      if combination.penalty == .l1 {
        // Tangent to the sphere.
        let d = problem.source.dimension
        for j in 0..<reference.m {
          let radial = (j * d..<(j + 1) * d).reduce(0.0) { $0 + u[$1] * hidden[$1] }
          for k in j * d..<(j + 1) * d { hidden[k] -= radial * u[k] }
        }
      }
      let output = differences(a) { reference.value(u, $0, samples) }
      #expect(largestDifference(doubles(gradient.hidden), hidden) < 2e-5)
      #expect(largestDifference(doubles(gradient.output), output) < 2e-5)
      // The differences tell something.
      #expect(hidden.contains { abs($0) > 1e-2 } && output.contains { abs($0) > 1e-2 })
    }
  }

  @Test func gradientsDoNotDependOnHowTheWorkIsDivided() throws {
    for combination in combinations {
      let problem = try Problem(.squared, patches: combination.patches)
      let expected = try model(combination, problem).0
      let whole = expected.gradient(Array(0..<9))
      for (parts, chunk, sums) in [(2, 2, true), (2, 4, false), (3, 1, true), (12, 3, false)] {
        let plan = StepPlan(parts: parts, chunk: chunk, sums: sums)
        let other = try model(combination, problem, plan: plan).0
        let gradient = other.gradient(Array(0..<9))
        #expect(largestDifference(doubles(gradient.hidden), doubles(whole.hidden)) < 1e-5)
        #expect(largestDifference(doubles(gradient.output), doubles(whole.output)) < 1e-5)
        let predictions = (other.predictions().values, expected.predictions().values)
        #expect(largestDifference(predictions.0, predictions.1) < 1e-5)
      }
    }
  }

  @Test(arguments: combinations)
  fileprivate func predictionsAndPenaltiesAreThoseOfTheDefinition(_ combination: Combination)
    throws
  {
    let problem = try Problem(.squared, patches: combination.patches)
    let (model, reference) = try model(combination, problem)
    let (u, a) = (doubles(model.parameters.hidden), doubles(model.parameters.output))
    #expect(
      largestDifference(model.predictions().values, reference.predictions(u, a).values) < 1e-5)
    #expect(abs(model.penalty - reference.penaltyValue(u, a)) < 1e-9)
    if combination.penalty == .l1 {
      for j in 0..<5 {
        let length = (0..<4).reduce(0.0) { $0 + u[j * 4 + $1] * u[j * 4 + $1] }
        #expect(abs(length - 1) < 1e-6)
      }
    }
  }

  @Test(arguments: MatrixForm.allCases, LossName.allCases)
  func gradientsOfMatricesAreThoseOfFiniteDifferences(_ form: MatrixForm, _ loss: LossName) throws {
    let problem = try Problem(loss, patches: 6)
    let data = try MomentData(problem.bundle)
    let model = try MatrixModel(
      data, problem.targets, activation: polynomial, form: form, beta: 0.4,
      optimizer: OptimizerSettings(), batch: 9)
    var random = RandomSource(seed: 2)
    model.initialize(&random)
    let samples = [8, 1, 5, 2]
    let gradient = doubles(model.gradient(samples))
    let parameters = doubles(model.parameters)
    let expected = differences(parameters) {
      matrixObjective($0, problem, form, beta: 0.4, samples).value
    }
    #expect(largestDifference(gradient, expected) < 2e-4)
    #expect(expected.contains { abs($0) > 0.1 })
    let all = matrixObjective(parameters, problem, form, beta: 0.4, Array(0..<9))
    #expect(largestDifference(model.predictions().values, all.predictions.values) < 1e-4)
    #expect(abs(model.penalty - all.penalty) < 1e-4)
  }
}

/// The objective of the matrices, divided by the number of samples, patch by patch.
private func matrixObjective(
  _ p: [Double], _ problem: Problem, _ form: MatrixForm, beta: Double, _ samples: [Int]
) -> (value: Double, predictions: Matrix, penalty: Double) {
  let (count, d) = (problem.source.patchCount, problem.source.dimension)
  let (m, size) = (d + 1, d * d + d + 1)
  let width = problem.targets.values.columns
  let predictions = Matrix(samples.count, width)
  let wanted = Matrix(samples.count, width)
  var penalty = 0.0
  for c in 0..<width {
    for r in 0..<problem.regions {
      for sign in [1.0, -1] {
        let start = ((c * problem.regions + r) * 2 + (sign > 0 ? 0 : 1)) * size
        let z = Matrix(m, m)
        for i in 0..<d {
          for j in 0..<d { z[i, j] = p[start + i * d + j] }
          z[i, d] = p[start + d * d + i]
          z[d, i] = z[i, d]
        }
        z[d, d] = p[start + size - 1]
        let matrix: Matrix
        switch form {
        case .free: matrix = z
        case .symmetric:
          matrix = Matrix(copying: z)
          matrix.symmetrize()
        case .psd: matrix = product(z, .plain, z, .transposed)
        }
        penalty += matrix[d, d]
        let patches = problem.region.indices.filter { problem.region[$0] == r }
        for (place, i) in samples.enumerated() {
          wanted[place, c] = problem.targets.values[i, c]
          for k in patches {
            let x = Array(problem.x[(i * count + k) * d..<(i * count + k + 1) * d])
            var sum = polynomial.c * matrix[d, d]
            for s in 0..<d {
              sum += polynomial.b * x[s] * matrix[s, d]
              for t in 0..<d { sum += polynomial.a * x[s] * x[t] * matrix[s, t] }
            }
            predictions[place, c] += sign * sum / Double(patches.count)
          }
        }
      }
    }
  }
  let loss = problem.targets.loss.loss.value(predictions, wanted) / Double(samples.count)
  return (loss + beta / Double(problem.source.count) * penalty, predictions, penalty)
}
