import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

@testable import Training

/// A problem for networks: patches of n samples in two interleaved regions where there are more than one, and
/// answers as the loss wants them.
struct Problem {
  let bundle: Bundle
  let source: PatchSource
  let targets: Targets
  /// n × K × d.
  let x: [Double]
  /// The region of each patch.
  let region: [Int]

  init(_ loss: LossName, patches: Int, classes: Int = 3, n: Int = 9, d: Int = 4, seed: Int = 1)
    throws
  {
    var random = RandomSource(seed: seed)
    x = (0..<n * patches * d).map { _ in Double(Float(random.gaussian())) }
    region = (0..<patches).map { patches > 1 ? $0 % 2 : 0 }
    let labels = (0..<n).map { Int32($0 % classes) }
    bundle = Bundle(
      kind: .dataset,
      tensors: [
        "x": Tensor(x.map { Float($0) }, shape: [n, patches, d]),
        "pool": Tensor(region.map { Int32($0) }), "labels": Tensor(labels),
      ])
    source = try PatchSource(bundle)
    targets = try Targets(bundle, samples: n, loss: loss)
  }

  var regions: Int { region.max()! + 1 }
}

/// The objective of a network, in double precision by the definition.
struct Reference {
  let problem: Problem
  let activation: Activation
  let penalty: WeightPenalty
  let beta: Double
  let gates: NeuronGates?
  let m: Int

  private func sigma(_ t: Double, _ neuron: Int, _ x: ArraySlice<Double>) -> Double {
    switch activation {
    case .relu: return max(0, t)
    case .linear, .circular: return t
    case .quantized: preconditionFailure("not trained by gradients")
    case .polynomial(let p): return p.a * t * t + p.b * t + p.c
    case .gatedReLU:
      let g = gates!
      let product = zip(x, 0...).reduce(0.0) { $0 + $1.0 * g.vectors[neuron, $1.1] }
      return product >= g.thresholds[neuron] ? t : 0
    }
  }

  /// ŷ for filters u (m × d) and output weights a (Rm × C).
  func predictions(_ u: [Double], _ a: [Double]) -> Matrix {
    let (n, width) = (problem.source.count, problem.targets.values.columns)
    let (count, d) = (problem.source.patchCount, problem.source.dimension)
    let result = Matrix(n, width)
    for i in 0..<n {
      for j in 0..<m {
        for k in 0..<count {
          let x = problem.x[(i * count + k) * d..<(i * count + k + 1) * d]
          let t = zip(x, u[j * d..<(j + 1) * d]).reduce(0.0) { $0 + $1.0 * $1.1 }
          let r = problem.region[k]
          let size = problem.region.count { $0 == r }
          for c in 0..<width {
            result[i, c] += a[(r * m + j) * width + c] * sigma(t, j, x) / Double(size)
          }
        }
      }
    }
    return result
  }

  func penaltyValue(_ u: [Double], _ a: [Double]) -> Double {
    let (d, width) = (problem.source.dimension, problem.targets.values.columns)
    var sum = 0.0
    for j in 0..<m {
      var (square, absolute, filter) = (0.0, 0.0, 0.0)
      for k in j * d..<(j + 1) * d { filter += u[k] * u[k] }
      for r in 0..<problem.regions {
        for k in (r * m + j) * width..<(r * m + j + 1) * width {
          square += a[k] * a[k]
          absolute += abs(a[k])
        }
      }
      switch penalty {
      case .decay: sum += 0.5 * (filter + square)
      case .group: sum += 0.5 * (filter + absolute * absolute)
      case .l1: sum += absolute
      }
    }
    return sum
  }

  /// The mean loss of some samples and β/n times the penalty.
  func value(_ u: [Double], _ a: [Double], _ samples: [Int]) -> Double {
    let all = predictions(u, a)
    let width = all.columns
    let (chosen, wanted) = (Matrix(samples.count, width), Matrix(samples.count, width))
    for (place, i) in samples.enumerated() {
      for c in 0..<width {
        chosen[place, c] = all[i, c]
        wanted[place, c] = problem.targets.values[i, c]
      }
    }
    let n = Double(problem.source.count)
    return problem.targets.loss.loss.value(chosen, wanted) / Double(samples.count)
      + beta / n * penaltyValue(u, a)
  }
}

func doubles(_ matrix: SingleMatrix) -> [Double] {
  (0..<matrix.count).map { Double(matrix.base[$0]) }
}

/// (f(x + h e_k) − f(x − h e_k)) / 2h for every k.
func differences(_ x: [Double], _ f: ([Double]) -> Double) -> [Double] {
  x.indices.map { k in
    var (above, below) = (x, x)
    above[k] += 1e-6
    below[k] -= 1e-6
    return (f(above) - f(below)) / 2e-6
  }
}

func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count)
  return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}
