import Foundation
import Schema
import Tensors
import Testing

/// Four points of the plane with a bias and labels, as F32: in general position.
private func points(kind: Kind = .dataset, shape: [Int] = [4, 3]) -> Bundle {
  Bundle(
    kind: kind,
    tensors: [
      "x": Tensor([0, 0, 1, 1, 0, 1, 0, 1, 1, 2, 3, 1] as [Float], shape: shape),
      "labels": Tensor([0, 1, 1, 0] as [Int32]),
    ], metadata: ["classes": "a,b", "command": "made by hand", "producer": "hand"])
}

private func words(_ bundle: Bundle, rows: Int) -> [String] {
  let packed = bundle.tensors["patterns"]!
  let stride = packed.shape[1]
  return packed.withElements(of: UInt8.self) { bytes in
    (0..<packed.shape[0]).map { i in
      (0..<rows).map { "\(bytes[i * stride + $0 / 8] >> UInt8($0 % 8) & 1)" }.joined()
    }
  }
}

@Test func exactListsEveryPatternInOrder() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run("arrangements", ["--exact", "data", "-o", "out"], in: folder)
  #expect(run.status == 0 && run.output.isEmpty)
  #expect(run.errors == "arrangements: there can be at most 14 patterns\n")
  let result = try folder.read("out")
  // Of the sixteen words those two are missing that no plane makes: (0,0) + (2,3) against (1,0) and (0,1) is no
  // balance of signs, but -4 (0,0) + 2 (1,0) + 3 (0,1) - (2,3) = 0 is one, with coefficients that sum to 0.
  let all = (0..<16).map { value in (0..<4).map { "\(value >> (3 - $0) & 1)" }.joined() }
  #expect(words(result, rows: 4) == all.filter { $0 != "0110" && $0 != "1001" })
  #expect(result.metadata["kind"] == "arrangements")
  #expect(result.metadata["exact"] == "true" && result.metadata["bound"] == "14")
  #expect(result.metadata["classes"] == "a,b")
  #expect(result.metadata["command"] == "made by hand\narrangements --exact")
  #expect(result.tensors["gates"]?.shape == [14, 3] && result.tensors["gates"]?.type == .f64)
  #expect(result.tensors["patterns"]?.shape == [14, 1])
  #expect(result.tensors["thresholds"] == nil)
  #expect(result.tensors["x"]?.type == .f32 && result.tensors["labels"]?.doubles == [0, 1, 1, 0])
}

@Test func quietSaysNothing() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run("arrangements", ["--exact", "--quiet", "data"], in: folder)
  #expect(run.status == 0 && run.errors.isEmpty)
}

@Test func moreThanTheMaximumIsRefusedWithTheCount() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run(
    "arrangements", ["--exact", "--max", "13", "data", "-o", "out"], in: folder)
  #expect(run.failed(1, "arrangements"), "\(run)")
  #expect(run.errors.contains("there can be 14 patterns"))
  #expect(folder.files == ["data"])
  let enough = try Tools.run(
    "arrangements", ["--exact", "--max=14", "data", "-o", "out"], in: folder)
  #expect(enough.status == 0)
}

@Test func patchesAreRowsOfTheirOwn() throws {
  let folder = try Folder()
  // Two samples of two patches: the rows of `points`.
  var bundle = points(shape: [2, 2, 3])
  bundle.tensors["labels"] = Tensor([0, 1] as [Int32])
  try folder.write(bundle, "patches")
  try folder.write(points(), "data")
  for options in [["--exact"], ["--sample", "50"]] {
    for (input, output) in [("patches", "a"), ("data", "b")] {
      let run = try Tools.run("arrangements", options + [input, "-o", output], in: folder)
      #expect(run.status == 0, "\(run)")
    }
    let (a, b) = (try folder.read("a"), try folder.read("b"))
    #expect(words(a, rows: 4) == words(b, rows: 4))
    #expect(a.tensors["gates"]?.doubles == b.tensors["gates"]?.doubles)
  }
}

@Test(arguments: [
  ["--sample", "700"], ["--sample", "700", "--sampler", "samples", "--threshold", "0.1"],
  ["--exact"],
])
func threadsDoNotChangeTheBytes(options: [String]) throws {
  let folder = try Folder()
  var random = RandomSource(seed: 6)
  let x = (0..<60 * 3).map { _ in random.gaussian() }
  try folder.write(Bundle(kind: .dataset, tensors: ["x": Tensor(x, shape: [60, 3])]), "data")
  let runs = try ["1", "2", "5"].map {
    try Tools.run("arrangements", options + ["--threads", $0, "data"], in: folder)
  }
  #expect(runs.allSatisfy { $0.status == 0 && $0.output == runs[0].output })
}

@Test func sampledPatternsDependOnTheSeed() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let outputs = try [[], ["--seed", "0"], ["--seed=1"], ["--sampler", "gaussian"]].map {
    try Tools.run("arrangements", ["--sample", "40"] + $0 + ["data", "-o", "out"], in: folder)
    return try folder.read("out")
  }
  #expect(outputs[0].tensors["gates"]!.doubles == outputs[1].tensors["gates"]!.doubles)
  #expect(outputs[0].tensors["gates"]!.doubles != outputs[2].tensors["gates"]!.doubles)
  #expect(outputs[0].tensors["gates"]!.doubles == outputs[3].tensors["gates"]!.doubles)
  let result = outputs[0]
  #expect(result.metadata["exact"] == "false" && result.metadata["bound"] == "14")
  #expect(result.tensors["thresholds"] == nil)
  #expect(Set(words(result, rows: 4)).count == result.tensors["patterns"]!.shape[0])
}

@Test func thresholdsAreThoseOfTheGatesLengths() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run(
    "arrangements", ["--sample", "9", "--threshold", "-0.5", "data", "-o", "out"], in: folder)
  #expect(run.status == 0, "\(run)")
  let result = try folder.read("out")
  let (gates, thresholds) = (
    result.tensors["gates"]!.doubles, result.tensors["thresholds"]!.doubles
  )
  #expect(result.tensors["thresholds"]!.shape == [gates.count / 3])
  for (i, t) in thresholds.enumerated() {
    let squares = gates[3 * i..<3 * i + 3].reduce(0) { $0 + $1 * $1 }
    #expect(abs(t + 0.5 * squares.squareRoot()) < 1e-14)
  }
  let none = try Tools.run(
    "arrangements", ["--sample", "9", "--threshold", "0", "data", "-o", "out"], in: folder)
  #expect(none.status == 0)
  #expect(try folder.read("out").tensors["thresholds"] == nil)
}

@Test(arguments: [
  [], ["--sample", "3", "--exact"], ["--sample", "0"], ["--sample", "x"],
  ["--exact", "--max", "0"],
  ["--sample", "3", "--max", "5"], ["--exact", "--threshold", "1"],
  ["--exact", "--sampler", "samples"],
  ["--sample", "3", "--sampler", "means"], ["--sample", "3", "--threshold", "nan"],
])
func whatArrangementsCannotDoIsUsage(arguments: [String]) throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run("arrangements", arguments + ["data", "-o", "out"], in: folder)
  #expect(run.failed(2, "arrangements"), "\(run)")
  #expect(folder.files == ["data"])
}

@Test func dataThatAreNoneAreRefused() throws {
  let folder = try Folder()
  let bad: [(Tensor?, String)] = [
    (nil, "has no tensor \"x\""),
    (Tensor([UInt8(1), 2], shape: [2, 1]), "tensor \"x\" of data is U8 [2, 1]"),
    (Tensor([1.0, 2]), "tensor \"x\" of data is F64 [2]"),
    (Tensor([Double](), shape: [0, 2]), "no samples"),
    (Tensor([Double](), shape: [2, 0]), "no features"),
    (Tensor([1.0, .nan], shape: [2, 1]), "not finite"),
    (Tensor([1.0, .infinity], shape: [2, 1]), "not finite"),
  ]
  for (x, message) in bad {
    var bundle = Bundle(kind: .dataset, tensors: ["labels": Tensor([0, 1] as [Int32])])
    bundle.tensors["x"] = x
    try folder.write(bundle, "data")
    for options in [["--exact"], ["--sample", "3"]] {
      let run = try Tools.run("arrangements", options + ["data", "-o", "out"], in: folder)
      #expect(run.failed(1, "arrangements") && run.errors.contains(message), "\(run)")
    }
    #expect(folder.files == ["data"])
  }
}

@Test func moreGatesThanMemoryAreRefusedBeforeTheyAreDrawn() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  let run = try Tools.run(
    "arrangements", ["--sample", "9000000000000", "data", "-o", "out"], in: folder)
  #expect(run.failed(1, "arrangements"), "\(run)")
  #expect(run.errors.contains("GB of memory"))
  #expect(folder.files == ["data"])
}

@Test(arguments: [
  ([1, 2, 3] as [Double], [1, 3], 2), ([1, 2, -3], [3, 1], 2), ([0, 0, 5], [3, 1], 2),
  ([0, 0, 0, 0], [2, 2], 1), ([1, 1, 1, 1, -2, -2], [3, 2], 2),
])
func degenerateDataAreListed(values: [Double], shape: [Int], count: Int) throws {
  let folder = try Folder()
  try folder.write(Bundle(kind: .dataset, tensors: ["x": Tensor(values, shape: shape)]), "data")
  let run = try Tools.run("arrangements", ["--exact", "data", "-o", "out"], in: folder)
  #expect(run.status == 0, "\(run)")
  #expect(try folder.read("out").tensors["patterns"]!.shape[0] == count)
}

// MARK: The pattern of ones

@Test func openAddsThePatternOfOnesFirst() throws {
  let folder = try Folder()
  try folder.write(points(), "data")
  for options in [[], ["--threshold", "0.5"], ["--sampler", "k-means"]] {
    let run = try Tools.run(
      "arrangements", ["--sample", "6", "--open"] + options + ["data", "-o", "out"], in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let result = try folder.read("out")
    #expect(words(result, rows: 4)[0] == "1111")
    #expect(Set(words(result, rows: 4)).count == words(result, rows: 4).count)
    #expect(result.tensors["gates"]?.doubles.prefix(3) == [0, 0, 0])
    #expect((result.tensors["thresholds"]?.doubles.first ?? 0) == 0)
  }
  for (other, reason) in [
    ("--exact", "lists every pattern"), ("--spike-free", "lists no patterns"),
  ] {
    let run = try Tools.run("arrangements", [other, "--open", "data", "-o", "none"], in: folder)
    #expect(run.failed(2, "arrangements") && run.errors.contains(reason), "\(run)")
  }
  #expect(!folder.files.contains("none"))
}

/// Data that a linear function made are fitted beyond the training data's range; the gate is open there too, with patches
/// left in images as well.
@Test func gatedNetworksWithTheOpenGateAreLinearWhereThatIsBest() throws {
  let folder = try Folder()
  let script = """
    awk 'BEGIN { print "a,b,y"; for (i = 0; i < 30; ++i) { a = (7 * i) % 11 - 5; b = (5 * i) % 13 - 6; print a "," b "," 2 * a - b + 3 } }' > t.csv
    printf 'a,b,y\\n50,-40,143\\n-60,30,-147\\n' > far.csv
    tensor from-csv t.csv --targets y --bias | arrangements --sample 10 --open -o train
    tensor from-csv far.csv --like train -o far
    solve --activation gated-relu --beta 1e-4 --gap 1e-8 train -o solution
    recover solution -o network
    evaluate network train --certify solution --quiet
    evaluate network far --quiet | awk '$1 == "rmse" { exit !($2 < 0.01) }'
    tensor from-csv t.csv --targets y --bias | arrangements --from network --open -o again
    cifar-extract --synthetic 20 --resize 8x8 --classes 0,1 |
      patchify --size 4 --stride 4 --bias --defer | arrangements --sample 4 --open -o images
    solve --activation gated-relu --beta 1 images -o deferred
    recover deferred | evaluate --data images --certify deferred
    """
  let run = try Tools.shell("set -e; " + script, in: folder)
  #expect(run.status == 0, "\(run.errors)")
  #expect(try folder.read("again")[.gates]?.doubles.prefix(3) == [0, 0, 0])
}
