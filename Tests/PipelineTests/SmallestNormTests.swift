import Foundation
import Tensors
import Testing

/// Networks of the smallest norm that interpolate or have margins of 1.
@Suite struct SmallestNormTests {
  private static let line = """
    set -e
    printf -- '-2,1\\n-1,-1\\n0,1\\n1,-1\\n2,1\\n' >line
    tensor from-csv line --targets 2 --bias | arrangements --quiet --exact -o data
    tensor from-csv line --targets 2 | arrangements --quiet --exact -o plain
    """

  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  /// T5 with z = (1, −1, 1, −1, 1): 4 + 8√2 (further-systems, section 3).
  @Test(arguments: ["--interpolate", "--margin"])
  func fivePointsHaveTheKnownNorm(_ goal: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      solve --quiet --activation relu \(goal) --gap 1e-7 data -o solution
      recover --quiet solution -o network
      evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let known = 4 + 8 * 2.0.squareRoot()
    for key in ["primal_objective", "dual_objective", "objective"] {
      #expect(abs(try Self.value(run.text, key) - known) < 1e-6 * known)
    }
    #expect(try Self.value(run.text, "relative_gap") <= 1e-6)
    #expect(run.text.contains("certificate\tglobal\n"))
    // The network's own outputs, by a loop over its neurons.
    let network = try folder.read("network")
    let (u, a) = (
      try #require(network.tensors["hidden.weight"]).doubles,
      try #require(network.tensors["output.weight"]).doubles
    )
    for (i, y) in [1.0, -1, 1, -1, 1].enumerated() {
      let output = a.indices.reduce(0.0) {
        $0 + a[$1] * max(0, u[2 * $1] * Double(i - 2) + u[2 * $1 + 1])
      }
      #expect(goal == "--margin" ? y * output >= 1 - 1e-9 : abs(output - y) < 1e-9)
    }
  }

  /// p(β)/β increases to the smallest norm as β falls.
  @Test func theNormIsTheLimitOfSmallBetas() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      for beta in 1e-1 1e-2 1e-3 1e-4; do
        solve --quiet --activation relu --beta $beta --gap 1e-8 data -o solution
        recover --quiet solution | evaluate --quiet --data data --certify solution | grep ^primal_objective
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let ratios = run.text.split(separator: "\n").enumerated().map {
      Double($1.split(separator: "\t")[1])! * pow(10, Double($0 + 1))
    }
    let known = 4 + 8 * 2.0.squareRoot()
    #expect(ratios.count == 4 && ratios == ratios.sorted())
    #expect(ratios[3] < known && ratios[3] > known * 0.999)
  }

  @Test func gatedAndSeveralOutputs() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.line)
      printf -- '-2,1,0\\n-1,-1,2\\n0,1,1\\n1,-1,0\\n2,1,3\\n' | tensor from-csv --targets 2,3 --bias |
        arrangements --quiet --exact -o two
      for options in '--interpolate two' '--interpolate data' '--margin data'; do
        for activation in relu gated-relu; do
          solve --quiet --activation $activation $options --gap 1e-6 -o solution
          recover --quiet solution | evaluate --data ${options##* } --certify solution | grep ^relative_gap
        done
      done
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let gaps = run.text.split(separator: "\n").map { Double($0.split(separator: "\t")[1])! }
    #expect(gaps.count == 6 && gaps.allSatisfy { $0 <= 1e-6 })
  }

  /// What is refused, with the rows that make it so; nothing is written.
  @Test(arguments: [
    ("0,0,1\\n1,2,1\\n", "--targets 3", "--interpolate", 1, "row 0 of"),
    ("0,0,1\\n1,2,1\\n", "--targets 3", "--margin", 1, "row 0 of"),
    ("1,2,1\\n3,1,1\\n2,4,1\\n", "--targets 3", "--interpolate", 1, "rows 0 and 2 of"),
    ("1,2,1\\n3,1,1\\n2,4,-1\\n", "--targets 3", "--margin", 1, "rows 0 and 2 of"),
    (
      "1,2,1\\n3,1,1\\n1,2,2\\n", "--targets 3 --bias", "--interpolate", 1,
      "rows 0 and 2 of data are equal"
    ),
    ("1,2,0.5\\n3,1,1\\n", "--targets 3", "--margin", 1, "expected -1 or 1"),
    ("1,2,1\\n3,1,1\\n", "--targets 3", "--margin --beta 1", 2, "exclude each other"),
    ("1,2,1\\n3,1,1\\n", "--targets 3", "--interpolate --margin", 2, "exclude each other"),
    ("1,2,1\\n3,1,1\\n", "--targets 3", "--loss margin --beta 1", 2, "--margin"),
  ]) func whatCannotBeIsRefused(
    _ rows: String, _ columns: String, _ goal: String, _ status: Int, _ message: String
  ) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf -- '\(rows)' | tensor from-csv \(columns) | arrangements --quiet --exact -o data || exit 99
      solve --quiet --activation relu \(goal) data -o solution
      status=$?
      test ! -e solution || exit 98
      exit $status
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.status): \(run.errors)")
  }

  /// A network of norm 1 puts out at most 1e-3 on the second sample: that it misses its target by 1 is no rounding, though
  /// the target of the first is 1e10.
  @Test func aSampleOfSmallFeaturesIsFittedToo() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf '1e10,0,1e10\\n0,1e-3,1\\n' | tensor from-csv --targets 3 2>notes | arrangements --quiet --exact -o data
      solve --quiet --activation relu --interpolate data -o solution && recover solution -o network || exit 99
      evaluate --quiet --data data --certify solution network
      """, in: folder)
    let objective = try #require(
      try folder.read("solution").metadata["primal_objective"].flatMap { Double($0) })
    if abs(objective - 1001) < 1e-3 {
      #expect(run.status == 0, "\(run.errors)")
    } else {
      #expect(run.status == 1 && run.errors.contains("primal_infeasibility"), "\(run.errors)")
    }
  }

  /// Two multiples of one row in the right ratio are no contradiction, and neither are opposite rows.
  @Test func multiplesInTheRightRatioAreFine() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '1,2,1\\n2,4,2\\n-1,-2,3\\n' | tensor from-csv --targets 3 | arrangements --quiet --exact -o data
      solve --quiet --activation relu --interpolate --gap 1e-7 data -o solution
      recover --quiet solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    // One neuron for each direction: (1 + 3)/√5.
    #expect(abs(try Self.value(run.text, "primal_objective") - 4 / 5.0.squareRoot()) < 1e-6)
  }

  /// Rows a thousand times as long as targets: the norm is so small that what rounding leaves of the constraint is more than
  /// a billionth of it.
  @Test func longRowsAreHonest() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf '900,-400,300,1\n-200,1100,700,-0.5\n650,300,-800,0.7\n-1000,-250,450,0.2\n' >rows
      tensor from-csv rows --targets 4 | arrangements --quiet --exact -o data
      solve --quiet --activation relu --interpolate data -o solution && recover --quiet solution -o network &&
        evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// Gates that let nothing through fit nothing but zeros.
  @Test(arguments: ["--interpolate", "--margin"])
  func closedGatesFitNothing(_ goal: String) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      printf '0.1,0.2,1\n0.2,-0.1,-1\n-0.1,0.1,1\n' >rows
      tensor from-csv rows --targets 3 | arrangements --quiet --sample 4 --threshold 100 -o data
      solve --quiet --activation gated-relu \(goal) data
      """, in: folder)
    #expect(run.status == 1 && run.errors.contains("no network"), "\(run.status) \(run.errors)")
  }
}
