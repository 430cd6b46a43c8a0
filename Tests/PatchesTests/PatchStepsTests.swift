import Patches
import Tensors
import Testing

@Test func metadataRepeatTheSteps() throws {
  let all = [
    PatchSteps(), steps { $0.window = .wholeImage },
    steps {
      $0.window = .square(size: 6, stride: 2, padding: 1)
      $0.pooling = .perPatch
      $0.scale = PixelScale(low: 0.1, high: -1e300)
      $0.contrast = 1.0 / 3
      $0.whitening = 0
      $0.components = 7
      $0.bias = true
    },
    steps {
      $0.centers = true
      $0.pooling = .grid(3)
      $0.mirrors = true
    },
  ]
  for steps in all {
    #expect(try PatchSteps(metadata: Bundle(metadata: steps.metadata)) == steps)
  }
}

@Test func brokenMetadataAreRefused() {
  let sound = steps { $0.whitening = 0.1 }.metadata
  let changes = [
    ("size", "0"), ("size", "4.0"), ("stride", ""), ("padding", "-1"), ("scale", "1,1"),
    ("scale", "1"), ("pool", "0"), ("flatten", "yes"), ("whiten", "nan"), ("contrast", "-1"),
    ("components", "0"), ("bias", "1"), ("mirror", "yes"),
  ]
  for (key, value) in changes {
    var metadata = sound
    metadata[key] = value
    let failure = #expect(throws: Failure.self) {
      _ = try PatchSteps(metadata: Bundle(metadata: metadata))
    }
    #expect(failure?.message.contains("\"\(key)\"") == true)
  }
  for key in sound.keys where key != "whiten" && key != "mirror" {
    var metadata = sound
    metadata[key] = nil
    #expect(throws: Failure.self) { _ = try PatchSteps(metadata: Bundle(metadata: metadata)) }
  }
}

@Test func scalesAndPoolingsAreReadStrictly() {
  #expect(PixelScale("-1,1") == PixelScale(low: -1, high: 1))
  #expect(PixelScale("0,255")?.text == "0,255")
  for text in ["", "1", "1,1", "1,2,3", "a,b", "nan,1", "0,inf", "-1e308,1e308"] {
    #expect(PixelScale(text) == nil)
  }
  #expect(Pooling("none") == .perPatch)
  #expect(Pooling("2") == .grid(2))
  for text in ["0", "-1", "None", "1.5", ""] { #expect(Pooling(text) == nil) }
}
