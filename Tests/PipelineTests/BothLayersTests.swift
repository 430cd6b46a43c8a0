import Foundation
import Tensors
import Testing

/// ReLU networks of several outputs with weight decay on both layers.
@Suite struct BothLayersTests {
  private static let line = """
    set -e
    printf -- '-2,1,1,0\\n-1,1,0,1\\n0,1,1,1\\n1,1,0,1\\n2,1,1,0\\n' >table
    tensor from-csv table --targets 3,4 | arrangements --quiet --exact -o data
    """

  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  /// T5 with its Y, β = 0.2 (further-systems, section 1): the program lies between its two bounds without rays.
  @Test(arguments: [
    ("relu --norm nuclear", 1.058972, "global"), ("gated-relu --norm nuclear", 0.567749, "gates"),
    ("relu", 1.118369, "global"),
  ]) func theLineHasTheKnownOptima(_ options: String, _ known: Double, _ word: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      solve --quiet --activation \(options) --beta 0.2 --gap 1e-7 data -o solution
      recover --quiet solution -o network
      evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(abs(try Self.value(run.text, "primal_objective") - known) < 1e-6)
    #expect(try Self.value(run.text, "relative_gap") <= 1e-6)
    #expect(run.text.contains("certificate\t\(word)\n"))
  }

  /// ½ ‖f(X) − Y‖² + β/2 Σ (‖u‖² + ‖a‖²), by loops over samples and neurons.
  @Test func theNetworkHasTheObjectiveOfWeightDecay() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      solve --quiet --activation relu --norm nuclear --beta 0.2 --gap 1e-9 data -o solution
      recover --quiet solution -o network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let network = try folder.read("network")
    let u = try #require(network.tensors["hidden.weight"]).doubles
    let a = try #require(network.tensors["output.weight"]).doubles
    let m = u.count / 2
    let targets: [[Double]] = [[1, 0], [0, 1], [1, 1], [0, 1], [1, 0]]
    var value = (u + a).reduce(0) { $0 + 0.1 * $1 * $1 }
    for (i, y) in targets.enumerated() {
      for c in 0..<2 {
        let output = (0..<m).reduce(0.0) {
          $0 + a[c * m + $1] * max(0, u[2 * $1] * Double(i - 2) + u[2 * $1 + 1])
        }
        value += 0.5 * (output - y[c]) * (output - y[c])
      }
    }
    #expect(abs(value - 1.058972) < 1e-6)
  }

  /// X Xᵀ = I and one-hot Y: Σ_c h_β(√n_c) with h_β(t) = ½t² − ½(t − β)₊²; classes of 3 and 2, β = 0.4.
  @Test func orthonormalRowsHaveTheClosedForm() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '1,0,0,0,1,0\\n0,1,0,0,1,0\\n0,0,1,0,0,1\\n0,0,0,1,0,1\\n' | tensor from-csv --targets 5,6 |
        arrangements --quiet --exact -o data
      solve --quiet --activation relu --norm nuclear --beta 0.4 --gap 1e-8 data -o solution
      recover --quiet solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let h = 0.5 * 2 - 0.5 * (2.0.squareRoot() - 0.4) * (2.0.squareRoot() - 0.4)
    #expect(abs(try Self.value(run.text, "primal_objective") - 2 * h) < 1e-7)
    #expect(run.text.contains("certificate\tglobal\n"))
  }

  /// Two equal patches in two regions: output weights a₁ + a₂ = a cost ‖a‖/√2, so that β is worth as much; in one region they are one
  /// patch.
  @Test(arguments: ["squared", "huber"])
  func equalPatchesAreOnePatchAtAnotherBeta(_ loss: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(Self.line, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let one = try folder.read("data")
    let x = try #require(one.tensors["x"]).doubles
    let patterns = try #require(one.tensors["patterns"])
    // Rows 2i and 2i + 1 are row i.
    let bits = patterns.doubles.map { UInt8($0) }
    var doubled = [UInt8](repeating: 0, count: 2 * bits.count)
    for p in 0..<bits.count {
      for j in 0..<10 where bits[p] >> UInt8(j / 2) & 1 == 1 {
        doubled[2 * p + j / 8] |= 1 << UInt8(j % 8)
      }
    }
    for (name, pool) in [("regions", [0, 1]), ("region", [0, 0])] {
      var two = one
      two.tensors["x"] = Tensor(
        (0..<5).flatMap { i in (0..<2).flatMap { _ in x[2 * i..<2 * i + 2] } }, shape: [5, 2, 2])
      two.tensors["pool"] = Tensor(pool.map { Int32($0) })
      two.tensors["patterns"] = Tensor(doubled, shape: [bits.count, 2])
      try folder.write(two, name)
    }
    let solved = try Tools.shell(
      """
      set -e
      judge() {
        solve --quiet --activation relu --norm nuclear --loss \(loss) --beta $2 --gap 1e-8 $1 -o $1.solution
        recover --quiet $1.solution -o $1.network
        evaluate --data $1 --certify $1.solution $1.network >$1.report
        grep primal_objective $1.report | cut -f 2; grep certificate $1.report
      }
      judge data 0.2
      judge regions 0.28284271247461906
      judge region 0.2
      """, in: folder)
    #expect(solved.status == 0 && solved.errors == "", "\(solved.errors)")
    let values = solved.text.split(separator: "\n").compactMap { Double($0) }
    #expect(values.count == 3 && values.allSatisfy { abs($0 - values[0]) < 1e-7 }, "\(values)")
    #expect(solved.text.split(separator: "\n").count { $0 == "certificate\tglobal" } == 3)
    let network = try folder.read("regions.network")
    let groups = try #require(network.tensors["hidden.group"]).doubles
    #expect(Set(groups).count * 2 == groups.count)
  }

  /// Descents on weight decay over filters that regions share come near to the certified optimum, and not below it.
  @Test func descentsAreBoundedByTheOptimumOverRegions() throws {
    let folder = try Folder()
    var random = RandomSource(seed: 3)
    let x = (0..<6 * 4).flatMap { _ in [random.gaussian(), 1.0] }
    let targets = (0..<12).map { _ in random.gaussian() }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: [
          "x": Tensor(x, shape: [6, 4, 2]), "pool": Tensor([0, 1, 1, 0] as [Int32]),
          "targets": Tensor(targets, shape: [6, 2]),
        ], metadata: [:]), "plain")
    let run = try Tools.shell(
      """
      set -e
      arrangements --quiet --exact plain -o data
      solve --quiet --activation relu --norm nuclear --beta 0.3 --gap 1e-7 data -o solution
      recover --quiet solution -o network
      evaluate --data data --certify solution network
      baseline --quiet --neurons 60 --penalty decay --beta 0.3 --optimizer adam --learning-rate 0.02 --learning-rate-decay 0.999 \\
        --epochs 4000 --trials 4 plain -o other
      evaluate --data plain --beta 0.3 other | sed -n 's/^objective/descent/p'
      solve --quiet --activation relu --norm nuclear --path 3 --beta 0.3 --folds 2 data -o chosen 2>notes
      recover chosen | evaluate --quiet --data data --certify chosen >report
      solve --quiet --activation relu --norm nuclear --beta 0.2 --warm-start solution data -o second
      recover second | evaluate --quiet --data data --certify second >report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let (optimum, descent) = (
      try Self.value(run.text, "primal_objective"), try Self.value(run.text, "descent")
    )
    #expect(run.text.contains("certificate\tglobal\n"))
    #expect(descent >= optimum * (1 - 1e-6) && descent <= optimum * 1.01, "\(optimum) \(descent)")
    #expect(abs(try Self.value(run.text, "objective") - optimum) < 1e-6 * optimum)
  }

  /// With one output it is the program of the group norm.
  @Test func oneOutputIsTheGroupNorm() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '-2,1,1\\n-1,1,0\\n0,1,1\\n1,1,0\\n2,1,1\\n' | tensor from-csv --targets 3 |
        arrangements --quiet --exact -o data
      for norm in group nuclear; do
        solve --quiet --activation relu --norm $norm --beta 0.2 --gap 1e-7 data -o $norm
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      try folder.read("group").tensors["v"]?.doubles == folder.read("nuclear").tensors["v"]?.doubles
    )
  }

  @Test func pathsFoldsAndWarmStartsWork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      solve --quiet --activation relu --norm nuclear --path 4 --folds 2 --path-table table.tsv data -o solution 2>notes
      recover solution | evaluate --quiet --data data --certify solution >report
      solve --quiet --activation relu --norm nuclear --beta 0.2 --warm-start solution data -o second
      recover second | evaluate --quiet --data data --certify second >report
      test $(wc -l <table.tsv) = 5
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// A row of 1e-13 of the other's length is no rounding at a β that is smaller still.
  @Test func aSmallRowHasAPrice() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf '1e6,0,0,0\\n0,1e-7,1,1\\n' | tensor from-csv --targets 3,4 2>notes | arrangements --quiet --exact -o data
      solve --quiet --activation relu --norm nuclear --beta 1e-8 data -o solution && recover solution -o network &&
        evaluate --quiet --data data --certify solution network >report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var solution = try folder.read("solution")
    // The zero network, whose ν = y violates the constraint of the small row.
    let targets = try #require(try folder.read("data").tensors["targets"])
    solution.tensors["dual"] = Tensor(targets.doubles, shape: [2, 2])
    solution.tensors["predictions"] = Tensor([0.0, 0, 0, 0], shape: [2, 2])
    for name in ["neurons.hidden", "neurons.output", "gates"] {
      solution.tensors[name] = Tensor([Double](), shape: [0, 2])
    }
    solution.tensors["index"] = Tensor([Int32]())
    for (key, value) in [
      ("primal_objective", "1.0"), ("dual_objective", "1.0"), ("relative_gap", "0.0"),
      ("status", "optimal"),
    ] { solution.metadata[key] = value }
    try folder.write(solution, "forged")
    let forged = try Tools.shell(
      "recover forged -o zero && evaluate --data data --certify forged zero >report", in: folder)
    #expect(forged.status == 1 && forged.errors.contains("dual_infeasibility"), "\(forged.errors)")
  }

  @Test func whatIsRefused() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      awk 'BEGIN { srand(4); for (i = 0; i < 20; ++i) { for (k = 0; k < 8; ++k) printf "%f,", rand() - 0.5; print i % 2 } }' |
        tensor from-csv --targets 8,9 | arrangements --quiet --sample 5 -o wide
      tensor from-csv table --targets 3,4 -o plain
      printf '1,2,0,1\\n1.0000003,2,1,0\\n1,-1,1,1\\n' | tensor from-csv --targets 3,4 | arrangements --quiet --exact -o thin
      set +e
      for data in wide plain thin; do
        solve --quiet --activation relu --norm nuclear --beta 0.2 $data -o no; echo $?
      done
      test ! -e no
      """, in: folder)
    #expect(run.status == 0 && run.text == "1\n1\n1\n")
    #expect(run.errors.contains("more than 4 dimensions") && run.errors.contains("arrangements"))
    #expect(run.errors.contains("parallel to another but for"))
  }
}
