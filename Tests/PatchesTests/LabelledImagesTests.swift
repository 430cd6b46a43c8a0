import Patches
import Tensors
import Testing

@Suite struct LabelledImagesTests {
  /// The message with which a changed bundle is refused.
  private func refusal(_ change: (inout Bundle) -> Void) -> String? {
    var bundle = randomImages(3)
    change(&bundle)
    return #expect(throws: Failure.self) { _ = try labelled(bundle) }?.message
  }

  @Test func whatIsNoBundleOfLabelledImagesIsRefused() {
    let cases: [(String, (inout Bundle) -> Void)] = [
      ("kind \"dataset\"", { $0.metadata["kind"] = "dataset" }),
      ("no \"kind\"", { $0.metadata["kind"] = nil }),
      ("no tensor \"images\"", { $0.tensors["images"] = nil }),
      ("no \"classes\"", { $0.metadata["classes"] = nil }),
      ("the label of sample 1 is 3", { $0.tensors["labels"] = Tensor([0, 3, 0] as [Int32]) }),
      ("the label of sample 2 is -1", { $0.tensors["labels"] = Tensor([0, 1, -1] as [Int32]) }),
      ("2 rows", { $0.tensors["labels"] = Tensor([0, 1] as [Int32]) }),
      ("expected I32", { $0.tensors["labels"] = Tensor([0, 1, 1] as [Int64]) }),
      ("expected U8", { $0.tensors["images"] = Tensor(type: .f32, shape: [3, 3, 4, 4]) }),
      ("expected U8", { $0.tensors["images"] = Tensor(type: .u8, shape: [3, 4, 4]) }),
      ("no images", { $0.tensors["images"] = Tensor(type: .u8, shape: [0, 3, 4, 4]) }),
      ("no pixels", { $0.tensors["images"] = Tensor(type: .u8, shape: [3, 3, 0, 4]) }),
      ("both", { $0.tensors["targets"] = Tensor([0.0, 2, 1]) }),
      (
        "not finite",
        {
          $0.tensors["labels"] = nil
          $0.tensors["targets"] = Tensor([0, .nan, 1])
        }
      ),
      (
        "no columns",
        {
          $0.tensors["labels"] = nil
          $0.tensors["targets"] = Tensor(type: .f64, shape: [3, 0])
        }
      ),
      ("\"cat\" twice", { $0.metadata["classes"] = "cat,dog,cat" }),
      ("2 rows", { $0.tensors["targets"] = Tensor([0.0, 1]) }),
    ]
    for (phrase, change) in cases {
      let message = refusal(change)
      #expect(message?.contains(phrase) == true, "\(phrase): \(message ?? "accepted")")
    }
  }

  @Test func otherTensorsArePassedOver() throws {
    var bundle = randomImages(3)
    bundle.tensors["notes"] = Tensor([1.0, 2, 3])
    #expect(try labelled(bundle).count == 3)
  }

  @Test func earlierBundlesMustFit() throws {
    let train = try extract(
      randomImages(9),
      steps {
        $0.whitening = 0.1
        $0.components = 4
      }, .moments
    ).bundle
    func earlier(_ change: (inout Bundle) -> Void) throws -> EarlierPatches {
      var bundle = train
      change(&bundle)
      let file = Scratch()
      try file.write(bundle)
      return try EarlierPatches(reading: Input(path: file.path))
    }
    let sound = try earlier { _ in }
    #expect(sound.product == .moments)
    func adapted(_ bundle: Bundle) throws -> LabelledImages {
      var images = try labelled(bundle)
      try sound.adapt(&images)
      return images
    }
    _ = try adapted(randomImages(2))
    let cases: [(String, (inout Bundle) -> Void)] = [
      ("no tensor \"mean\"", { $0.tensors["mean"] = nil }),
      ("no tensor \"whiten\"", { $0.tensors["whiten"] = nil }),
      ("\"mean\"", { $0.tensors["mean"] = Tensor([1.0, 2]) }),
      ("\"whiten\"", { $0.tensors["whiten"] = Tensor(type: .f64, shape: [48, 48]) }),
      ("not finite", { $0.tensors["mean"] = Tensor([Double](repeating: .nan, count: 48)) }),
      ("no tensor \"moments\"", { $0.tensors["moments"] = nil }),
      ("not made by patchify", { $0.metadata["flatten"] = nil }),
      ("\"height\"", { $0.metadata["height"] = nil }),
      ("do not fit", { $0.metadata["height"] = "3" }),
      ("\"images\"", { $0.metadata["kind"] = "images" }),
    ]
    for (phrase, change) in cases {
      let failure = #expect(throws: Failure.self) { _ = try earlier(change) }
      #expect(failure?.message.contains(phrase) == true, "\(phrase): \(failure?.message ?? "")")
      #expect(failure?.exitCode == 1)
    }
    let size = #expect(throws: Failure.self) {
      _ = try adapted(randomImages(2, width: 12))
    }
    #expect(size?.message.contains("12 × 12") == true && size?.message.contains("12 × 10") == true)
    let classes = #expect(throws: Failure.self) {
      var images = randomImages(3)
      images.metadata["classes"] = "cat,dog,elk"
      _ = try adapted(images)
    }
    #expect(classes?.message.contains("cat,dog,elk") == true)
    #expect(classes?.message.contains("cat,dog,eel") == true)
    var images = randomImages(2)
    images.metadata["classes"] = "dog,cat"
    let labels = images[.labels]!.doubles
    #expect(try adapted(images).labels?.doubles == labels.map { 1 - $0 })
  }
}
