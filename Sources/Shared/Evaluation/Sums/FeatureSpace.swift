import LinearAlgebra
import Schema
import Tensors

/// The features of sums over samples, in which solutions, networks and dual constraints are written.
struct FeatureSpace {
  private let design: FeatureDesign
  /// R, d and Q.
  private let regions: Int
  private let dimension: Int
  let order: Int
  /// T⁻¹ of polynomials.
  private let inverse: Matrix
  private let gates: Gates?

  /// `name` is that of the bundle. Throws if its T is singular, or nearly so.
  init(_ design: FeatureDesign, order: Int, regions: Int, dimension: Int, name: String) throws {
    (self.design, self.order, self.regions, self.dimension) = (design, order, regions, dimension)
    if case .polynomial(_, let whitening) = design {
      guard let inverse = LinearAlgebra.inverse(Matrix(whitening)) else {
        throw Failure.data("the matrix T that whitens the features of \(name) is singular")
      }
      guard inverse.values.allSatisfy({ abs($0) <= Tensor.whiteningRange.upperBound }) else {
        throw Failure.data(
          "the matrix T that whitens the features of \(name) is nearly singular: its inverse has entries beyond "
            + "\(Tensor.whiteningRange.upperBound)")
      }
      self.inverse = inverse
    } else {
      inverse = Matrix(0, 0)
    }
    if case .gated(let tensors) = design { gates = tensors.all } else { gates = nil }
  }

  // MARK: Weights

  /// W (Q × C) with ŷ = F W of the solution's variables; nil if they are of another program.
  func weights(of solution: any Solution) -> Matrix? {
    let outputs = solution.program.outputs
    if let solution = solution as? PolynomialSolution {
      guard solution.regionCount == regions, solution.dimension == dimension else { return nil }
      return whitened(outputs: outputs) { c, region in
        let matrix = solution.matrix(class: c, region: region, sign: 0)
        let negative = solution.matrix(class: c, region: region, sign: 1)
        for k in 0..<matrix.count { matrix.base[k] -= negative.base[k] }
        matrix.symmetrize()
        return matrix
      }
    }
    guard let solution = solution as? PatternSolution, solution.negative == nil,
      solution.regions == regions, solution.dimension == dimension
    else { return nil }
    let size = regions * dimension
    let result = Matrix(order, outputs)
    for (place, i) in solution.index.enumerated() {
      guard i >= 0, (i + 1) * size <= order else { return nil }
      for c in 0..<outputs {
        for k in 0..<size { result[i * size + k, c] = solution.positive[c][place, k] }
      }
    }
    return result
  }

  /// W (Q × C) with ŷ = F W of a network; nil if it is of another kind, or has other gates.
  func weights(of network: any NetworkFunction) -> Matrix? {
    guard network.filters.columns == dimension else { return nil }
    if let deep = network as? DeepLinearNetwork { return weights(of: deep.folded) }
    if let network = network as? ReLUNetwork {
      return network.meanWeights(regions: regions, over: gates)
    }
    guard let network = network as? PolynomialNetwork, case .polynomial(let own, _) = design,
      network.kind == .polynomial(own), (network.layers.regions.max() ?? 0) < regions
    else { return nil }
    let d = dimension
    return whitened(outputs: network.outputs) { c, region in
      // Σ_j α_j [u_j; 1][u_j; 1]ᵀ
      let members = network.layers.members(of: region)
      let (rows, scaled) = (Matrix(members.count, d + 1), Matrix(members.count, d + 1))
      for (j, member) in members.enumerated() {
        rows.row(j).update(from: network.filters.row(member), count: d)
        rows[j, d] = 1
        axpy(d + 1, network.outputWeight[c, member], rows.row(j), scaled.row(j))
      }
      let sum = product(scaled, .transposed, rows, .plain)
      sum.symmetrize()
      return sum
    }
  }

  /// svec(T⁻¹ H T⁻ᵀ) of each region, for the matrix H of each output and region.
  private func whitened(
    outputs: Int, _ matrix: (_ output: Int, _ region: Int) -> Matrix
  ) -> Matrix {
    let (m, result) = (dimension + 1, Matrix(order, outputs))
    for c in 0..<outputs {
      for region in 0..<regions {
        let half = product(inverse, .plain, matrix(c, region), .plain)
        let full = product(half, .plain, inverse, .transposed)
        var row = region * (m * (m + 1) / 2)
        for i in 0..<m {
          for j in i..<m {
            result[row, c] =
              i == j ? full[i, i] : 0.5 * (full[i, j] + full[j, i]) * 2.0.squareRoot()
            row += 1
          }
        }
      }
    }
    return result
  }

  // MARK: Constraints

  /// What sums over samples hold of a dual point ν, Q × C.
  enum Directions {
    /// Fᵀν.
    case features
    /// Bounds of the entries of some Fᵀν, not below 0: the result is a bound of all their norms.
    case bounds
    /// Of polynomials svec(Σ_i ν_i Φ_i), without T, else Fᵀν.
    case samples
  }

  /// The largest of the norms that β bounds, rounded up; nil if it is not finite.
  func largestConstraint(
    _ sums: Matrix, of solution: any Solution, _ directions: Directions = .features
  ) -> Double? {
    if let solution = solution as? PatternSolution {
      return largestLength(sums, of: solution)
    }
    let (m, d) = (dimension + 1, dimension)
    let inverse = directions == .bounds ? absolute(self.inverse) : self.inverse
    var largest = 0.0
    for c in 0..<sums.columns {
      for region in 0..<regions {
        let packed = Matrix(m, m)
        var row = region * (m * (m + 1) / 2)
        for i in 0..<m {
          for j in i..<m {
            packed[i, j] = sums[row, c] * (i == j ? 1 : 0.5.squareRoot())
            packed[j, i] = packed[i, j]
            row += 1
          }
        }
        // S = T⁻ᵀ mat(t) T⁻¹
        let full =
          directions == .samples
          ? packed
          : product(product(inverse, .transposed, packed, .plain), .plain, inverse, .plain)
        let matrix = Matrix(d, d)
        for i in 0..<d {
          for j in i..<d { matrix[i, j] = 0.5 * (full[i, j] + full[j, i]) }
          matrix[i, i] += full[d, d]
        }
        let linear = (0..<d).map { 0.5 * (full[$0, d] + full[d, $0]) }
        guard let bound = sphereNorm(matrix, linear: linear) else { return nil }
        largest = max(largest, bound)
      }
    }
    return largest
  }

  private func absolute(_ matrix: Matrix) -> Matrix {
    let result = Matrix(copying: matrix)
    for k in 0..<result.count { result.base[k] = abs(result.base[k]) }
    return result
  }

  private func largestLength(_ sums: Matrix, of solution: PatternSolution) -> Double? {
    let judge = PatternJudge(solution, nil)
    let size = regions * dimension
    let group = Matrix(sums.columns * regions, dimension)
    var largest = 0.0
    for i in 0..<order / size {
      for c in 0..<sums.columns {
        for k in 0..<size { group.base[c * size + k] = sums[i * size + k, c] }
      }
      largest = max(largest, judge.bound(i, group.base, limit: largest))
    }
    return largest.isFinite ? largest : nil
  }
}
