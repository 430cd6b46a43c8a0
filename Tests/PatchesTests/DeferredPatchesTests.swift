import LinearAlgebra
import Tensors
import Testing

@testable import Patches

private let whitened = steps {
  $0.window = .square(size: 4, stride: 2, padding: 1)
  $0.pooling = .grid(2)
  $0.contrast = 0.01
  $0.whitening = 0.1
  $0.components = 7
  $0.bias = true
}

/// All patches in the order of `x`, read in blocks of `block` samples.
private func read(_ source: PatchSource, _ order: PatchOrder = .asCut, block: Int) -> [Double] {
  let size = source.patchCount * source.dimension
  var result = [Double](repeating: .nan, count: source.count * size)
  let reader = source.reader(order)
  result.withUnsafeMutableBufferPointer { buffer in
    for first in stride(from: 0, to: source.count, by: block) {
      reader.read(
        first..<min(source.count, first + block), into: buffer.baseAddress! + first * size)
    }
  }
  return result
}

private func readSingle(_ source: PatchSource, _ order: PatchOrder, block: Int) -> [Float] {
  let size = source.patchCount * source.dimension
  var result = [Float](repeating: .nan, count: source.count * size)
  let reader = source.reader(order)
  result.withUnsafeMutableBufferPointer { buffer in
    for first in stride(from: 0, to: source.count, by: block) {
      reader.read(
        first..<min(source.count, first + block), into: buffer.baseAddress! + first * size)
    }
  }
  return result
}

/// Whether two lists are equal: `#expect` prints all of what differs.
private func isSame<T: Equatable>(_ a: [T], _ b: [T]) -> Bool { a == b }

@Suite struct DeferredPatchesTests {
  @Test(arguments: [ElementType.f32, .f64])
  func patchesAreThoseOfTheWrittenDatasetBitByBit(type: ElementType) throws {
    let images = randomImages(37)
    let all = [
      whitened, steps { _ in },
      steps {
        $0.window = .wholeImage
        $0.whitening = 0.1
        $0.components = 9
      },
      steps {
        $0.window = .square(size: 3, stride: 1, padding: 0)
        $0.centers = true
        $0.pooling = .perPatch
      },
    ]
    for steps in all {
      let extracted = try extract(images, steps, type: type)
      let written = extracted.bundle
      // Other suites set the number of threads meanwhile, on which sums of a fit depend.
      let deferred = try extract(images, steps, .deferred, type: type, fit: extracted.fit).bundle
      #expect(deferred.kind == .dataset && deferred.tensors["x"] == nil)
      #expect(isSame(deferred.tensors["images"]!.doubles, images.tensors["images"]!.doubles))
      for name in ["pool", "labels", "mean", "whiten"] {
        #expect(isSame(deferred.tensors[name]?.doubles ?? [], written.tensors[name]?.doubles ?? []))
      }
      let (source, plain) = (try PatchSource(deferred), try PatchSource(written))
      #expect(source.isDeferred && !plain.isDeferred)
      #expect(source.type == type && source.order == plain.order)
      #expect(source.regionStarts == plain.regionStarts && source.dimension == plain.dimension)
      let x = written.tensors["x"]!.doubles
      for block in [1, 5, 37] {
        #expect(isSame(read(source, block: block), x))
        #expect(isSame(read(plain, block: block), x))
        #expect(
          isSame(read(source, .byRegion, block: block), read(plain, .byRegion, block: block)))
        for order in [PatchOrder.asCut, .byRegion] {
          #expect(
            isSame(
              readSingle(source, order, block: block), read(plain, order, block: 37).map(Float.init)
            ))
          #expect(
            isSame(
              readSingle(plain, order, block: block), read(plain, order, block: 37).map(Float.init))
          )
        }
      }
    }
  }

  @Test func manyThreadsReadAtOnce() throws {
    let images = randomImages(60)
    let source = try PatchSource(extract(images, whitened, .deferred).bundle)
    let expected = read(source, block: 60)
    let size = source.patchCount * source.dimension
    let found = Matrix(60, size)
    Threads.perform(12) { part in
      source.reader(.asCut).read(part * 5..<part * 5 + 5, into: found.row(part * 5))
    }
    #expect(isSame(found.values, expected))
  }

  @Test func slicesOfSamplesHaveTheirPatches() throws {
    let images = randomImages(30)
    let bundle = try extract(images, whitened, .deferred, type: .f32).bundle
    var part = bundle
    for name in ["images", "labels"] { part.tensors[name] = bundle.tensors[name]!.rows(11..<20) }
    let (all, some) = (try PatchSource(bundle), try PatchSource(part))
    let size = all.patchCount * all.dimension
    #expect(isSame(read(some, block: 9), Array(read(all, block: 30)[11 * size..<20 * size])))
  }

  @Test func regionsComeFromThePool() throws {
    var bundle = try extract(randomImages(3), whitened, .deferred).bundle
    let pool = bundle.tensors["pool"]!.doubles.map { Int32(3 - $0) }
    bundle.tensors["pool"] = Tensor(pool)
    let source = try PatchSource(bundle)
    let x = read(source, block: 3)
    let byRegion = read(source, .byRegion, block: 3)
    let (count, d) = (source.patchCount, source.dimension)
    for (k, patch) in source.order.enumerated() {
      #expect(
        byRegion[(count + k) * d..<(count + k + 1) * d]
          == x[(count + patch) * d..<(count + patch + 1) * d])
    }
    #expect(source.order.map { pool[$0] } == pool.sorted())
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let good = try extract(randomImages(4), whitened, .deferred, type: .f32).bundle
    func message(_ change: (inout Bundle) -> Void) -> String {
      var bundle = good
      change(&bundle)
      do {
        _ = try PatchSource(bundle)
        return ""
      } catch let failure as Failure {
        #expect(failure.exitCode == 1)
        return failure.message
      } catch {
        return "\(error)"
      }
    }
    let cases: [(String, (inout Bundle) -> Void)] = [
      ("\"dtype\"", { $0.metadata["dtype"] = nil }),
      ("\"F16\", expected F32 or F64", { $0.metadata["dtype"] = "F16" }),
      ("how patches were cut", { $0.metadata["flatten"] = nil }),
      ("\"size\"", { $0.metadata["size"] = "0" }),
      ("do not fit", { $0.metadata["size"] = "40" }),
      (
        "too many",
        {
          $0.metadata["height"] = "1048576"
          $0.metadata["width"] = "1048576"
        }
      ),
      ("3 channels of 13", { $0.metadata["height"] = "13" }),
      (
        "is F64 [47], expected [48]",
        { $0.tensors["mean"] = Tensor([Double](repeating: 0, count: 47)) }
      ),
      ("no tensor \"mean\"", { $0.tensors["mean"] = nil }),
      ("is F64 [48, 7], expected [48, 8]", { $0.metadata["components"] = "8" }),
      ("is F64 [48, 7], expected [48, 49]", { $0.metadata["components"] = "49" }),
      (
        "not finite",
        { $0.tensors["mean"] = Tensor([Double](repeating: .nan, count: 48)) }
      ),
      (
        "do not fit F32",
        { $0.tensors["mean"] = Tensor([Double](repeating: 1e300, count: 48)) }
      ),
      ("[48, 7]", { $0.tensors["whiten"] = Tensor(type: .f32, shape: [48, 7]) }),
      ("expected U8", { $0.tensors["images"] = Tensor(type: .f32, shape: [4, 3, 12, 10]) }),
      ("is empty", { $0.tensors["images"] = Tensor(type: .u8, shape: [0, 3, 12, 10]) }),
      ("both", { $0.tensors["x"] = Tensor(type: .f32, shape: [4, 1, 2]) }),
      ("\"pool\"", { $0.tensors["pool"] = Tensor([Int32](repeating: 0, count: 3)) }),
      ("no tensor \"x\"", { $0.tensors["images"] = nil }),
      ("\"images\", expected", { $0.metadata["kind"] = "images" }),
    ]
    for (phrase, change) in cases {
      let text = message(change)
      #expect(text.contains(phrase), "\(phrase): \(text)")
    }
  }
}
