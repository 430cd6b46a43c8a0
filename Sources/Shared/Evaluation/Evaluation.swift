// The certificate: what a solution claims, recomputed from the data.
//
// Files of this folder may import Tensors (storage), Schema (what bundles hold, and its names), LinearAlgebra (BLAS,
// LAPACK and the rule for products that are nearly a gate's threshold), Patches (how patches are cut from images),
// Images (to draw) and Glibc; `make lint` refuses others. An error of a solver must not come back in the proof that
// judges it: so no module that trains (Convex, Convolution, Training) is imported, and losses, conjugates, norms,
// projections and bounds are written here a second time. The shared code is small, or checked by itself.

import Schema
import Tensors

/// The solution that a bundle holds, by its metadata `activation`.
package func solution(of bundle: Bundle) throws -> any Solution {
  try bundle.expect(.solution)
  if JointBundle.isJoint(bundle) { return try JointSolution(bundle) }
  let solution: any Solution =
    switch try bundle.read(.activation) {
    case .polynomial: try PolynomialSolution(bundle)
    case .quantized: try QuantizedSolution(bundle)
    case .relu where try bundle.read(.freeBias, default: false): try FreeBiasSolution(bundle)
    case .relu where bundle[.neuronsHidden] != nil: try FactoredSolution(bundle)
    case .relu where bundle.metadata["layers"] != nil: try ThreeLayerSolution(bundle)
    case .relu, .gatedReLU, .linear, .circular:
      try bundle.read(ifPresent: .batchNorm) == nil
        ? PatternSolution(bundle) : NormalizedSolution(bundle)
    }
  // Only there it is checked that the constraint holds.
  guard solution is PatternSolution || !solution.program.loss.isConstraint else {
    throw Failure.data(
      "metadata \"loss\" of \(bundle.name) is \(solution.program.loss.rawValue), a constraint that only relu and gated-relu "
        + "networks over listed patterns have, without batch normalisation and with norm group")
  }
  return solution
}
