import Convex
import Schema
import Tensors
import Testing

@testable import Convolution

@Test func unknownKindsAreRefused() {
  #expect(throws: Failure.self) {
    _ = try ConvolutionalData(Bundle(kind: .dataset, tensors: [:], metadata: [:]))
  }
}
