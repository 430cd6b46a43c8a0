import Patches
import Tensors

/// Patches as the definition has them, one number at a time: [n][K][d], neither centred nor whitened; those of
/// mirror images last.
func referencePatches(_ bundle: Bundle, _ steps: PatchSteps) -> [[[Double]]] {
  let tensor = bundle.tensors["images"]!
  let (n, channels, height, width) = (
    tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]
  )
  let pixels = tensor.doubles
  var (sizeY, sizeX, stride, padding) = (height, width, 1, 0)
  if case .square(let size, let step, let border) = steps.window {
    (sizeY, sizeX, stride, padding) = (size, size, step, border)
  }
  func feature(_ image: Int, _ channel: Int, _ y: Int, _ x: Int, _ isMirrored: Bool) -> Double {
    guard y >= 0, x >= 0, y < height, x < width else { return 0 }
    let column = isMirrored ? width - 1 - x : x
    let pixel = pixels[((image * channels + channel) * height + y) * width + column]
    return steps.scale.low + (steps.scale.high - steps.scale.low) * pixel / 255
  }
  func cut(_ image: Int, _ isMirrored: Bool) -> [[Double]] {
    var patches: [[Double]] = []
    var top = -padding
    while top + sizeY <= height + padding {
      var left = -padding
      while left + sizeX <= width + padding {
        var patch: [Double] = []
        for channel in 0..<channels {
          for y in 0..<sizeY {
            for x in 0..<sizeX {
              patch.append(feature(image, channel, top + y, left + x, isMirrored))
            }
          }
        }
        if let epsilon = steps.contrast {
          let mean = patch.reduce(0, +) / Double(patch.count)
          let variance = patch.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(patch.count)
          patch = patch.map { ($0 - mean) / (variance + epsilon).squareRoot() }
        }
        patches.append(patch)
        left += stride
      }
      top += stride
    }
    return patches
  }
  return (0..<n).map { cut($0, false) + (steps.mirrors ? cut($0, true) : []) }
}

/// The mean and covariance of the rows, the slow way.
func referenceStatistics(_ rows: [[Double]]) -> (mean: [Double], covariance: [[Double]]) {
  let d = rows[0].count
  let n = Double(rows.count)
  var mean = [Double](repeating: 0, count: d)
  for row in rows { for j in 0..<d { mean[j] += row[j] / n } }
  var covariance = [[Double]](repeating: [Double](repeating: 0, count: d), count: d)
  for row in rows {
    for i in 0..<d {
      for j in 0..<d { covariance[i][j] += (row[i] - mean[i]) * (row[j] - mean[j]) / n }
    }
  }
  return (mean, covariance)
}

/// The pooled moments of `patches` [n][K][d], whose regions `pool` tells: [n, R, d(d+1)/2 + d].
func referenceMoments(_ patches: [[[Double]]], pool: [Int]) -> [Double] {
  var result: [Double] = []
  for image in patches {
    for region in 0...pool.max()! {
      let members = zip(image, pool).filter { $0.1 == region }.map(\.0)
      let d = members[0].count
      func average(_ value: ([Double]) -> Double) -> Double {
        members.map(value).reduce(0, +) / Double(members.count)
      }
      for i in 0..<d {
        for j in i..<d {
          result.append(average { $0[i] * $0[j] } * (i == j ? 1 : 2.0.squareRoot()))
        }
      }
      for i in 0..<d { result.append(average { $0[i] }) }
    }
  }
  return result
}

/// A dataset's `x` as [n][K][d].
func patches(of bundle: Bundle) -> [[[Double]]] {
  let x = bundle.tensors["x"]!
  let (values, k, d) = (x.doubles, x.shape[1], x.shape[2])
  return (0..<x.shape[0]).map { i in
    (0..<k).map { j in Array(values[(i * k + j) * d..<(i * k + j + 1) * d]) }
  }
}
