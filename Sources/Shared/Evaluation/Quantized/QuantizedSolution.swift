import LinearAlgebra
import Schema
import Tensors

/// A solution of the program of quantised networks: neurons (x · u)(x · v) with u and v of ±1, the norm d Σ |a_j|, and the dual
/// constraint max over u of ‖S_c u‖₁ ≤ β d with S_c = Σ ν_ic x_i x_iᵀ, which is found by trying all u.
package struct QuantizedSolution: Solution {
  package let program: SolvedProgram
  private let neurons: QuantizedNeurons
  /// The semidefinite bounds, if it has them.
  private let relaxation: SignRelaxationPoints?

  package let variables = "\"hidden.left\", \"hidden.right\" and \"output.weight\""
  package let needsPatterns = false
  package var penalty: Double { neurons.penalty }

  /// The most features for which all 2^(d − 1) signs are tried; beyond, the relaxation's λ proves the constraint.
  private static let largest = 24

  /// Takes over a bundle of kind `solution` and activation `quantized`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    guard program.loss == .squared else {
      throw Failure.data(
        "\(bundle.name) has another loss than squared, expected that for quantized")
    }
    try bundle.expectOnly(
      [.hiddenLeft, .hiddenRight, .outputWeight] + RelaxationKey.tensors,
      metadata: [RelaxationKey.lower, RelaxationKey.upper])
    neurons = try QuantizedNeurons(bundle)
    relaxation = try SignRelaxationPoints(
      bundle, samples: program.samples, outputs: program.outputs, dimension: neurons.dimension)
    guard neurons.outputs == program.outputs else {
      throw Failure.data(
        "tensor \"output.weight\" of \(bundle.name) has \(neurons.outputs) rows, expected \(program.outputs)"
      )
    }
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1,
      examples.dimension == neurons.dimension
    else {
      throw Failure.data(
        "\(examples.summary), expected samples of one patch with \(neurons.dimension) features for \(program.name)"
      )
    }
    guard neurons.dimension <= QuantizedSolution.largest || relaxation != nil else {
      throw Failure.data(
        "\(program.name) has \(neurons.dimension) features, but no tensor \"relaxation.lambda\": signs of at most "
          + "\(QuantizedSolution.largest) can be tried")
    }
  }

  package func scope(on examples: Examples) throws -> Scope { .global }

  package func featureScale(on examples: Examples) -> Double {
    guard case .patches(let patches) = examples.features, let x = try? examples.matrix(of: patches)
    else { return 0 }
    return (0..<x.rows).reduce(0) { largest, i in
      let sum = (0..<x.columns).reduce(0) { $0 + abs(x[i, $1]) }
      return max(largest, sum * sum / Double(x.columns))
    }
  }

  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let outputs = neurons.values(on: x)
    let dual = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let d = Double(x.columns)
    var (largest, size) = (0.0, 0.0)
    for c in 0..<dual.values.columns {
      let s = QuantizedSolution.form(x, dual.values.column(c))
      let bound =
        if x.columns <= QuantizedSolution.largest {
          QuantizedSolution.largest(s)
        } else {
          try relaxation!.bound(of: s, output: c, in: program.name)
        }
      largest = max(largest, bound / d)
    }
    for i in 0..<x.rows {
      let sum = (0..<x.columns).reduce(0) { $0 + abs(x[i, $1]) }
      size +=
        sum * sum / d * (0..<dual.values.columns).reduce(0) { max($0, abs(dual.values[i, $1])) }
    }
    let proof = Certificate(
      dual, scope: .global, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty,
      primalInfeasibility: 0, predictionError: largestDifference(outputs, program.predictions),
      largestConstraint: largest, rounding: Double.ulpOfOne * size)
    let objections =
      try relaxation?.objections(
        x, expected, beta: program.beta, objective: proof.primalObjective, of: program.name) ?? []
    return (proof.adding(objections), nil)
  }

  package func bounds(on examples: Examples, expected: Matrix) throws -> [(String, Double)] {
    guard let relaxation, case .patches(let patches) = examples.features else { return [] }
    let found = try relaxation.values(
      try examples.matrix(of: patches), expected, beta: program.beta, of: program.name)
    return [(RelaxationKey.lower, found.lower), (RelaxationKey.upper, found.upper)]
  }

  /// S = Σ ν_i x_i x_iᵀ, as if summed in twice the precision.
  static func form(_ x: Matrix, _ nu: [Double]) -> Matrix {
    let d = x.columns
    let result = Matrix(d, d)
    for a in 0..<d {
      for b in 0...a {
        var sum = CompensatedSum()
        for i in 0..<x.rows { sum.add(nu[i] * x[i, a], times: x[i, b]) }
        (result[a, b], result[b, a]) = (sum.value, sum.value)
      }
    }
    return result
  }

  /// max over u of ±1 of ‖S u‖₁: u is cut into two halves, S u is the sum of a row of one table and a row of the other.
  private static func largest(_ s: Matrix) -> Double {
    let d = s.rows
    let lower = d / 2
    // The last sign of the second half stays: −u has the value of u.
    let first = table(s, 0..<lower, free: lower)
    let second = table(s, lower..<d, free: d - lower - 1)
    var best = [Double](repeating: 0, count: second.rows)
    best.withUnsafeMutableBufferPointer { best in
      nonisolated(unsafe) let best = best
      Threads.split(second.rows) { own in
        for i in own {
          let b = second.row(i)
          var largest = 0.0
          for j in 0..<first.rows {
            let a = first.row(j)
            var sum = 0.0
            for k in 0..<d { sum += abs(a[k] + b[k]) }
            largest = max(largest, sum)
          }
          best[i] = largest
        }
      }
    }
    return (best.max() ?? 0) * (1 + Double(d + 2) * Double.ulpOfOne)
  }

  /// Σ_k u_k S_k over the rows `range` of S, for all signs of the first `free` of them, the others being 1: 2^free × d.
  private static func table(_ s: Matrix, _ range: Range<Int>, free: Int) -> Matrix {
    let d = s.rows
    let result = Matrix(1 << free, d)
    for code in 0..<result.rows {
      for (place, k) in range.enumerated() {
        axpy(d, code >> place & 1 == 1 ? -1 : 1, s.row(k), result.row(code))
      }
    }
    return result
  }
}

extension QuantizedNeurons {
  /// d Σ |a_j|.
  var penalty: Double {
    var sum = CompensatedSum()
    for weight in weights { sum.add(abs(weight), times: Double(dimension)) }
    return sum.value
  }

  /// Σ_j a_cj (x · u_j)(x · v_j), n × C.
  func values(on x: Matrix) -> Matrix {
    let result = Matrix(x.rows, outputs)
    for i in 0..<x.rows {
      var sums = [CompensatedSum](repeating: CompensatedSum(), count: outputs)
      for j in 0..<count {
        var (a, b) = (0.0, 0.0)
        for k in 0..<dimension {
          a += x[i, k] * left[j * dimension + k]
          b += x[i, k] * right[j * dimension + k]
        }
        for c in 0..<outputs where weights[c * count + j] != 0 {
          sums[c].add(weights[c * count + j], times: a * b)
        }
      }
      for c in 0..<outputs { result[i, c] = sums[c].value }
    }
    return result
  }
}

/// A quantised network.
package struct QuantizedNetwork: NetworkFunction {
  package let kind = Activation.quantized
  private let layer: QuantizedNeurons
  package var outputs: Int { layer.outputs }
  package var neurons: Int { layer.count }
  package var penalty: Double { layer.penalty }
  package var filters: Matrix { Matrix(layer.count, layer.dimension, layer.left) }
  package var outputWeight: Matrix { Matrix(layer.outputs, layer.count, layer.weights) }

  /// Takes over a bundle of kind `network` and activation `quantized`.
  package init(_ bundle: Bundle) throws {
    try bundle.expectOnly([.hiddenLeft, .hiddenRight, .outputWeight])
    layer = try QuantizedNeurons(bundle)
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1,
      examples.dimension == layer.dimension
    else {
      throw Failure.data(
        "\(examples.summary), expected samples of one patch with \(layer.dimension) features, as \"hidden.left\" has"
      )
    }
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    return layer.values(on: try examples.matrix(of: patches))
  }
}
