import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

private func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return (error as? Failure)?.message ?? "\(error)"
  }
}

@Suite struct MomentDataTests {
  private let problem = Problem(n: 37, pool: [1, 0, 1, 2, 2], d: 3, classes: 2, seed: 91)

  @Test func patchesBecomeMoments() throws {
    let expected = Matrix(37, 27, problem.moments)
    for bundle in [
      problem.dataset(), problem.dataset(single: true), problem.momentBundle(),
    ] {
      let data = try MomentData(bundle)
      #expect(data.samples == 37 && data.regions == 3 && data.features == 3)
      #expect(data.width == 9 && data.rowLength == 27)
      let rows = Matrix(37, 27)
      data.fill(0..<37, into: rows.base)
      #expect(relativeDistance(rows, expected) < 1e-14)
      for workers in [1, 2, 5, 37] {
        let seen = Matrix(37, 27)
        data.forEachBlock(workers: workers) { _, range, source in
          seen.row(range.lowerBound).update(from: source, count: range.count * 27)
        }
        #expect(seen.values == rows.values)
      }
    }
  }

  @Test func theTwoProductsAreAdjoint() throws {
    var random = RandomSource(seed: 92)
    for bundle in [problem.dataset(), problem.momentBundle(), problem.momentBundle(single: true)] {
      let data = try MomentData(bundle)
      for classes in [1, 3] {
        let (weights, dual) = (random.matrix(classes, 27), random.matrix(37, classes))
        let constants = random.signed(classes)
        let predictions = data.predictions(weights, constants: constants)
        let adjoint = data.adjoint(dual)
        var (left, right) = (0.0, 0.0)
        for c in 0..<classes {
          for i in 0..<37 { left += dual[i, c] * (predictions[i, c] - constants[c]) }
          right += inner(
            copied(weights.row(c), 27), copied(adjoint.row(c), 27))
        }
        #expect(abs(left - right) < 1e-12)
      }
    }
  }

  @Test func oneRowASampleIsOnePatch() throws {
    let bundle = Bundle(kind: .dataset, tensors: ["x": Tensor([1.0, 2, 3, 4], shape: [2, 2])])
    let data = try MomentData(bundle)
    #expect(data.samples == 2 && data.features == 2 && data.regions == 1)
    let rows = Matrix(2, 5)
    data.fill(0..<2, into: rows.base)
    #expect(
      zip(rows.values[..<5], [1, 2 * 2.0.squareRoot(), 4, 1, 2]).allSatisfy {
        abs($0 - $1) < 1e-15
      })
  }

  @Test func badShapesAreNamed() {
    func data(_ tensors: [String: Tensor], _ kind: Kind = .dataset) -> String {
      message { _ = try MomentData(Bundle(kind: kind, tensors: tensors)) }
    }
    func x(_ shape: Int...) -> Tensor { Tensor(type: .f64, shape: shape) }
    func pool(_ regions: Int32...) -> [String: Tensor] {
      ["x": x(2, 2, 3), "pool": Tensor(regions)]
    }
    #expect(data(["x": x(2, 3)], .network).contains("kind"))
    #expect(data([:]).contains("no tensor \"x\""))
    #expect(data(["x": Tensor([1 as Int32], shape: [1, 1])]).contains("F32"))
    #expect(data(["x": x(2, 3, 4, 5)]).contains("[n, K, d]"))
    #expect(data(["x": x(0, 2, 3)]).contains("no samples"))
    #expect(data(["x": x(2, 0, 3)]).contains("no patches"))
    #expect(data(["x": x(2, 3, 0)]).contains("no features"))
    // Dimensions that hold nothing can be as large as they like.
    #expect(data(["x": x(0, 1, 1 << 59)]).contains("no samples"))
    #expect(data(["x": x(1, 0, 1 << 59)]).contains("no patches"))
    #expect(data(["moments": x(0, 1, 1 << 59)], .moments).contains("no samples"))
    #expect(data(["moments": x(1, 0, 1 << 59)], .moments).contains("no regions"))
    #expect(data(["moments": x(2, 1, 0)], .moments).contains("d(d+1)/2+d"))
    #expect(data(["moments": x(2, 1, 6)], .moments).contains("d(d+1)/2+d"))
    #expect(data(["moments": x(2, 5)], .moments).contains("[n, R, d(d+1)/2+d]"))
    #expect(data(pool(0, 1, 0)).contains("one region a patch"))
    #expect(data(pool(0, -1)).contains("holds -1"))
    #expect(data(pool(1, 1)).contains("no patch in region 0"))
    #expect(data(pool(0, 2_000_000_000)).contains("holds 2000000000"))
    #expect(data(pool(0, 0)) == "no error")
  }

  @Test func whatCannotFitIsRefused() {
    // d = 60,000 in two samples: the Gram matrix of 1.8 · 10⁹ features would take more than any machine.
    let bundle = Bundle(
      kind: .dataset, tensors: ["x": Tensor(type: .f32, shape: [300, 1, 60_000])])
    let text = message {
      _ = try PolynomialSolver(
        MomentData(bundle), targets: Matrix(300, 1), activation: usual)
    }
    #expect(text.contains("GB"))
  }

  @Test func whatIsNotFiniteIsNamed() {
    for n in [5, 60] {
      var problem = Problem(n: n, d: 3)
      problem.x[n * 3] = .nan
      #expect(message { _ = try problem.solver() }.contains("tensor \"x\" holds 1 value"))
      problem.x[n * 3] = 1e200
      #expect(message { _ = try problem.solver() }.contains("overflow"))
      problem.x[n * 3] = 1
      problem.y[0] = 1e200
      #expect(message { _ = try problem.solver() }.contains("targets are too large"))
    }
  }
}

@Suite struct TargetsTests {
  private func labels(_ values: [Int32], _ classes: String? = nil) -> Bundle {
    var bundle = Bundle(kind: .dataset, tensors: ["labels": Tensor(values)])
    bundle.metadata["classes"] = classes
    return bundle
  }

  @Test func classesBecomeNumbers() throws {
    let two = try Targets(labels([0, 1, 1], "cat,dog"), samples: 3)
    #expect(
      two.values.values == [-1, 1, 1] && two.classCount == 2
        && two.targetValues == TargetValues(-1, 1))
    let levels = try Targets(labels([0, 1, 1]), samples: 3, targetValues: TargetValues(0, 1))
    #expect(levels.values.values == [0, 1, 1])
    let three = try Targets(labels([2, 0]), samples: 2)
    #expect(three.values.values == [0, 0, 1, 1, 0, 0] && three.classCount == 3)
    let regression = Bundle(
      kind: .dataset, tensors: ["targets": Tensor([Float(1), 2, 3, 4], shape: [2, 2])])
    let numbers = try Targets(regression, samples: 2)
    #expect(numbers.values.values == [1, 2, 3, 4] && numbers.labels == nil)
    #expect(numbers.classCount == 0 && numbers.targetValues == nil)
  }

  @Test func accuracyAndLoss() throws {
    let two = try Targets(labels([0, 1, 1]), samples: 3, targetValues: TargetValues(0, 1))
    #expect(two.accuracy(Matrix(3, 1, [0.4, 0.6, 0.49])) == 2.0 / 3)
    let inverted = try Targets(labels([0, 1]), samples: 2, targetValues: TargetValues(1, -1))
    #expect(inverted.accuracy(Matrix(2, 1, [0.2, -5])) == 1)
    let three = try Targets(labels([2, 0]), samples: 2)
    #expect(three.accuracy(Matrix(2, 3, [0, 0.1, 0.2, 0.3, 0.3, -1])) == 1)
    #expect(three.accuracy(Matrix(2, 3, [0.2, 0.1, 0.2, 0.3, 0.4, -1])) == 0)
    #expect(three.lossValue(Matrix(2, 3)) == 1)
  }

  @Test func validationFollowsTheTrainingData() throws {
    let training = try Targets(labels([0, 1, 2], "a,b,c"), samples: 3)
    // One class only, and no names: still three outputs.
    let held = try Targets(labels([1, 1]), samples: 2, like: training)
    #expect(held.values.values == [0, 1, 0, 0, 1, 0])
    let levels = try Targets(labels([0, 1]), samples: 2, targetValues: TargetValues(3, 5))
    #expect(try Targets(labels([1]), samples: 1, like: levels).values.values == [5])
    #expect(
      message { _ = try Targets(labels([0, 3]), samples: 2, like: training) }
        .contains("label of sample 1 is 3, expected 0 to 2"))
    #expect(
      message { _ = try Targets(labels([0, 1], "a,b,d"), samples: 2, like: training) }
        .contains("classes a,b,d"))
  }

  @Test func badLabelsAreNamed() {
    func failure(_ values: [Int32], _ classes: String? = nil, levels: TargetValues? = nil) -> String
    {
      message { _ = try Targets(labels(values, classes), samples: 4, targetValues: levels) }
    }
    #expect(failure([0, 1, 2]).contains("there are 4 samples"))
    #expect(failure([0, 1, 2, 3], "a,b,c").contains("label of sample 3 is 3, expected 0 to 2"))
    #expect(failure([0, -1, 2, 1]).contains("label of sample 1 is -1"))
    #expect(failure([-1, -1, -1, -1]).contains("label of sample 0 is -1"))
    #expect(failure([0, 1, 2_000_000_000, 1]).contains("label of sample 2 is 2000000000"))
    #expect(failure([1, 1, 1, 1]).contains("one class only"))
    #expect(
      failure([0, 1, 2, 2], levels: TargetValues(0, 1)).contains("--targets is for two classes"))
    var bundle = Bundle(kind: .dataset, tensors: [:])
    #expect(
      message { _ = try Targets(bundle, samples: 1) }.contains("neither \"labels\" nor \"targets\"")
    )
    bundle.tensors["targets"] = Tensor([1.0, .nan])
    #expect(message { _ = try Targets(bundle, samples: 2) }.contains("not finite"))
    #expect(message { _ = try Targets(bundle, samples: 3) }.contains("there are 3 samples"))
    bundle.tensors["targets"] = Tensor(type: .f64, shape: [2, 0])
    #expect(message { _ = try Targets(bundle, samples: 2) }.contains("no columns"))
    bundle.tensors["targets"] = Tensor([1.0, 2])
    #expect(
      message { _ = try Targets(bundle, samples: 2, targetValues: TargetValues(0, 1)) }.contains(
        "--targets"))
  }
}

@Suite struct PolynomialActivationTests {
  @Test func readsThreeNumbers() {
    #expect(PolynomialActivation("0.09,0.5,0.47") == usual)
    #expect(PolynomialActivation("-1e-3,0,2")?.text == "-0.001,0.0,2.0")
    #expect(PolynomialActivation(usual.text) == usual)
    for bad in ["", "1,2", "1,2,3,4", "0,0,0", "1,2,nan", "1,inf,0", "1e400,0,0", "a,b,c", "1,,2"] {
      #expect(PolynomialActivation(bad) == nil, "\(bad)")
    }
  }
}
