import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct RegularizationPathTests {
  @Test func valuesOfBeta() {
    let path = RegularizationPath(from: 100, to: 1e-2, count: 4)
    #expect(path.betas.count == 4 && path.betas.last == 1e-2)
    #expect(zip(path.betas, [10, 1, 0.1, 0.01]).allSatisfy { abs($0 / $1 - 1) < 1e-12 })
    #expect(RegularizationPath(from: 100, to: 3, count: 1).betas == [3])
    #expect(RegularizationPath(from: 1, to: 3, count: 5).betas == [3])
    #expect(RegularizationPath(from: 0, to: 3, count: 5).betas == [3])
  }

  private func choose(
    _ problem: Problem, _ validation: Problem, method: PolynomialMethod = .auto, count: Int = 6,
    iterations: Int = .max
  ) throws -> (RegularizationPath.Choice<PolynomialSolver.Point>, PolynomialSolver) {
    let bundle = problem.dataset()
    let data = try MomentData(bundle)
    let targets = try Targets(bundle, samples: problem.n)
    let held = try Validation(validation.dataset(), like: bundle, data, targets)
    let solver = try PolynomialSolver(data, targets: targets.values, activation: usual)
    solver.method = method
    var rule = StoppingRule()
    rule.gap = 1e-6
    rule.maximumIterations = iterations
    let path = RegularizationPath(from: solver.betaMax, to: 1e-4 * solver.betaMax, count: count)
    let choice = try path.choose(
      solver, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      validation: held, from: .cold
    ) { _, _ in }
    return (choice, solver)
  }

  /// Targets that a neuron makes, with much noise, so that neither end of the path is best.
  private func noisy(_ n: Int, seed: Int) -> Problem {
    var problem = Problem(n: n, pool: [0, 1], d: 4, seed: seed)
    var random = RandomSource(seed: seed, stream: 3)
    let u = [0.5, -0.5, 0.5, 0.5]
    for i in 0..<n {
      problem.y[i] = 3 * problem.neuron(i, 0, u, usual) + 0.7 * random.gaussian()
    }
    return problem
  }

  @Test func takesTheBestByValidation() throws {
    let (problem, validation) = (noisy(80, seed: 81), noisy(300, seed: 82))
    let (choice, solver) = try choose(problem, validation)
    #expect(choice.steps.count == 6 && choice.steps[0].score?.measure == "loss")
    let losses = choice.steps.compactMap { $0.score?.loss }
    #expect(losses.count == 6)
    #expect(losses.allSatisfy { $0 > 0 })
    let best = try #require(losses.indices.min { losses[$0] < losses[$1] })
    #expect(choice.beta == choice.steps[best].beta)
    #expect(best > 0 && best < 5, "the test needs an optimum inside the path")
    #expect(choice.metadata["validation_loss"] == "\(losses[best])")
    // Each step is a solution: the same optimum as alone, from the start; the loss is its own.
    for step in choice.steps {
      let alone = try problem.solve(beta: step.beta, gap: 1e-6)
      #expect(abs(step.primal - alone.primal) <= 2e-6 * alone.primal)
      #expect(step.primal - step.dual <= 1e-6 * step.primal)
      let predictions = solver.predictions(
        alone.blocks, on: try MomentData(validation.dataset()))
      let loss = zip(predictions.values, validation.y).reduce(0) {
        $0 + 0.5 * ($1.0 - $1.1) * ($1.0 - $1.1)
      }
      #expect(abs(loss - (step.score?.loss ?? .nan)) < 1e-2 * loss)
    }
    let (other, _) = try choose(problem, validation, method: .admm)
    #expect(abs(other.beta - choice.beta) <= 1e-12 * choice.beta)
  }

  @Test func ofEqualAccuracyTheSmallerLossIsBetter() {
    func score(_ accuracy: Double?, _ loss: Double) -> ValidationScore {
      ValidationScore(accuracy: accuracy, loss: loss)
    }
    #expect(score(0.9, 5).isBetter(than: score(0.8, 1)))
    #expect(!score(0.8, 1).isBetter(than: score(0.9, 5)))
    #expect(score(0.9, 1).isBetter(than: score(0.9, 2)))
    #expect(score(nil, 1).isBetter(than: score(nil, 2)))
    // Of equals the first stays.
    #expect(!score(0.9, 1).isBetter(than: score(0.9, 1)))
    #expect(score(nil, 1).isBetter(than: score(nil, .nan)))
    #expect(!score(nil, .nan).isBetter(than: score(nil, 1)))
  }

  @Test func aLimitEndsThePath() throws {
    let (choice, _) = try choose(noisy(80, seed: 81), noisy(50, seed: 82), iterations: 3)
    #expect(choice.steps.count < 6 && !choice.steps.isEmpty)
  }

  /// The last point of a path that a limit ended is no solution: one that was solved is chosen instead.
  @Test func whatALimitCutShortIsNotChosen() throws {
    var cutShort = 0
    for iterations in 1...60 {
      let (choice, _) = try choose(noisy(80, seed: 81), noisy(50, seed: 82), iterations: iterations)
      guard let last = choice.steps.last, choice.steps.count > 1 else { continue }
      if last.primal - last.dual > 1e-6 * last.primal { cutShort += 1 }
      let chosen = choice.steps[choice.best]
      #expect(chosen.primal - chosen.dual <= 1e-6 * chosen.primal, "\(iterations) iterations")
    }
    #expect(cutShort > 0, "the test needs a path that ends within a solve")
  }

  @Test func validationMustFit() throws {
    let problem = Problem(n: 20, pool: [0, 1], d: 3, classes: 2)
    let bundle = problem.dataset()
    let data = try MomentData(bundle)
    let targets = try Targets(bundle, samples: 20)
    func refused(_ change: (inout Bundle) -> Void, _ part: String) {
      var other = problem.dataset()
      change(&other)
      do {
        _ = try Validation(other, like: bundle, data, targets)
        Issue.record("accepted: \(part)")
      } catch {
        #expect((error as? Failure)?.message.contains(part) == true, "\(error)")
      }
    }
    _ = try Validation(problem.momentBundle(), like: bundle, data, targets)
    refused({ $0 = Problem(n: 20, pool: [0, 0], d: 3, classes: 2).dataset() }, "1 regions")
    refused({ $0 = Problem(n: 20, pool: [0, 1], d: 2, classes: 2).dataset() }, "of 2 features")
    refused({ $0 = Problem(n: 20, pool: [0, 1], d: 3).dataset() }, "2 columns")
    refused({ $0.tensors["mean"] = Tensor([1.0, 2, 3]) }, "\"mean\"")
    refused({ $0.tensors["whiten"] = Tensor([1.0, 2, 3], shape: [3, 1]) }, "--like")
    refused(
      {
        $0.tensors["targets"] = nil
        $0.tensors["labels"] = Tensor((0..<20).map { Int32($0 % 2) })
      }, "has labels")
    refused(
      { $0.tensors["x"] = Tensor([Double](repeating: .nan, count: 120), shape: [20, 2, 3]) },
      "not finite")
  }
}
