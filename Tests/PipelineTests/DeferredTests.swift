import Foundation
import Schema
import Tensors
import Testing

private let patches =
  "--size 4 --stride 2 --pool 2 --contrast 0.01 --whiten 0.1 --components 6 --bias"

@Suite struct DeferredTests {
  let folder: Folder
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      cifar-extract --synthetic 40 --resize 10x10 -o images &&
      patchify \(patches) --defer images -o deferred && patchify \(patches) images -o written
      """, in: folder)
    #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
  }

  private func values(_ file: String, _ name: String) throws -> [Double] {
    try folder.read(file).tensors[name]?.doubles ?? []
  }

  @Test func aDeferredDatasetHoldsImagesAndWhatWasFitted() throws {
    let (bundle, written) = (try folder.read("deferred"), try folder.read("written"))
    #expect(bundle.kind == .dataset && bundle.metadata["dtype"] == "F32")
    #expect(bundle.tensors.keys.sorted() == ["images", "labels", "mean", "pool", "whiten"])
    #expect(bundle.tensors["images"]?.summary == "U8 [40, 3, 10, 10]")
    for name in ["labels", "mean", "pool", "whiten"] {
      #expect(bundle.tensors[name]!.doubles == written.tensors[name]!.doubles)
    }
    #expect(try values("images", "images") == bundle.tensors["images"]!.doubles)
    let piped = try Tools.shell("cat images | patchify \(patches) --defer | cat", in: folder)
    #expect(try Data(contentsOf: folder.url("deferred")) == piped.output)
  }

  @Test func likeWritesWhatTheBundleIsUnlessTold() throws {
    let script = """
      patchify --like deferred images -o a && patchify --like deferred --patches images -o b &&
      patchify --like written --defer images -o c && patchify --like deferred --moments images -o d &&
      arrangements --sample 3 deferred | patchify --like - images -o e &&
      patchify --like written --moments images -o f
      """
    let run = try Tools.shell(script, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let original = try folder.read("deferred")
    for name in ["a", "c", "e"] {
      var bundle = try folder.read(name)
      bundle.metadata["command"] = original.metadata["command"]
      #expect(bundle.metadata == original.metadata)
      for (key, tensor) in original.tensors {
        #expect(bundle.tensors[key]!.doubles == tensor.doubles)
      }
    }
    let x = try values("written", "x")
    let isSame = try values("b", "x") == x
    #expect(isSame && !x.isEmpty)
    let moments = try values("d", "moments")
    let areSame = try values("f", "moments") == moments
    #expect(areSame && !moments.isEmpty)
  }

  @Test func gatesAreThoseOfTheWrittenDataset() throws {
    for options in [
      "--sampler k-means --threshold 1.5", "--sampler samples --threshold 0.5",
      "--sampler gaussian",
    ] {
      let script = """
        arrangements --sample 12 \(options) deferred -o d && arrangements --sample 12 \(options) written -o w
        arrangements --threads 1 --sample 12 \(options) deferred -o one
        """
      let run = try Tools.shell(script, in: folder)
      #expect(run.status == 0, "\(run.errors)")
      let (bundle, written) = (try folder.read("d"), try folder.read("w"))
      #expect(bundle.kind == .arrangements && bundle.metadata["exact"] == "false")
      #expect(bundle.tensors["patterns"] == nil && bundle.tensors["images"]?.shape[0] == 40)
      #expect(written.tensors["patterns"]?.shape[1] == 40 * 16 / 8)
      #expect(bundle.tensors["gates"]!.doubles == written.tensors["gates"]!.doubles)
      #expect(bundle.tensors["thresholds"]?.doubles == written.tensors["thresholds"]?.doubles)
      #expect(try Data(contentsOf: folder.url("d")) == Data(contentsOf: folder.url("one")))
      guard options.contains("k-means") else { continue }
      // The constant has no part in the gates.
      let gates = bundle.tensors["gates"]!
      for k in 0..<gates.shape[0] { #expect(gates.rows(k..<k + 1).doubles.last == 0) }
    }
  }

  @Test func samplesAreCutAndJoined() throws {
    let script = """
      tensor slice --rows 0:15 deferred -o a && tensor slice --rows 15: deferred -o b &&
      tensor concat a b -o all && tensor show all &&
      arrangements --sample 5 deferred -o gates && tensor slice --rows 3:9 gates -o some
      """
    let run = try Tools.shell(script, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.contains("[40,3,10,10]"))
    #expect(try folder.read("a").tensors["images"]?.shape == [15, 3, 10, 10])
    for name in ["images", "labels", "mean", "pool", "whiten"] {
      #expect(try values("all", name) == values("deferred", name))
    }
    let some = try folder.read("some")
    #expect(some.tensors["images"]?.shape[0] == 6 && some.tensors["gates"]?.shape[0] == 5)
    #expect(some.metadata["bound"] == nil)
    let joined = try Tools.shell("tensor concat gates gates", in: folder)
    #expect(joined.status == 1 && joined.errors.contains("find its arrangements anew"))
  }

  @Test func fullyConnectedNetworksTrainOnDeferredImages() throws {
    let script = """
      cifar-extract --synthetic 60 --classes 0,1 --resize 3x3 -o small
      for defer in "" --defer; do
        patchify --flatten --bias $defer small | arrangements --sample 15 -o train$defer
        for activation in relu gated-relu; do
          solve --activation $activation --beta 1 --gap 1e-6 train$defer | tensor get predictions
        done > ./$defer.predictions
      done
      cmp ./.predictions ./--defer.predictions && wc -l < ./.predictions
      """
    let run = try Tools.shell(script, in: folder)
    #expect(
      run.status == 0 && Int(run.text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 9)
    #expect(run.errors.isEmpty, "\(run.errors)")
  }

  @Test func exactPatternsOfDeferredImagesAreListed() throws {
    let script = """
      cifar-extract --synthetic 12 --grayscale --resize 2x2 -o tiny
      for defer in "" --defer; do
        patchify --size 2 --contrast 0.1 --bias --whiten 0.1 --components 2 $defer tiny |
          arrangements --quiet --exact -o exact$defer
      done
      """
    let run = try Tools.shell(script, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let (bundle, written) = (try folder.read("exact--defer"), try folder.read("exact"))
    #expect(bundle.tensors["patterns"] == nil && bundle.metadata["exact"] == "true")
    #expect(bundle.tensors["gates"]!.doubles == written.tensors["gates"]!.doubles)
    #expect(bundle.metadata["bound"] == written.metadata["bound"])
    let large = try Tools.shell("arrangements --exact deferred", in: folder)
    #expect(large.status == 1 && large.errors.contains("--max"), "\(large.errors)")
  }

  @Test func badUsageAndBadDataAreToldApart() throws {
    var bundle = try folder.read("deferred")
    bundle.metadata["dtype"] = nil
    try folder.write(bundle, "untyped")
    bundle = try folder.read("deferred")
    bundle.tensors["images"] = Tensor(type: .u8, shape: [2, 3, 10, 9])
    bundle.tensors["labels"] = Tensor([0, 1] as [Int32])
    try folder.write(bundle, "narrow")
    let cases: [(String, Int32, String)] = [
      ("patchify --defer --moments images", 2, "exclude"),
      ("patchify --defer --patches images", 2, "exclude"),
      ("patchify --like untyped images", 1, "\"dtype\""),
      ("arrangements --sample 2 untyped", 1, "\"dtype\""),
      ("arrangements --sample 2 narrow", 1, "tensor \"images\""),
      ("arrangements --sample 2 --sampler means deferred", 2, "k-means"),
      ("arrangements --sample 2 images", 1, "\"images\""),
    ]
    for (command, status, phrase) in cases {
      let run = try Tools.shell(command, in: folder)
      #expect(run.status == status, "\(command): \(run.errors)")
      #expect(run.errors.contains(phrase) && run.output.isEmpty, "\(command): \(run.errors)")
    }
  }
}
