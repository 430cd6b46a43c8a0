import LinearAlgebra
import Schema

/// The function that a neuron applies to its product with each patch.
protocol NeuronFunction: Sendable {
  /// sums_j ← Σ_p σ(t_pj) for the products t, `patches` × `neurons`.
  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>)
}

/// σ(t) = a t² + b t + c.
extension PolynomialActivation: NeuronFunction {
  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>
  ) {
    for j in 0..<neurons { sums[j] = 0 }
    for p in 0..<patches {
      let row = products + p * neurons
      for j in 0..<neurons { sums[j] += (a * row[j] + b) * row[j] }
    }
    let constant = c * Double(patches)
    for j in 0..<neurons { sums[j] += constant }
  }
}

/// σ(t) = max(0, t).
struct RectifiedLinear: NeuronFunction {
  func sum(
    _ products: UnsafePointer<Double>, patches: Int, neurons: Int,
    into sums: UnsafeMutablePointer<Double>
  ) {
    for j in 0..<neurons { sums[j] = 0 }
    for p in 0..<patches {
      let row = products + p * neurons
      for j in 0..<neurons { sums[j] += row[j] > 0 ? row[j] : 0 }
    }
  }
}
