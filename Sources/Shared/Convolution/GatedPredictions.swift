import Convex
import LinearAlgebra
import Patches
import Schema

extension ArrangementSolution {
  /// ŷ (n × C) of a convolutional gated network over `gates`, those of each kind of patches, on `data`.
  func pooledGatedPredictions(
    on data: PatchSource, gates: [GateTensors], progress: (String) -> Void
  ) -> Matrix {
    let outputs = positive.count
    let result = Matrix(data.count, outputs)
    guard !index.isEmpty else { return result }
    let stream = FeatureStream(
      PooledFeatures(
        zip([data] + data.others, gates).map { ($0, $1, nil) }, members: index))
    let (q, size) = (stream.features.order, stream.features.groupSize)
    let weights = Matrix(q, outputs)
    for c in 0..<outputs {
      for k in index.indices {
        for j in 0..<size { weights[k * size + j, c] = positive[c][k, j] }
      }
    }
    _ = stream.run(
      0..<data.count, round: 1000, proceed: { true },
      use: { _, samples, f in
        gemm(
          samples.count, outputs, q, f, .plain, weights.base, .plain,
          result.row(samples.lowerBound))
      },
      next: { samples in
        progress("predictions: \(100 * samples.upperBound / data.count) % of \(data.count) images")
      })
    return result
  }
}
