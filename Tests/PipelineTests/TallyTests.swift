import Foundation
import Schema
import Tensors
import Testing

/// What sums, tallies and solutions of sums may not claim.
@Suite struct TallyTests {
  private let folder: Folder

  /// Moments m with sums ms, their solution, network and tally (mx, mn, mt); patches p with gates and sums ps (px, pn), and
  /// sums for linear networks ls with a network of four layers (lx, ln).
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --synthetic 60 --classes 0,1 --resize 8x8 --grayscale -o images
      patchify --quiet --moments --size 3 --stride 1 images -o m
      patchify --quiet --size 4 --stride 2 --pool 2 images -o p
      arrangements --quiet --sample 6 p -o gates
      gram --quiet --activation 0.09,0.5,0.47 m -o ms
      gram --quiet gates -o ps
      gram --quiet --activation linear p -o ls
      solve --quiet --beta 0.1 --gap 1e-8 ms -o mx
      solve --quiet --beta 0.5 --gap 1e-8 ps -o px
      solve --quiet --beta 0.5 --gap 1e-8 ls -o lx
      for d in m p; do recover ${d}x -o ${d}n; done
      recover --depth 4 lx -o ln
      evaluate --quiet --data m --certify mx --tally mt mn >report
      evaluate --quiet --data gates --certify px --tally pt pn >/dev/null
      evaluate --quiet --data p --certify lx --tally lt ln >/dev/null
      evaluate --quiet --data ls --certify lx ln >/dev/null
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func shell(_ script: String) throws -> Run { try Tools.shell(script, in: folder) }

  private func change(_ name: String, into copy: String, _ body: (inout Bundle) -> Void) throws {
    var bundle = try folder.read(name)
    body(&bundle)
    try folder.write(bundle, copy)
  }

  private func fill(_ tensor: Tensor, _ value: Double) -> Tensor {
    Tensor([Double](repeating: value, count: tensor.count), shape: tensor.shape)
  }

  private func refuse(_ line: String, _ message: String) throws {
    let run = try shell(line)
    #expect(
      run.status == 1 && run.errors.contains(message), "\(line): \(run.status) \(run.errors)")
  }

  private func objective(_ name: String) throws -> Double {
    try #require(Double(try folder.read(name).metadata["dual_objective"] ?? ""))
  }

  // MARK: The matrix T

  /// T, by which no activation can be told from another: its products underflow.
  @Test func noWhiteningHidesTheFeatures() throws {
    let size = try folder.read("ms")[.whitening]!.shape[0]
    func multiple(_ factor: Double) -> Tensor {
      Tensor(
        (0..<size * size).map { $0 % (size + 1) == 0 ? factor : 0 }, shape: [size, size])
    }
    for (factor, message) in [(1e-170, "underflow"), (1e170, "overflow")] {
      try change("ms", into: "like") { $0[.whitening] = multiple(factor) }
      try refuse("gram --like like m", message)
    }
    try change("mx", into: "forged") {
      $0[.dualWhitening] = multiple(1e-170)
      $0[.dualCoefficients] = self.fill($0[.dualCoefficients]!, 0)
    }
    try refuse("evaluate --data m --certify forged --tally t mn", "underflow")
    // Small, but not too small: the same optimum.
    try change("ms", into: "like") { $0[.whitening] = multiple(1e-60) }
    let run = try shell(
      "set -e; gram --like like m | solve --quiet --beta 0.1 -o x; recover x | evaluate --data m --certify x --tally t"
    )
    #expect(run.status == 0, "\(run.errors)")
    #expect(abs(try objective("x") / objective("mx") - 1) < 1e-4)
  }

  /// A T of which one direction drowns all others in rounding: what is claimed is not above the optimum.
  @Test func nearlySingularWhiteningProvesNoMore() throws {
    let size = try folder.read("ms")[.whitening]!.shape[0]
    for factor in [1e4, 1e8, 1e12] {
      try change("ms", into: "like") {
        $0[.whitening] = Tensor(
          (0..<size * size).map { k in
            let (i, j) = (k / size, k % size)
            return (i == j ? 1 : 0) + factor * Double((i % 3) - 1) * Double((j % 3) - 1)
          }, shape: [size, size])
      }
      let run = try shell(
        """
        gram --quiet --like like m | solve --quiet --beta 0.1 --max-seconds 5 -o x
        recover x | evaluate --quiet --data m --certify x --tally t
        """)
      let bound = run.text.split(separator: "\n").first { $0.hasPrefix("dual_objective\t") }
        .flatMap { Double($0.dropFirst(15)) }
      if let bound { #expect(bound <= (try objective("mx")) * (1 + 1e-6), "\(factor)") }
    }
  }

  // MARK: Tallies

  @Test func aTallyIsOfOneNetworkAndOneSolution() throws {
    for name in ["mx", "mn"] {
      try change(name, into: "\(name).other") { $0.metadata["activation"] = "1.0,0.0,0.0" }
    }
    try change("mn", into: "turned") { $0.metadata["targets"] = "1.0,-1.0" }
    try refuse("evaluate --data mt --certify mx.other mn.other", "another network")
    try refuse(
      "evaluate --data mt --certify mx.other mn", "the activations of mn and of mx.other differ")
    try refuse("evaluate --data mt --certify mx turned", "another network")
  }

  @Test(arguments: [
    ("output_squares", 1e300, "output_squares"), ("squares", 0, "products"),
    ("products", 1e6, "products"), ("feature_squares", -1, "feature_squares"),
    ("target_squares", 1, "products"), ("target_squares", 1e3, "target_squares"),
    ("solution_loss", 0.1, "claim"), ("directions", 1e3, "claim"), ("confusion", 0, "confusion"),
  ]) func sumsOfATallyFitEachOther(_ name: String, _ value: Double, _ message: String) throws {
    try change("mt", into: "false") {
      let own = $0.tensors[name]!
      $0.tensors[name] =
        own.type == .i64
        ? Tensor([Int64](repeating: Int64(value), count: own.count), shape: own.shape)
        : self.fill(own, value)
    }
    try refuse("evaluate --data false --certify mx mn", message)
    try change("mt", into: "named") { $0.metadata["classes"] = #"["cat","dog"]"# }
    try refuse("evaluate --data named --certify mx mn", "cat,dog")
  }

  @Test func gatesOfATallyAreThoseOfTheData() throws {
    let run = try shell(
      """
      set -e
      arrangements --quiet --sample 2 --seed 4 p -o two
      gram --quiet two | solve --quiet --beta 0.5 -o x
      recover x -o n
      evaluate --quiet --data two --certify x --tally t n >/dev/null
      """)
    #expect(run.status == 0, "\(run.errors)")
    try refuse("evaluate --data gates --certify x --tally t n", "the gates of gates")
    try refuse("gram gates two", "other gates")
  }

  @Test func deepNetworksAreBalanced() throws {
    try change("ln", into: "moved") {
      let middle = $0.tensors["middle.weight"]!
      let m = middle.shape[1]
      $0.tensors["middle.weight"] = Tensor(
        middle.doubles.enumerated().map { $1 * ($0 < m ? 1 + 1e-6 : 1 / (1 + 1e-6)) },
        shape: middle.shape)
    }
    try refuse("evaluate --data p --certify lx --tally t moved", "lengths")
    try refuse("evaluate --data ls --certify lx moved", "lengths")
  }

  // MARK: Statistics

  /// A sum of few long blocks is less accurate than the bound of its rounding would say.
  @Test func blocksHoldTheirSamples() throws {
    try change("ms", into: "false") {
      $0.tensors["samples"] = Tensor([Int64(1_000_000)])
      $0.tensors["counts"] = nil
    }
    try refuse("solve --beta 1 false", "too few")
  }

  @Test(arguments: [
    ("blocks", "blocks"), ("squares", "squares"), ("target_sums", "target_sums"), ("sums", "sums"),
    ("correlations", "correlations"), ("gram", "diagonal"),
  ]) func sumsFitEachOther(_ name: String, _ message: String) throws {
    try change("ms", into: "false") {
      let own = $0.tensors[name]!
      switch name {
      case "blocks": $0.tensors[name] = Tensor([Int64(1 << 40)])
      case "gram":
        // An entry off the diagonal.
        var values = own.doubles
        values[1] = 1e6
        $0.tensors[name] = Tensor(values, shape: own.shape)
      default: $0.tensors[name] = self.fill(own, 1e6)
      }
    }
    try refuse("evaluate --data false --certify mx mn", message)
  }

  @Test func whatSumsCannotDoIsSaid() throws {
    try refuse("solve --activation gated-relu --beta 1 --with gates ps", "--with")
    let nothing = try shell("solve --beta 1 </dev/null")
    #expect(nothing.status == 2 && nothing.errors.contains("empty"), "\(nothing.errors)")
    try refuse("head -c 300 ms | solve --beta 1", "unexpected end")
    // Below what sums can tell nothing is optimal.
    let run = try shell("solve --quiet --beta 1e-15 --require-optimal ls -o x")
    let metadata = try? folder.read("x").metadata
    #expect(
      run.status == 1 || Double(metadata?["primal_objective"] ?? "") ?? -1 > 0, "\(run.errors)")
  }
}
