import Foundation
import Patches
import Schema
import Tensors
import Testing

/// Choices that differ in all that matters before the statistics.
private let choices: [PatchSteps] = [
  PatchSteps(),
  steps { $0.window = .square(size: 5, stride: 3, padding: 0) },
  steps {
    $0.window = .square(size: 3, stride: 2, padding: 2)
    $0.pooling = .grid(3)
    $0.bias = true
  },
  steps {
    $0.window = .square(size: 4, stride: 1, padding: 0)
    $0.contrast = 0.01
    $0.pooling = .grid(2)
  },
  steps {
    $0.window = .square(size: 2, stride: 2, padding: 0)
    $0.scale = PixelScale(low: 0, high: 255)
    $0.pooling = .perPatch
  },
  steps {
    $0.window = .wholeImage
    $0.scale = PixelScale(low: 3, high: -0.5)
  },
  steps {
    $0.window = .square(size: 1, stride: 1, padding: 0)
    $0.bias = true
  },
  steps {
    $0.window = .square(size: 3, stride: 2, padding: 1)
    $0.contrast = 0.1
    $0.pooling = .grid(2)
    $0.mirrors = true
  },
]

@Suite struct PatchExtractionTests {
  @Test(arguments: choices) func patchesAreThoseOfTheDefinition(steps: PatchSteps) throws {
    let images = randomImages(7)
    let bundle = try extract(images, steps).bundle
    var expected = referencePatches(images, steps)
    if steps.bias { expected = expected.map { $0.map { $0 + [1] } } }
    let x = try #require(bundle.tensors["x"])
    #expect(x.shape == [7, expected[0].count, expected[0][0].count])
    let size = expected.joined().joined().reduce(1) { max($0, abs($1)) }
    #expect(distance(x.doubles, expected.flatMap { $0.flatMap { $0 } }) < 1e-12 * size)
    #expect(bundle.tensors["labels"]?.doubles == [0, 1, 2, 0, 1, 2, 0])
    #expect(bundle.kind == .dataset)
    #expect(bundle.metadata["classes"] == "cat,dog,eel")
    #expect(bundle.tensors.keys.sorted() == ["labels", "pool", "x"])
  }

  @Test(
    arguments: choices + [
      steps {
        $0.window = .square(size: 3, stride: 2, padding: 0)
        $0.whitening = 0.1
        $0.components = 5
        $0.bias = true
        $0.pooling = .grid(2)
      }
    ])
  func momentsAreThoseOfThePatches(steps: PatchSteps) throws {
    let images = randomImages(5, height: 9, width: 8, seed: 3)
    // A whole image has too many features to take its moments the slow way.
    if steps.window == .wholeImage { return }
    let dataset = try extract(images, steps).bundle
    let bundle = try extract(images, steps, .moments).bundle
    let pool = try #require(dataset.tensors["pool"]).doubles.map { Int($0) }
    let expected = referenceMoments(patches(of: dataset), pool: pool)
    let moments = try #require(bundle.tensors["moments"])
    let d = dataset.tensors["x"]!.shape[2]
    #expect(moments.shape == [5, pool.max()! + 1, d * (d + 1) / 2 + d])
    let size = expected.reduce(1) { max($0, abs($1)) }
    #expect(distance(moments.doubles, expected) < 1e-12 * size)
    #expect(bundle.kind == .moments)
    #expect(bundle.tensors["x"] == nil && bundle.tensors["pool"] == nil)
    // Fitted twice, in a process where other tests turn BLAS threads on and off: equal but for rounding.
    if let whiten = dataset.tensors["whiten"] {
      #expect(distance(try #require(bundle.tensors["whiten"]).doubles, whiten.doubles) < 1e-12)
    }
  }

  @Test func singlePrecisionIsTheNearest() throws {
    let images = randomImages(4)
    for product in [PatchProduct.dataset, .moments] {
      let double = try extract(images, PatchSteps(), product).bundle.tensors[product.tensor]!
      let single = try extract(images, PatchSteps(), product, type: .f32).bundle.tensors[
        product.tensor]!
      #expect(single.type == .f32)
      let size = double.doubles.reduce(1) { max($0, abs($1)) }
      #expect(distance(single.doubles, double.doubles) < 1e-7 * size)
    }
  }

  // In a process of its own: other tests turn BLAS threads on and off, which shows in the last bit.
  @Test func bytesDoNotDependOnTheBlocks() async {
    await #expect(processExitsWith: .success) {
      let images = randomImages(43)
      // 63 patches make batches of 4 images, of which 43 is no multiple; 6 make batches of 42.
      for stride in [1, 4] {
        let steps = steps {
          $0.window = .square(size: 4, stride: stride, padding: 0)
          $0.contrast = 0.1
          $0.whitening = 0.01
          $0.components = 12
          $0.pooling = .grid(2)
        }
        for product in [PatchProduct.dataset, .moments] {
          let whole = try extract(images, steps, product).data
          // 2, 3 and 5 batches of images a block when statistics are fitted, and some of output.
          for bytes in [1, 3 * 4 * 360, 5 * 4 * 360, 100_000, 150_000] {
            #expect(try extract(images, steps, product, blockBytes: bytes).data == whole)
          }
        }
      }
    }
  }

  @Test func constantPatchesBecomeZeroWithoutAnEpsilon() throws {
    var images = randomImages(2)
    for value in [UInt8(0), 77, 255] {
      images.tensors["images"] = Tensor(
        [UInt8](repeating: value, count: 2 * 360), shape: [2, 3, 12, 10])
      let x = try extract(images, steps { $0.contrast = 0 }).bundle.tensors["x"]!
      #expect(x.doubles.allSatisfy { $0 == 0 })
    }
  }

  @Test func targetsAreCarried() throws {
    var images = randomImages(3)
    images.tensors["labels"] = nil
    images.tensors["targets"] = Tensor([0.5, -1, 2, 3, 4, 5], shape: [3, 2])
    images.metadata["classes"] = nil
    let bundle = try extract(images, PatchSteps(), .moments).bundle
    #expect(bundle.tensors["targets"]?.shape == [3, 2])
    #expect(bundle.tensors["targets"]?.doubles == [0.5, -1, 2, 3, 4, 5])
  }

  @Test func tooMuchIsRefused() throws {
    let flat = steps { $0.window = .wholeImage }
    let large = try labelled(randomImages(1, channels: 1, height: 200, width: 200))
    #expect(throws: Failure.self) {
      _ = try PatchExtraction(images: large, steps: flat, product: .moments, type: .f64)
    }
    let images = try labelled(randomImages(1))
    #expect(throws: Failure.self) {
      let steps = steps {
        $0.whitening = 0.1
        $0.components = 49
      }
      _ = try PatchExtraction(images: images, steps: steps, product: .dataset, type: .f32)
    }
  }
}
