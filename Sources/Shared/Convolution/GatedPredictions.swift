import Convex
import LinearAlgebra
import Patches
import Schema

extension ArrangementSolution {
  /// ŷ (n × C) of a gated network on its training data, whose patterns decide if they are listed.
  package func pooledPredictions(on data: ConvolutionalData) -> Matrix {
    let features = PooledFeatures(data, members: index)
    return predictions(features, samples: data.samples) { _ in }
  }

  /// ŷ (n × C) of a convolutional gated network over `gates`, those of each kind of patches, on `data`.
  func pooledGatedPredictions(
    on data: PatchSource, gates: [GateTensors], progress: (String) -> Void
  ) -> Matrix {
    let features = PooledFeatures(
      zip([data] + data.others, gates).map { ($0, $1, nil) }, members: index)
    return predictions(features, samples: data.count) { done in
      progress("predictions: \(100 * done / data.count) % of \(data.count) images")
    }
  }

  private func predictions(
    _ features: PooledFeatures, samples: Int, progress: (_ done: Int) -> Void
  ) -> Matrix {
    let outputs = positive.count
    let result = Matrix(samples, outputs)
    guard !index.isEmpty else { return result }
    let stream = FeatureStream(features)
    let (q, size) = (features.order, features.groupSize)
    let weights = Matrix(q, outputs)
    for c in 0..<outputs {
      for k in index.indices {
        for j in 0..<size { weights[k * size + j, c] = positive[c][k, j] }
      }
    }
    _ = stream.run(
      0..<samples, round: 1000, proceed: { true },
      use: { _, samples, f in
        gemm(
          samples.count, outputs, q, f, .plain, weights.base, .plain,
          result.row(samples.lowerBound))
      },
      next: { progress($0.upperBound) })
    return result
  }
}
