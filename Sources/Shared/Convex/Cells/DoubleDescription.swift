import Glibc
import LinearAlgebra

/// The extreme rays of a pointed cone {u : c_j · u ≥ 0 for all walls c_j} of full dimension in R^r, by the double
/// description method (Fukuda and Prodon, "Double description method revisited", 1996): walls are added one by
/// one, and each new wall cuts the edges between rays on its two sides.
struct DoubleDescription {
  /// Unit vectors of r numbers.
  private(set) var rays: [[Double]] = []
  /// For each ray whether it lies on a wall, for all walls.
  private(set) var contacts: [[Bool]] = []

  private let r: Int
  private let walls: [[Double]]
  /// A ray lies on a wall if the product of the two unit vectors is at most this.
  private static let contact = 1e-10

  /// `walls` are unit vectors, `point` lies inside the cone. Returns `nil` if the cone is not pointed.
  init?(walls: [[Double]], point: [Double]) {
    r = point.count
    self.walls = walls
    // Near walls first: most others then meet no ray.
    let order = walls.indices.sorted { inner(walls[$0], point) < inner(walls[$1], point) }
    guard let first = independent(order) else { return nil }
    start(first)
    for j in order where !first.contains(j) { cut(j) }
    guard rays.count >= r else { return nil }
    for i in rays.indices { polish(i) }
  }

  /// The first r walls of `order` that are far enough from linear dependence.
  private func independent(_ order: [Int]) -> [Int]? {
    for limit in [1e-2, 1e-5, 1e-9] {
      var chosen: [Int] = []
      var basis: [[Double]] = []
      for j in order where chosen.count < r {
        let rest = orthogonal(walls[j], to: basis)
        let length = inner(rest, rest).squareRoot()
        guard length > limit else { continue }
        basis.append(rest.map { $0 / length })
        chosen.append(j)
      }
      if chosen.count == r { return chosen }
    }
    return nil
  }

  /// The cone of r independent walls: each ray lies on all of them but one.
  private mutating func start(_ chosen: [Int]) {
    for out in chosen {
      var basis: [[Double]] = []
      for j in chosen where j != out {
        let rest = orthogonal(walls[j], to: basis)
        basis.append(unit(rest))
      }
      var ray = unit(orthogonal(walls[out], to: basis))
      if inner(ray, walls[out]) < 0 { ray = ray.map { -$0 } }
      rays.append(ray)
      contacts.append(walls.indices.map { $0 != out && chosen.contains($0) })
    }
  }

  private mutating func cut(_ j: Int) {
    let heights = rays.map { inner(walls[j], $0) }
    let limit = DoubleDescription.contact
    for i in rays.indices where abs(heights[i]) <= limit { contacts[i][j] = true }
    guard heights.contains(where: { $0 < -limit }) else { return }
    var (newRays, newContacts): ([[Double]], [[Bool]]) = ([], [])
    for a in rays.indices where heights[a] > limit {
      for b in rays.indices where heights[b] < -limit && areAdjacent(a, b) {
        newRays.append(
          unit((0..<r).map { heights[a] * rays[b][$0] - heights[b] * rays[a][$0] }))
        var common = zip(contacts[a], contacts[b]).map { $0 && $1 }
        common[j] = true
        newContacts.append(common)
      }
    }
    let kept = rays.indices.filter { heights[$0] >= -limit }
    rays = kept.map { rays[$0] } + newRays
    contacts = kept.map { contacts[$0] } + newContacts
  }

  /// Whether two rays span a face: no other ray lies on all walls that they share.
  private func areAdjacent(_ a: Int, _ b: Int) -> Bool {
    let shared = walls.indices.filter { contacts[a][$0] && contacts[b][$0] }
    guard shared.count >= r - 2 else { return false }
    return !rays.indices.contains { other in
      other != a && other != b && shared.allSatisfy { contacts[other][$0] }
    }
  }

  /// Moves a ray onto its walls exactly: repeated cuts have rounded it.
  private mutating func polish(_ i: Int) {
    var basis: [[Double]] = []
    for j in walls.indices where contacts[i][j] && basis.count < r - 1 {
      let rest = orthogonal(walls[j], to: basis)
      if inner(rest, rest) > 1e-12 { basis.append(unit(rest)) }
    }
    rays[i] = unit(orthogonal(rays[i], to: basis))
  }

  /// The walls that are facets of the cone.
  var facets: [Int] { facets(of: Array(rays.indices), dimension: r).map(\.wall) }

  /// Simplicial cones that make up the cone, as numbers of rays: those of the facets that do not hold the first ray,
  /// each joined with that ray (a pulling triangulation).
  var simplices: [[Int]] { triangulation(of: Array(rays.indices), dimension: r) }

  private func triangulation(of face: [Int], dimension: Int) -> [[Int]] {
    guard face.count > dimension else { return [face] }
    return facets(of: face, dimension: dimension).filter { !$0.rays.contains(face[0]) }.flatMap {
      triangulation(of: $0.rays, dimension: dimension - 1).map { [face[0]] + $0 }
    }
  }

  /// The facets of a face: the largest sets of its rays that lie on a further wall.
  private func facets(of face: [Int], dimension: Int) -> [(wall: Int, rays: [Int])] {
    var candidates: [(wall: Int, rays: [Int])] = []
    for j in walls.indices {
      let on = face.filter { contacts[$0][j] }
      guard on.count >= dimension - 1, on.count < face.count,
        !candidates.contains(where: { $0.rays == on })
      else { continue }
      candidates.append((j, on))
    }
    return candidates.filter { candidate in
      !candidates.contains { other in
        other.rays.count > candidate.rays.count && candidate.rays.allSatisfy(other.rays.contains)
      }
    }
  }
}

private func inner(_ a: [Double], _ b: [Double]) -> Double {
  var sum = 0.0
  for k in a.indices { sum += a[k] * b[k] }
  return sum
}

private func unit(_ a: [Double]) -> [Double] {
  let length = inner(a, a).squareRoot()
  return a.map { $0 / length }
}

/// `a` without its components along the orthonormal `basis`, which are subtracted twice.
private func orthogonal(_ a: [Double], to basis: [[Double]]) -> [Double] {
  var a = a
  for _ in 0..<2 {
    for q in basis {
      let overlap = inner(a, q)
      for k in a.indices { a[k] -= overlap * q[k] }
    }
  }
  return a
}
