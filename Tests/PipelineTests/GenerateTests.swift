import Foundation
import Tensors
import Testing

/// `generate`, and evaluate on what it made.
@Suite struct GenerateTests {
  /// X = diag(3, 2, 1), Z = diag(1, 2, 4), and twelve random rows of four features.
  private static let data = """
    set -e
    printf '%s\\n' 3,0,0 0,2,0 0,0,1 | tensor from-csv --header no -o X
    printf '%s\\n' 1,0,0 0,2,0 0,0,4 | tensor from-csv --header no -o Z
    awk 'BEGIN { s = 11; for (i = 0; i < 12; i++) { line = ""
      for (k = 0; k < 4; k++) { s = s * 16807 % 2147483647; line = line (k ? "," : "") s / 1073741823 - 1 }
      print line } }' | tensor from-csv --header no -o random
    """

  private static func rows(_ text: String) -> [String: String] {
    text.split(separator: "\n").map { $0.split(separator: "\t", maxSplits: 1).map(String.init) }
      .reduce(into: [:]) { $0[$1[0]] = $1.last }
  }

  private static func number(_ rows: [String: String], _ key: String) throws -> Double {
    try #require(rows[key].flatMap { Double($0) })
  }

  /// further-systems, section 7: 9 for free samples, 7/16 + 2/4 for a linear generator.
  @Test(arguments: [
    ("", 9.0, "free"), ("--generator linear --latent Z", 0.9375, "linear"),
    ("--latent Z", 0.9375, "linear"), ("--generator relu --latent 3 --seed 2", 9, "relu"),
  ]) func diagonalDataHaveTheKnownValues(_ options: String, _ known: Double, _ kind: String) throws
  {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.data)
      generate --quiet --beta 2 \(options) --report report X -o generated
      evaluate generated X >judged; cmp report judged; cat judged
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = Self.rows(run.text)
    #expect(abs(try Self.number(rows, "primal_objective") - known) < 1e-12)
    #expect(abs(try Self.number(rows, "dual_objective") - known) < 1e-12)
    #expect(abs(try Self.number(rows, "constraint") - 2) < 1e-12)
    #expect(rows["generator"] == kind && rows["certificate"] == "global")
    #expect(rows["components"] == "2")
  }

  /// The constraint by power iteration on XᵀX/n − GᵀG/N, and that no smaller multiple of G satisfies it.
  @Test(arguments: [
    "--samples 7", "--samples 30 --latent 4", "--generator relu --latent 3 --samples 9",
  ])
  func otherCountsCompareMeans(_ options: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.data)
      generate --quiet --beta 0.1 \(options) random -o generated; evaluate --data random generated
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let x = try #require(folder.read("random").tensors["x"])
    let g = try #require(folder.read("generated").tensors["x"])
    func constraint(_ factor: Double) -> Double {
      var matrix = [Double](repeating: 0, count: 16)
      for (tensor, weight) in [(x, 1.0), (g, -factor * factor)] {
        let (values, n) = (tensor.doubles, tensor.shape[0])
        for i in 0..<n {
          for a in 0..<4 {
            for b in 0..<4 {
              matrix[4 * a + b] += weight * values[4 * i + a] * values[4 * i + b] / Double(n)
            }
          }
        }
      }
      var vector = [0.9, -0.3, 0.5, 0.7]
      var size = 0.0
      for _ in 0..<4000 {
        // The square has eigenvalues of one sign.
        for _ in 0..<2 {
          vector = (0..<4).map { a in (0..<4).reduce(0) { $0 + matrix[4 * a + $1] * vector[$1] } }
        }
        size = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        vector = vector.map { $0 / size }
      }
      return size.squareRoot()
    }
    #expect(abs(constraint(1) - 0.1) < 1e-9)
    #expect(constraint(0.999) > 0.1)
    let value = try Self.number(Self.rows(run.text), "constraint")
    #expect(abs(value - constraint(1)) < 1e-9)
  }

  /// G = (Z U)₊ A by loops, balanced neurons, and their weight decay between its bounds.
  @Test func theReLUGeneratorIsItsNetwork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.data)
      generate --quiet --beta 0.1 --generator relu --latent 3 random -o generated
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let bundle = try folder.read("generated")
    func tensor(_ name: String) throws -> Tensor { try #require(bundle.tensors[name]) }
    let (z, u, a) = (
      try tensor("latent"), try tensor("generator.hidden"), try tensor("generator.output")
    )
    let (m, g) = (u.shape[0], try tensor("x").doubles)
    var decay = 0.0
    for value in u.doubles + a.doubles { decay += 0.5 * value * value }
    for i in 0..<12 {
      for c in 0..<4 {
        let value = (0..<m).reduce(0.0) { sum, j in
          let t = (0..<3).reduce(0.0) { $0 + z.doubles[3 * i + $1] * u.doubles[3 * j + $1] }
          return sum + max(0, t) * a.doubles[4 * j + c]
        }
        #expect(abs(value - g[4 * i + c]) < 1e-9)
      }
    }
    let claimed = try #require(bundle.metadata["weight_norm"].flatMap { Double($0) })
    let bound = try #require(bundle.metadata["weight_norm_bound"].flatMap { Double($0) })
    #expect(abs(decay - claimed) < 1e-6 * claimed)
    #expect(bound <= claimed && claimed - bound < 1e-3 * claimed)
  }

  /// Stages of images: the last one is judged on images of its size, each pixel rounded once.
  @Test func imagesGoThroughStages() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --quiet --synthetic 200 -o all
      generate --quiet --beta 2e4 --stages 4,8,16 --samples 40 --report report --contact-sheet sheet.png all -o new
      evaluate new all; cat report
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = Self.rows(run.text)
    for stage in [4, 8] {
      #expect(try Self.number(rows, "stage_\(stage)_components") > 0)
      #expect(try Self.number(rows, "stage_\(stage)_relative_gap") < 1e-9)
    }
    #expect(try Self.number(rows, "relative_gap") < 1e-9)
    #expect(folder.files.contains("sheet.png"))
    let bundle = try folder.read("new")
    let images = try #require(bundle.tensors["images"])
    #expect(images.shape == [40, 3, 16, 16])
    let exact = try #require(bundle.tensors["generated"]).doubles
    let mean = try #require(bundle.tensors["generator.center"]).doubles
    for (i, pixel) in images.doubles.enumerated() {
      let value = min(255, max(0, exact[i] + mean[i % mean.count]))
      #expect(abs(pixel - value) <= 0.5 + 1e-9)
    }
  }

  /// What is altered in a bundle of a linear generator, or in the data, and what evaluate says of it.
  @Test(arguments: [
    ("x", "latent data"), ("latent", "latent data"), ("generator.weight", "latent data"),
    ("beta", "above beta"), ("constraint", "constraint is"),
    ("primal_objective", "primal_objective is"),
    ("dual_objective", "dual_objective is"), ("relative_gap", "relative_gap is"),
    ("certificate", "\"certificate\""), ("smaller", "above beta"), ("larger", "relative_gap is"),
    ("extra", "\"generator.hidden\""), ("kind", "\"latent\""), ("nan", "not finite"),
    ("shape", "does not fit"), ("no beta", "\"beta\""), ("gap of one", "relative_gap is"),
    ("features", "the features of"),
  ]) func falseClaimsAreRefused(_ alteration: String, _ message: String) throws {
    let folder = try Folder()
    try Tools.shell(
      "\(Self.data); generate --quiet --beta 0.5 --latent 4 random -o generated", in: folder)
    var bundle = try folder.read("generated")
    func scale(_ name: String, _ factor: Double) throws {
      let tensor = try #require(bundle.tensors[name])
      bundle.tensors[name] = Tensor(tensor.doubles.map { $0 * factor }, shape: tensor.shape)
    }
    func shift(_ key: String, _ factor: Double) throws {
      let value = try #require(bundle.metadata[key].flatMap { Double($0) })
      bundle.metadata[key] = "\(value * factor)"
    }
    switch alteration {
    case "beta": try shift("beta", 0.99)
    case "constraint", "primal_objective", "dual_objective": try shift(alteration, 1.0001)
    case "relative_gap": bundle.metadata["relative_gap"] = "-0.5"
    case "gap of one": bundle.metadata["relative_gap"] = "1.0"
    case "features":
      bundle.metadata["features"] = #"["a","b","c","d"]"#
      var data = try folder.read("random")
      data.metadata["features"] = #"["b","a","c","d"]"#
      try folder.write(data, "random")
    case "certificate": bundle.metadata["certificate"] = "gates"
    case "smaller", "larger":
      for name in ["x", "generator.weight"] {
        try scale(name, alteration == "smaller" ? 0.999 : 1.001)
      }
      if alteration == "larger" {
        // A claim of the objective that it now has.
        try shift("primal_objective", 1.001 * 1.001)
      }
    case "extra": bundle.tensors["generator.hidden"] = bundle.tensors["generator.weight"]
    case "kind": bundle.metadata["generator"] = "free"
    case "nan": try scale("latent", .nan)
    case "shape": bundle.tensors["latent"] = bundle.tensors["generator.weight"]
    case "no beta": bundle.metadata["beta"] = nil
    default: try scale(alteration, 1.001)
    }
    try folder.write(bundle, "altered")
    let run = try Tools.shell("evaluate altered random", in: folder)
    #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
  }

  @Test(arguments: [
    ("--beta 2 --latent 1 X", 1, "rank 1"), ("--beta 0.5 --samples 1 X", 1, "below --beta"),
    ("X", 2, "--beta"), ("--beta 0 X", 2, "above 0"), ("--beta -1 X", 2, "above 0"),
    ("--beta 1,2 X", 2, "2 numbers"), ("--beta 2 --latent 0 X", 2, "at least 1"),
    ("--beta 2 --latent none X", 1, "none"), ("--beta 2 --generator free --latent Z X", 2, "free"),
    ("--beta 2 --samples 3 --latent Z X", 2, "exclude"), ("--beta 2 --neurons 3 X", 2, "relu"),
    ("--beta 2 --stages 4,8 X", 1, "dataset"), ("--beta 2 --stages 8,4 X", 2, "grow"),
    ("--beta 2 --generator relu --stages 4 X", 2, "linear"),
    ("--beta 2 --contact-sheet sheet X", 1, "dataset"),
    ("--beta 2 --generator relu --latent 1 --neurons 1 X", 1, "rank 1"),
    ("--beta 2 --generator relu --latent 1 --neurons 999999999999 X", 1, "memory"),
    ("--beta 2 --latent 9223372036854775807 X", 1, "memory"),
    ("--beta 2 --samples 9223372036854775807 X", 1, "memory"), ("--beta 2 network", 1, "kind"),
    ("--beta 1e-300 huge", 1, "not finite"), ("--beta 1e-12 X", 1, "too small"),
    ("--beta 2 constant", 1, "--bias"),
    ("--beta 2 cut", 1, "cut"),
  ]) func badInputIsRefused(_ arguments: String, _ status: Int32, _ message: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.data)
      printf '1e200,1\\n1,1e200\\n' | tensor from-csv --header no -o huge
      printf '1,2\n2,3\n' | tensor from-csv --header no --bias -o constant
      head -c 60 X >cut
      solve --quiet --activation linear --beta 1 <(printf '1,2\\n2,3\\n' | tensor from-csv --header no --targets 2) |
        recover -o network
      generate \(arguments) -o generated
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.errors)")
    #expect(!folder.files.contains("generated"))
  }

  @Test func optionsOfNetworksAreRefusedForSamples() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      "\(Self.data); generate --quiet --beta 2 X -o generated; evaluate --beta 1 generated X",
      in: folder)
    #expect(run.status == 2 && run.errors.contains("--beta is for networks"), "\(run.errors)")
    let tally = try Tools.shell("evaluate --tally t generated X", in: folder)
    #expect(tally.status == 2 && tally.errors.contains("--tally"), "\(tally.errors)")
  }
}
