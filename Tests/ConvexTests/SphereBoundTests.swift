import Glibc
import LinearAlgebra
import Tensors
import Testing

@testable import Convex

private func largest(_ s: Matrix) -> Double { SphereBound(order: s.rows).largest(s.base) }

/// S from eigenvalues, the linear part in their basis, and the constant, turned by a random rotation.
private func assembled(
  _ eigenvalues: [Double], _ q: [Double], _ constant: Double, _ random: inout RandomSource
) -> Matrix {
  let d = eigenvalues.count
  let v = random.symmetric(d)
  _ = SymmetricEigensolver(order: d).decompose(v.base)
  let s = Matrix(d + 1, d + 1)
  for i in 0..<d {
    for j in 0..<d { for k in 0..<d { s[i, j] += v[k, i] * eigenvalues[k] * v[k, j] } }
    for k in 0..<d { s[i, d] += v[k, i] * q[k] }
    s[d, i] = s[i, d]
  }
  s[d, d] = constant
  return s
}

@Suite struct SphereBoundTests {
  @Test func agreesWithTheCircle() {
    var random = RandomSource(seed: 31)
    for round in 0..<60 {
      let s = random.symmetric(3)
      if round % 3 == 0 { for i in 0..<2 { (s[i, 2], s[2, i]) = (0, 0) } }
      var best = 0.0
      let steps = 20_000
      for k in 0..<steps {
        let angle = 2 * Double.pi * Double(k) / Double(steps)
        let u = [cos(angle), sin(angle), 1]
        best = max(best, abs(bilinear(u, s, u)))
      }
      let bound = largest(s)
      #expect(bound >= best * (1 - 1e-14) && bound <= best + 1e-6)
    }
  }

  @Test func isAttainedInAnyDimension() {
    var random = RandomSource(seed: 32)
    for d in [1, 2, 3, 6, 15] {
      for _ in 0..<15 {
        let s = random.symmetric(d + 1)
        let bound = largest(s)
        for _ in 0..<200 {
          let p = random.unit(d) + [1]
          #expect(abs(bilinear(p, s, p)) <= bound * (1 + 1e-13))
        }
        var best = 0.0
        for sign in [1.0, -1.0] {
          for _ in 0..<10 {
            var u = random.unit(d)
            for _ in 0..<3 { u = ascend(s, u, sign) }
            best = max(best, sign * bilinear(u + [1], s, u + [1]))
          }
        }
        #expect(best >= bound * (1 - 1e-9), "d = \(d): \(best) of \(bound)")
        // Both signs: −S has the same bound.
        for i in 0..<s.count { s.base[i] = -s.base[i] }
        #expect(abs(largest(s) - bound) <= 1e-13 * bound)
      }
    }
  }

  /// Many steps of u ← (A + τI)u + g.
  private func ascend(_ s: Matrix, _ start: [Double], _ sign: Double) -> [Double] {
    let d = start.count
    var u = start
    let tau = 0.6 * eigenvalues(s).reduce(0) { max($0, abs($1)) }
    for _ in 0..<600 {
      var next = (0..<d).map { i in
        tau * u[i] + sign * ((0..<d).reduce(0) { $0 + s[i, $1] * u[$1] } + s[i, d])
      }
      let length = inner(next, next).squareRoot()
      for i in 0..<d { next[i] /= length }
      u = next
    }
    return u
  }

  @Test func hardCases() {
    var random = RandomSource(seed: 33)
    // No linear part along the top eigenvectors: μ is the top eigenvalue. For λ = (0, 1) and
    // q = (t, 0), max λ₂x₂² + 2 t x₁ = 1 + t² where t ≤ 1.
    for t in [0, 1e-9, 0.3, 0.999, 1] {
      #expect(abs(largest(assembled([0, 1], [t, 0], 0, &random)) - (1 + t * t)) < 1e-12)
      // The same for the other sign.
      #expect(abs(largest(assembled([0, -1], [t, 0], 0, &random)) - (1 + t * t)) < 1e-12)
    }
    // Equal eigenvalues: λ + 2‖q‖.
    #expect(abs(largest(assembled([2, 2, 2], [0.3, 0, 0.4], 0.5, &random)) - 3.5) < 1e-12)
    #expect(abs(largest(assembled([0, 0, 0], [3, 4, 0], 0, &random)) - 10) < 1e-12)
    // The constant adds to one sign and is taken from the other.
    #expect(abs(largest(assembled([1, -3], [0, 0], -1, &random)) - 4) < 1e-12)
    #expect(abs(largest(assembled([1, -3], [0, 0], 3, &random)) - 4) < 1e-12)
    #expect(largest(Matrix(4, 4)) == 0)
    // [q s] alone: d = 1.
    #expect(abs(largest(Matrix(2, 2, [2, 3, 3, -1])) - 7) < 1e-13)
  }

  @Test func scalesWithTheMatrix() {
    var random = RandomSource(seed: 34)
    let s = random.symmetric(6)
    let bound = largest(s)
    for factor in [1e-140, 1e-20, 1e20, 1e140] {
      let scaled = Matrix(copying: s)
      for i in 0..<s.count { scaled.base[i] *= factor }
      #expect(abs(largest(scaled) / (bound * factor) - 1) < 1e-12)
    }
    for bad in [Double.nan, .infinity] {
      let broken = Matrix(copying: s)
      (broken[0, 5], broken[5, 0]) = (bad, bad)
      #expect(!(largest(broken) < .infinity))
    }
  }
}
