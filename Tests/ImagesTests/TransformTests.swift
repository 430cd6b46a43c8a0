import Images
import Tensors
import Testing

/// A set of `count` images with values that differ.
func someImages(_ count: Int, _ shape: ImageShape, classes: [String] = ["a", "b"]) -> ImageSet {
  let pixels = Bytes(uninitialized: count * shape.count)
  var random = RandomSource(seed: 9)
  for i in 0..<pixels.count {
    pixels.base.storeBytes(of: UInt8(random.below(256)), toByteOffset: i, as: UInt8.self)
  }
  return ImageSet(
    classes: classes, shape: shape, pixels: pixels,
    labels: (0..<count).map { Int32($0 % classes.count) }, index: (0..<count).map { Int32(5 * $0) })
}

extension ImageSet {
  subscript(i: Int, channel: Int, y: Int, x: Int) -> UInt8 {
    image(i)[(channel * shape.height + y) * shape.width + x]
  }
}

@Suite struct TransformTests {
  /// The mean over a new pixel's area by integrating over every old pixel in doubles.
  @Test(arguments: [(10, 10), (7, 13), (32, 5), (45, 40), (1, 1), (16, 16), (31, 33)])
  func averagesAreas(width: Int, height: Int) throws {
    let images = someImages(3, ImageShape(channels: 3, height: 32, width: 31))
    let small = try images.resized(width: width, height: height)
    #expect(small.shape == ImageShape(channels: 3, height: height, width: width))
    var worst = 0.0
    for i in 0..<3 {
      for channel in 0..<3 {
        for row in 0..<height {
          for column in 0..<width {
            var mean = 0.0
            for y in 0..<32 {
              for x in 0..<31 {
                mean +=
                  overlap(y, row, 32.0 / Double(height)) * overlap(x, column, 31.0 / Double(width))
                  * Double(images[i, channel, y, x])
              }
            }
            worst = max(worst, abs(mean - Double(small[i, channel, row, column])))
          }
        }
      }
    }
    #expect(worst <= 0.5 + 1e-9)
  }

  /// The part of new pixel `new`, `length` old pixels long, that lies in old pixel `old`.
  private func overlap(_ old: Int, _ new: Int, _ length: Double) -> Double {
    let begin = max(Double(old), Double(new) * length)
    let end = min(Double(old) + 1, (Double(new) + 1) * length)
    return max(0, end - begin) / length
  }

  @Test func keepsTheExtremes() throws {
    for value in [UInt8(0), 255] {
      let shape = ImageShape(channels: 1, height: 9, width: 4)
      let pixels = Bytes(zeroed: shape.count)
      for i in 0..<shape.count {
        pixels.base.storeBytes(of: value, toByteOffset: i, as: UInt8.self)
      }
      let flat = ImageSet(classes: ["a"], shape: shape, pixels: pixels, labels: [0], index: [0])
      let other = try flat.resized(width: 7, height: 5)
      for p in 0..<35 { #expect(other.image(0)[p] == value) }
    }
  }

  @Test func lumaIsThatOfITU601() throws {
    let images = someImages(4, ImageShape(channels: 3, height: 8, width: 8))
    let gray = try images.grayscale()
    #expect(gray.shape == ImageShape(channels: 1, height: 8, width: 8))
    for i in 0..<4 {
      for p in 0..<64 {
        let (r, g, b) = (images.image(i)[p], images.image(i)[64 + p], images.image(i)[128 + p])
        let exact = 0.299 * Double(r) + 0.587 * Double(g) + 0.114 * Double(b)
        #expect(abs(exact - Double(gray.image(i)[p])) < 0.51)
      }
    }
    #expect(try gray.grayscale().shape == gray.shape)
  }

  @Test func mirrorsFollowTheirImages() throws {
    let images = someImages(5, ImageShape(channels: 3, height: 4, width: 7))
    let both = try images.withMirrors()
    #expect(both.count == 10)
    #expect(both.labels == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
    #expect(both.index == [0, 0, 5, 5, 10, 10, 15, 15, 20, 20])
    for i in 0..<5 {
      for channel in 0..<3 {
        for y in 0..<4 {
          for x in 0..<7 {
            #expect(both[2 * i, channel, y, x] == images[i, channel, y, x])
            #expect(both[2 * i + 1, channel, y, x] == images[i, channel, y, 6 - x])
          }
        }
      }
    }
  }

  @Test func theSheetHasARowAClass() {
    let images = someImages(26, ImageShape(channels: 3, height: 32, width: 32))
    let sheet = contactSheet(of: images)
    // Ten of 64 pixels with 4 between and 8 around, and two rows.
    #expect(sheet.width == 16 + 10 * 68 - 4 && sheet.height == 16 + 2 * 68 - 4)
    #expect(sheet[0, 0, 0] == 255)
    // Image 3 is the second of class 1.
    #expect(sheet[8 + 68 + 2 * 5 + 1, 8 + 68 + 2 * 9, 1] == images[3, 1, 9, 5])
  }

  @Test func refusesMoreThanTheMemory() {
    let images = someImages(1, ImageShape(channels: 1, height: 2, width: 2))
    #expect(throws: Failure.self) { try images.resized(width: 1 << 24, height: 1 << 24) }
  }
}
