import LinearAlgebra
import Schema
import Tensors

/// A solution of a joint program: min ℓ(Σ_k F_k W_k) + β Σ_k ‖W_k‖ over gates on several kinds of patches of the same
/// samples. A dual point is feasible if it is so for the gates of each kind.
package struct JointSolution: Solution {
  let parts: [PatternSolution]

  package var program: SolvedProgram { parts[0].program }
  package var variables: String { "\"part.….w\"" }
  package var needsPatterns: Bool { true }
  package var penalty: Double { parts.reduce(0) { $0 + $1.penalty } }

  /// Takes over a bundle of kind `solution` that has parts.
  package init(_ bundle: Bundle) throws {
    parts = try JointBundle.split(bundle).map { part in
      guard try part.read(.activation) == .gatedReLU else {
        throw Failure.data(
          "\(bundle.name) has parts, which only gated-relu networks have")
      }
      return try PatternSolution(part)
    }
  }

  package func check(against examples: Examples) throws {
    try examples.expectParts(parts.count, of: program.name)
    for (part, own) in zip(parts, examples.parts) {
      guard own.count == part.program.samples else {
        throw Failure.data(
          "\(own.name) has \(own.count) samples, but \(program.name) has \(part.program.samples)")
      }
      try part.check(against: own)
    }
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let outputs = Matrix(expected.rows, expected.columns)
    var objections: [String] = []
    var (largest, rounding) = (0.0, 0.0)
    for (part, own) in zip(parts, examples.parts) {
      let found = try part.findings(on: own, dual: dual.values, with: nil)
      guard found.largestConstraint.isFinite else {
        throw Failure.data("the dual constraints of \(part.program.name) overflow")
      }
      axpy(outputs.count, 1, found.outputs.base, outputs.base)
      (largest, rounding) = (
        max(largest, found.largestConstraint), max(rounding, found.rounding)
      )
      if let objection = part.objection(toGatesOf: own, found) { objections.append(objection) }
    }
    let proof = Certificate(
      dual, scope: .gates, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty,
      primalInfeasibility: 0, predictionError: largestDifference(outputs, program.predictions),
      largestConstraint: largest, rounding: rounding, objections: objections)
    return (proof, nil)
  }

  package func scope(on examples: Examples) throws -> Scope { .gates }

  package func featureScale(on examples: Examples) -> Double {
    zip(parts, examples.parts).reduce(0) { max($0, $1.0.featureScale(on: $1.1)) }
  }
}

/// The network of a joint program: the sum of the outputs of its parts.
package struct JointNetwork: NetworkFunction {
  let parts: [any NetworkFunction]
  let name: String

  package var kind: Activation { parts[0].kind }
  package var outputs: Int { parts[0].outputs }
  package var neurons: Int { parts.reduce(0) { $0 + $1.neurons } }
  package var penalty: Double { parts.reduce(0) { $0 + $1.penalty } }
  /// Those of the first part: filters of other patches are no picture beside them.
  package var filters: Matrix { parts[0].filters }
  package var outputWeight: Matrix { parts[0].outputWeight }

  package func check(against examples: Examples) throws {
    try examples.expectParts(parts.count, of: name)
    for (part, own) in zip(parts, examples.parts) { try part.check(against: own) }
  }

  package func values(on examples: Examples) throws -> Matrix {
    let result = Matrix(examples.count, outputs)
    for (part, own) in zip(parts, examples.parts) {
      let values = try part.values(on: own)
      axpy(result.count, 1, values.base, result.base)
    }
    return result
  }

  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    guard let solution = solution as? JointSolution, solution.parts.count == parts.count else {
      return ["\(name) has \(parts.count) parts, but \(solution.program.name) has others"]
    }
    var found: [String] = []
    for (k, part) in parts.enumerated() {
      found += try part.objections(to: solution.parts[k], on: examples.parts[k])
    }
    return found
  }
}

extension Examples {
  /// These samples, and the same with other patches.
  var parts: [Examples] { [self] + others }

  /// Throws unless there are `count` parts, as the bundle `name` has.
  func expectParts(_ count: Int, of name: String) throws {
    guard parts.count == count else {
      throw Failure.data(
        "\(name) has \(count) part\(count == 1 ? "" : "s"), but there \(parts.count == 1 ? "is" : "are") "
          + "\(parts.count) of data: --data is for the first, and --with for each further one")
    }
  }

  /// These samples with `others`, which have other patches of them. Throws `Failure.data` if they have other labels or
  /// targets.
  package func joined(with others: [Examples]) throws -> Examples {
    for other in others {
      guard other.count == count else {
        throw Failure.data(
          "\(other.name) has \(other.count) samples, but \(name) has \(count): they must be the same samples"
        )
      }
      if let mine = sampleNames, let theirs = other.sampleNames, mine != theirs {
        throw Failure.data(
          "the names of the samples of \(other.name) are not those of \(name): they must be the same samples in the same order"
        )
      }
      guard other.answers == answers else {
        throw Failure.data(
          "the labels or targets of \(other.name) are not those of \(name): they must be the same samples"
        )
      }
    }
    var result = self
    result.others = others
    return result
  }
}
