import Schema

/// The penalty that β multiplies in the training objective of a network with filters u_j (d numbers) and output weights
/// a_j (one for each output and pooling region).
package enum WeightPenalty: String, CaseIterable, Sendable {
  /// ½ Σ_j (‖u_j‖² + ‖a_j‖²): weight decay on both layers. With several output weights its convex form is the nuclear
  /// norm.
  case decay
  /// ½ Σ_j (‖u_j‖² + ‖a_j‖₁²): its convex form has a group for each pattern and output. With one output weight it is
  /// weight decay.
  case group
  /// Σ_j ‖a_j‖₁ with ‖u_j‖ = 1.
  case l1

  /// Its value; `output` are the weights of `regions` regions, each m × `outputs`.
  func value(_ shape: NetworkShape, _ parameters: NetworkParameters) -> Double {
    let (m, d, width) = (shape.neurons, shape.features, shape.outputs)
    var sum = 0.0
    for j in 0..<m {
      var (absolute, square) = (0.0, 0.0)
      for r in 0..<shape.regions {
        let row = parameters.output.row(r * m + j)
        for c in 0..<width {
          let a = Double(row[c])
          absolute += abs(a)
          square += a * a
        }
      }
      if self == .l1 {
        sum += absolute
        continue
      }
      let filter = parameters.hidden.row(j)
      for k in 0..<d {
        let u = Double(filter[k])
        sum += 0.5 * u * u
      }
      sum += self == .decay ? 0.5 * square : 0.5 * absolute * absolute
    }
    return sum
  }

  /// Adds `weight` times its gradient in the rows of the neurons `range`. For `l1` the gradient of the filters keeps
  /// only its part that is tangent to the sphere they lie on.
  func addGradient(
    _ weight: Float, _ shape: NetworkShape, _ parameters: NetworkParameters,
    _ gradient: NetworkParameters, _ range: Range<Int>
  ) {
    let (m, d, width) = (shape.neurons, shape.features, shape.outputs)
    for j in range {
      let (u, g) = (parameters.hidden.row(j), gradient.hidden.row(j))
      if self == .l1 {
        var radial: Float = 0
        for k in 0..<d { radial += u[k] * g[k] }
        for k in 0..<d { g[k] -= radial * u[k] }
      } else {
        for k in 0..<d { g[k] += weight * u[k] }
      }
      var slope = weight
      if self == .group {
        var absolute: Float = 0
        for r in 0..<shape.regions {
          let a = parameters.output.row(r * m + j)
          for c in 0..<width { absolute += abs(a[c]) }
        }
        slope *= absolute
      }
      for r in 0..<shape.regions {
        let (a, g) = (parameters.output.row(r * m + j), gradient.output.row(r * m + j))
        if self == .decay {
          for c in 0..<width { g[c] += weight * a[c] }
        } else {
          for c in 0..<width where a[c] != 0 { g[c] += a[c] > 0 ? slope : -slope }
        }
      }
    }
  }
}

extension Activation {
  /// The penalty for which the convex program of this activation is solved.
  package var usualPenalty: WeightPenalty {
    switch self {
    case .relu, .gatedReLU: .group
    case .linear, .circular: .decay
    case .polynomial, .quantized: .l1
    }
  }
}
