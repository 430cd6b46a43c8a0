import LinearAlgebra
import Tensors
import Testing

@testable import Convex

private func unit(_ x: [Double]) -> [Double] {
  let length = inner(x, x).squareRoot()
  return x.map { $0 / length }
}

/// `each` rows near each of the directions, of many lengths.
private func clusters(_ directions: [[Double]], each: Int, spread: Double) -> Matrix {
  var random = RandomSource(seed: 3)
  let d = directions[0].count
  var values: [Double] = []
  for _ in 0..<each {
    for direction in directions {
      let length = 0.1 + 10 * random.uniform()
      values += direction.map { length * ($0 + spread * random.gaussian()) }
    }
  }
  return Matrix(each * directions.count, d, values)
}

@Suite struct SphericalKMeansTests {
  @Test func clustersThatArePlantedAreFound() {
    let directions: [[Double]] = [
      [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1],
    ]
    let centroids = SphericalKMeans.centroids(
      30, of: clusters(directions, each: 400, spread: 0.02), seed: 1)
    let found = (0..<centroids.rows).map { copied(centroids.row($0), 3) }
    for centroid in found {
      #expect(abs(inner(centroid, centroid) - 1) < 1e-12)
      #expect(directions.contains { inner($0, centroid) > 0.99 })
    }
    for direction in directions { #expect(found.contains { inner($0, direction) > 0.99 }) }
  }

  @Test func centroidsAreTheDirectionsOfTheirRowsSums() {
    let rows = clusters([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], each: 50, spread: 0.2)
    let centroids = SphericalKMeans.centroids(4, of: Matrix(copying: rows), seed: 5)
    let c = (0..<centroids.rows).map { copied(centroids.row($0), 3) }
    var sums = [[Double]](repeating: [0, 0, 0], count: c.count)
    for i in 0..<rows.rows {
      let x = unit(copied(rows.row(i), 3))
      let cosines = c.map { inner($0, x) }
      let best = cosines.indices.max { cosines[$0] < cosines[$1] }!
      for j in 0..<3 { sums[best][j] += x[j] }
    }
    // So few rows have come to rest.
    for (sum, centroid) in zip(sums, c) {
      #expect(abs(inner(unit(sum), centroid) - 1) < 1e-12)
    }
  }

  @Test func centroidsWithoutRowsBeginAnew() {
    // Nearly all rows are the same, so that nearly all centroids begin at the same place.
    var values = [Double](repeating: 1, count: 3 * 500)
    for k in 0..<3 { values += (0..<3).map { $0 == k ? -1 : 0.1 * Double($0 + 1) } }
    let rows = Matrix(503, 3, values)
    let centroids = SphericalKMeans.centroids(4, of: rows, seed: 2)
    #expect(centroids.rows == 4)
    for k in 0..<3 {
      let x = unit((0..<3).map { $0 == k ? -1 : 0.1 * Double($0 + 1) })
      #expect((0..<4).contains { inner(copied(centroids.row($0), 3), x) > 1 - 1e-12 })
    }
    // No more than there are directions; rows of zeros have none.
    let few = Matrix(6, 2, [1, 0, 2, 0, 0, 0, 0, 3, 0, 1, 5, 0])
    #expect(SphericalKMeans.centroids(5, of: few, seed: 0).rows == 2)
    #expect(SphericalKMeans.centroids(5, of: Matrix(3, 2), seed: 0).rows == 0)
  }

  @Test func gatesLeaveTheConstantOut() throws {
    var random = RandomSource(seed: 8)
    let rows = random.matrix(900, 5)
    let with = Matrix(900, 6)
    for i in 0..<900 {
      with.row(i).update(from: rows.row(i), count: 5)
      with[i, 5] = 1
    }
    let plain = try SampledGates(
      DataRows(rows), count: 20, sampler: .kMeans, cut: 1.5, seed: 4)
    let gated = try SampledGates(
      DataRows(with, hasConstant: true), count: 20, sampler: .kMeans, cut: 1.5, seed: 4)
    #expect(gated.gates.rows == plain.gates.rows && gated.thresholds == plain.thresholds)
    for k in 0..<gated.gates.rows {
      #expect(copied(gated.gates.row(k), 6) == copied(plain.gates.row(k), 5) + [0])
      #expect(abs(gated.thresholds![k] - 1.5) < 1e-14)
    }
    #expect(throws: Failure.self) {
      try SampledGates(
        DataRows(Matrix(3, 1, [1, 1, 1]), hasConstant: true), count: 2, sampler: .kMeans, cut: 0,
        seed: 0)
    }
    #expect(throws: Failure.self) {
      try SampledGates(DataRows(Matrix(3, 2)), count: 2, sampler: .kMeans, cut: 0, seed: 0)
    }
  }

  @Test func gatesThatAreEqualAreDrawnOnce() throws {
    let rows = Matrix(3, 2, [1, 2, 3, 4, 1, 2])
    let drawn = try SampledGates(DataRows(rows), count: 100, sampler: .samples, cut: 0, seed: 0)
    #expect(drawn.gates.rows == 2)
  }
}
