import LinearAlgebra
import Patches
import Tensors
import Testing

/// A B for matrices as arrays of rows.
private func times(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
  a.map { row in
    b[0].indices.map { j in row.indices.reduce(0) { $0 + row[$1] * b[$1][j] } }
  }
}
private func transposed(_ a: [[Double]]) -> [[Double]] {
  a[0].indices.map { j in a.map { $0[j] } }
}
private func rows(_ m: Matrix) -> [[Double]] {
  (0..<m.rows).map { i in (0..<m.columns).map { m[i, $0] } }
}
private func identity(_ n: Int) -> [[Double]] {
  (0..<n).map { i in (0..<n).map { $0 == i ? 1 : 0 } }
}
private func distance(_ a: [[Double]], _ b: [[Double]]) -> Double {
  PatchesTests.distance(a.flatMap { $0 }, b.flatMap { $0 })
}

@Suite struct WhiteningTests {
  let images = randomImages(40)
  let window = PatchWindow.square(size: 3, stride: 2, padding: 0)

  @Test func withoutEpsilonTheCovarianceBecomesTheIdentity() throws {
    for components in [nil, 27, 10] {
      let result = try extract(
        images,
        steps {
          $0.window = window
          $0.whitening = 0
          $0.components = components
        })
      let (mean, covariance) = referenceStatistics(patches(of: result.bundle).flatMap { $0 })
      #expect(result.rank == 27)
      #expect(mean.allSatisfy { abs($0) < 1e-10 })
      #expect(distance(covariance, identity(components ?? 27)) < 1e-9)
    }
  }

  @Test func epsilonIsRelativeToTheMeanEigenvalue() throws {
    let raw = referencePatches(images, steps { $0.window = window }).flatMap { $0 }
    let (mean, covariance) = referenceStatistics(raw)
    let shift = 0.3 * covariance.indices.reduce(0) { $0 + covariance[$1][$1] } / 27
    var shifted = covariance
    for i in shifted.indices { shifted[i][i] += shift }
    for components in [nil, 6] {
      let result = try extract(
        images,
        steps {
          $0.window = window
          $0.whitening = 0.3
          $0.components = components
        })
      let fit = try #require(result.fit)
      let w = rows(fit.whiten!)
      #expect(distance([fit.mean!], [mean]) < 1e-13)
      // W is a root of the inverse: Wᵀ (C + ε I) W = I.
      let n = components ?? 27
      #expect(distance(times(times(transposed(w), shifted), w), identity(n)) < 1e-10)
      if components == nil {
        #expect(distance(w, transposed(w)) == 0)
      } else {
        // Along eigenvectors of C, the largest first, each with its largest entry positive.
        let variances = times(times(transposed(w), covariance), w)
        for i in 0..<n {
          for j in 0..<n where i != j { #expect(abs(variances[i][j]) < 1e-10) }
          if i > 0 { #expect(variances[i][i] <= variances[i - 1][i - 1]) }
          let column = transposed(w)[i]
          #expect(column.max()! >= -column.min()! * (1 - 1e-5))
        }
      }
      let x = times(raw.map { zip($0, mean).map { $0 - $1 } }, w)
      #expect(distance(patches(of: result.bundle).flatMap { $0 }, x) < 1e-11)
    }
  }

  @Test func directionsWithoutVarianceBecomeZero() throws {
    // Contrast normalisation takes each patch's mean away, and with it one direction.
    let result = try extract(
      images,
      steps {
        $0.window = window
        $0.contrast = 0
        $0.whitening = 0
      })
    #expect(result.rank == 26)
    let (_, covariance) = referenceStatistics(patches(of: result.bundle).flatMap { $0 })
    var projector = identity(27)
    for i in 0..<27 { for j in 0..<27 { projector[i][j] -= 1.0 / 27 } }
    #expect(distance(covariance, projector) < 1e-9)
  }

  @Test func centringTakesTheMeanAway() throws {
    let result = try extract(
      images,
      steps {
        $0.window = window
        $0.centers = true
      })
    let raw = referencePatches(images, steps { $0.window = window }).flatMap { $0 }
    let mean = referenceStatistics(raw).mean
    #expect(distance(result.bundle.tensors["mean"]!.doubles, mean) < 1e-13)
    let x = raw.map { zip($0, mean).map { $0 - $1 } }
    #expect(distance(patches(of: result.bundle).flatMap { $0 }, x) < 1e-12)
    #expect(result.bundle.tensors["whiten"] == nil)
  }

  @Test func patchesThatAreAllTheSameCannotBeWhitened() throws {
    var images = images
    images.tensors["images"] = Tensor(type: .u8, shape: [40, 3, 12, 10])
    #expect(throws: Failure.self) { _ = try extract(images, steps { $0.whitening = 0.1 }) }
  }

  @Test func anEarlierFitIsUsedAsItIs() throws {
    let choice = steps {
      $0.window = window
      $0.whitening = 0.1
      $0.bias = true
    }
    let train = try extract(images, choice)
    let file = Scratch()
    try file.write(train.bundle)
    let earlier = try EarlierPatches(reading: Input(path: file.path))
    #expect(earlier.steps == choice)
    #expect(earlier.type == .f64)
    let again = try extract(images, earlier.steps, fit: earlier.fit)
    #expect(again.bundle.metadata == train.bundle.metadata)
    #expect(again.bundle.tensors["whiten"]!.doubles == train.bundle.tensors["whiten"]!.doubles)
    #expect(
      distance(again.bundle.tensors["x"]!.doubles, train.bundle.tensors["x"]!.doubles) < 1e-12)
    // Other images: (x − mean) W of the first.
    let others = randomImages(4, seed: 9)
    let x = patches(of: try extract(others, earlier.steps, fit: earlier.fit).bundle)
    let fit = try #require(train.fit)
    let raw = referencePatches(others, choice).flatMap { $0 }
    let expected = times(raw.map { zip($0, fit.mean!).map { $0 - $1 } }, rows(fit.whiten!))
    #expect(distance(x.flatMap { $0 }, expected.map { $0 + [1] }) < 1e-11)
  }
}
