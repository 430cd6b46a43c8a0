import Images
import LinearAlgebra
import Schema
import Tensors

/// Generated images: the pixels of a bundle, which are the samples and the mean image, rounded.
struct GeneratedPictures {
  /// U8 [N, channels, height, width].
  private let images: Tensor
  private let center: [Double]

  init(_ bundle: Bundle) throws {
    images = try bundle.require(.images)
    let mean = try bundle.require(.generatorCenter)
    try mean.expectFinite("generator.center", of: bundle.name)
    center = mean.doubles
    guard images.count > 0, center.count == images.count / images.shape[0] else {
      throw Failure.data(
        "tensor \"generator.center\" of \(bundle.name) is \(mean.summary), but \"images\" is \(images.summary)"
      )
    }
  }

  func fits(_ samples: Matrix) -> Bool {
    samples.rows == images.shape[0] && samples.columns == center.count
  }

  /// The pixels of the images in `data` less their mean image, n × d, averaged to the size of these images.
  func centered(_ data: Bundle) throws -> (pixels: Matrix, center: [Double]) {
    try data.expect(.images)
    let shape = images.shape
    let set = try ImageSet(data)
    guard set.shape.channels == shape[1] else {
      throw Failure.data(
        "\(data.name) has images of \(set.shape.channels) channels, expected \(shape[1])")
    }
    let resized = try set.resized(width: shape[3], height: shape[2])
    let (n, d) = (resized.count, resized.shape.count)
    try expectMemory(8 * Double(n) * Double(d), for: "\(n) images in double precision")
    let pixels = Matrix(n, d)
    var sums = [Int](repeating: 0, count: d)
    for i in 0..<n {
      let image = resized.image(i)
      for k in 0..<d { sums[k] += Int(image[k]) }
    }
    let center = sums.map { Double($0) / Double(n) }
    for i in 0..<n {
      let image = resized.image(i)
      for k in 0..<d { pixels[i, k] = Double(image[k]) - center[k] }
    }
    return (pixels, center)
  }

  /// The ways in which mean image and pixels are not those of the samples and of data with the mean image `mean`.
  func objections(to samples: Matrix, center mean: [Double], name: String) -> [String] {
    var found: [String] = []
    if zip(center, mean).contains(where: { abs($0 - $1) > 1e-9 * 255 }) {
      found.append("tensor \"generator.center\" of \(name) is not the mean image of the data")
    }
    let d = center.count
    let isRounded = images.withElements(of: UInt8.self) { pixels in
      (0..<samples.rows).allSatisfy { i in
        (0..<d).allSatisfy { k in
          let value = min(255, max(0, samples[i, k] + center[k]))
          return abs(Double(pixels[i * d + k]) - value) <= 0.5 + 1e-9
        }
      }
    }
    if !isRounded {
      found.append("tensor \"images\" of \(name) is not what was generated, rounded")
    }
    return found
  }
}
