import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct NeuralDecompositionTests {
  private func check(_ z: Matrix, rank: Int, tolerance: Double = 1e-12) {
    let m = z.rows
    let cutoff = 1e-14 * largestEntry(z)
    let neurons = NeuralDecomposition.neurons(z.base, order: m, cutoff: cutoff)
    #expect(neurons.count <= rank)
    var total = 0.0
    for neuron in neurons {
      #expect(neuron.filter.count == m - 1 && neuron.weight > 0)
      #expect(abs(inner(neuron.filter, neuron.filter) - 1) < 1e-14)
      total += neuron.weight
    }
    // The weights are the norm, and the terms add up to Z.
    #expect(abs(total - z[m - 1, m - 1]) <= tolerance * total)
    let sum = Matrix(m, m)
    for neuron in neurons {
      let p = neuron.filter + [1]
      for i in 0..<m { for j in 0..<m { sum[i, j] += neuron.weight * p[i] * p[j] } }
    }
    #expect(relativeDistance(sum, z) < tolerance)
    let composed = Matrix(m, m)
    NeuralDecomposition.compose(neurons, order: m, into: composed.base)
    #expect(relativeDistance(composed, sum) < 1e-14)
  }

  @Test func sumsBackToTheMatrix() {
    var random = RandomSource(seed: 41)
    for m in [2, 3, 6, 20, 49] {
      for rank in [1, 2, 3, 5, m] where rank <= m && m > 2 || rank == 2 {
        for scale in [1e-150, 1, 1e6] {
          let z = random.feasible(m, rank: rank)
          for i in 0..<z.count { z.base[i] *= scale }
          check(z, rank: rank)
        }
      }
    }
  }

  /// Of an even activation Z − Z' alone counts: its eigenvectors, of which there are at most d.
  @Test func evenActivationsHaveOrthonormalNeurons() {
    var random = RandomSource(seed: 45)
    for (m, rank) in [(2, 2), (6, 3), (11, 11)] {
      let (z, other) = (random.feasible(m, rank: rank), random.feasible(m, rank: rank))
      let d = m - 1
      let (positive, negative) = NeuralDecomposition.neurons(
        z.base, minus: other.base, order: m, cutoff: 1e-14)
      #expect(positive.count + negative.count <= min(d, 2 * rank))
      let signed = positive.map { ($0, 1.0) } + negative.map { ($0, -1.0) }
      let sum = Matrix(d, d)
      var total = 0.0
      for (a, (neuron, sign)) in signed.enumerated() {
        #expect(neuron.weight > 0)
        total += neuron.weight
        for (b, other) in signed.enumerated() {
          #expect(abs(inner(neuron.filter, other.0.filter) - (a == b ? 1 : 0)) < 1e-13)
        }
        for i in 0..<d {
          for j in 0..<d { sum[i, j] += sign * neuron.weight * neuron.filter[i] * neuron.filter[j] }
        }
      }
      for i in 0..<d {
        for j in 0..<d { #expect(abs(sum[i, j] - z[i, j] + other[i, j]) < 1e-12 * total) }
      }
      #expect(total <= (z[d, d] + other[d, d]) * (1 + 1e-13))
      withExtendedLifetime((z, other)) {}
    }
  }

  @Test func neuronsOfOneMatrixComeBack() {
    // Z = 2 [u; 1][u; 1]ᵀ has one neuron: u itself.
    var random = RandomSource(seed: 42)
    for d in [1, 4, 9] {
      let u = random.unit(d)
      let p = u + [1]
      let z = Matrix(d + 1, d + 1, p.flatMap { x in p.map { 2 * x * $0 } })
      let neurons = NeuralDecomposition.neurons(z.base, order: d + 1, cutoff: 1e-14)
      #expect(neurons.count == 1)
      #expect(abs((neurons.first?.weight ?? 0) - 2) < 1e-14)
      #expect(zip(neurons.first?.filter ?? [], u).allSatisfy { abs($0 - $1) < 1e-14 })
    }
  }

  @Test func spreadEigenvaluesAreKept() {
    // At a tiny β a block mixes neurons of very different weight: none may be lost.
    var random = RandomSource(seed: 43)
    let m = 8
    let z = Matrix(m, m)
    for k in 0..<m {
      let p = random.unit(m - 1) + [1]
      var weight = 1.0
      for _ in 0..<k { weight *= 1e-1 }
      for i in 0..<m { for j in 0..<m { z[i, j] += weight * p[i] * p[j] } }
    }
    check(z, rank: m)
  }

  @Test func nothingHasNoNeurons() {
    let z = Matrix(4, 4)
    #expect(NeuralDecomposition.neurons(z.base, order: 4, cutoff: 0).isEmpty)
    let composed = Matrix(4, 4)
    composed.fill(3)
    NeuralDecomposition.compose([], order: 4, into: composed.base)
    #expect(composed.values == z.values)
    z[0, 0] = .nan
    #expect(NeuralDecomposition.neurons(z.base, order: 4, cutoff: 0).isEmpty)
  }

  @Test func whatIsCutOffKeepsTheTrace() {
    var random = RandomSource(seed: 44)
    let z = random.feasible(7, rank: 7)
    let values = eigenvalues(z)
    let neurons = NeuralDecomposition.neurons(
      z.base, order: 7, cutoff: 0.5 * (values[3] + values[4]))
    #expect(neurons.count <= 3 && !neurons.isEmpty)
    let sum = Matrix(7, 7)
    NeuralDecomposition.compose(neurons, order: 7, into: sum.base)
    let trace = (0..<6).reduce(0) { $0 + sum[$1, $1] }
    #expect(abs(trace - sum[6, 6]) < 1e-13 * trace)
  }
}
