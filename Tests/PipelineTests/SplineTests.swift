import Foundation
import Tensors
import Testing

/// Linear splines: ReLU networks of one feature with free biases.
@Suite struct SplineTests {
  private static let zigzag =
    "printf -- '-2,1\\n-1,-1\\n0,1\\n1,-1\\n2,1\\n' | tensor from-csv --targets 2 -o data"

  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  /// x = −2 … 2, z, β = 0.1: 1.02 (further-systems, section 10); with penalised biases 1.248234.
  @Test func theZigzagHasTheKnownOptimum() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.zigzag)
      solve --quiet --activation relu --free-bias --beta 0.1 --gap 1e-8 data -o solution
      recover solution -o network
      evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(abs(try Self.value(run.text, "primal_objective") - 1.02) < 1e-7)
    #expect(abs(try Self.value(run.text, "objective") - 1.02) < 1e-7)
    #expect(run.text.contains("certificate\tglobal\n"))
    // By loops: ½ Σ (f − y)² + β/2 Σ (u² + a²), biases left out.
    let network = try folder.read("network")
    func numbers(_ name: String) throws -> [Double] { try #require(network.tensors[name]).doubles }
    let (u, b) = (try numbers("hidden.weight"), try numbers("hidden.bias"))
    let (a, c) = (try numbers("output.weight"), try numbers("output.bias"))
    var value = (u + a).reduce(0) { $0 + 0.05 * $1 * $1 }
    for (i, y) in [1.0, -1, 1, -1, 1].enumerated() {
      let output = a.indices.reduce(c[0]) { $0 + a[$1] * max(0, u[$1] * Double(i - 2) + b[$1]) }
      value += 0.5 * (output - y) * (output - y)
    }
    #expect(abs(value - 1.02) < 1e-7)
    // Knots are at samples.
    for j in a.indices { #expect(abs((-b[j] / u[j]).rounded() + b[j] / u[j]) < 1e-9) }
  }

  /// 120 noisy points of a sine: an independent Lasso by coordinate descent over all hinges.
  @Test func manyPointsAgreeWithCoordinateDescent() throws {
    let folder = try Folder()
    let x = (0..<120).map { Double($0 * 37 % 120) / 20 - 3 }
    let y = x.enumerated().map { sin(2 * $1) + 0.2 * sin(Double($0 * $0)) }
    let rows = zip(x, y).map { "\($0),\($1)\n" }.joined()
    try Data(rows.utf8).write(to: folder.url("table"))
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv table --targets 2 -o data
      solve --quiet --activation relu --free-bias --beta 2 --gap 1e-6 data -o solution
      recover solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let columns = x.flatMap { t in [x.map { max(0, $0 - t) }, x.map { max(0, t - $0) }] }
      .map { column -> [Double] in
        let mean = column.reduce(0, +) / 120
        return column.map { $0 - mean }
      }.filter { $0.contains { abs($0) > 1e-9 } }
    let mean = y.reduce(0, +) / 120
    var rest = y.map { $0 - mean }
    var weights = columns.map { _ in 0.0 }
    for _ in 0..<3000 {
      for (k, column) in columns.enumerated() {
        var (product, square) = (0.0, 0.0)
        for i in 0..<120 {
          product += column[i] * rest[i]
          square += column[i] * column[i]
        }
        let old = weights[k]
        let full = product + square * old
        weights[k] = (abs(full) <= 2 ? 0 : full - (full > 0 ? 2 : -2)) / square
        for i in 0..<120 { rest[i] -= (weights[k] - old) * column[i] }
      }
    }
    let other =
      rest.reduce(0) { $0 + 0.5 * $1 * $1 } + 2 * weights.reduce(0) { $0 + abs($1) }
    let primal = try Self.value(run.text, "primal_objective")
    #expect(primal <= other + 1e-9 && primal > other * (1 - 1e-2))
    #expect(try Self.value(run.text, "relative_gap") <= 1e-6)
  }

  @Test func pathsFoldsAndPredictionsWork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.zigzag)
      solve --quiet --activation relu --free-bias --path 5 --folds 2 --path-table table.tsv data -o solution 2>notes
      recover solution -o network
      evaluate --quiet --data data --certify solution network >report
      printf -- '-3\\n0.5\\n7\\n' | tensor from-csv --header no -o new
      evaluate --quiet --predictions predictions network new >report
      test $(wc -l <predictions) = 4
      solve --quiet --activation relu --free-bias --beta 0.1 --warm-start solution data -o second
      recover second | evaluate --quiet --data data --certify second >report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// Alterations of the solution and the network are seen.
  @Test(arguments: [
    ("solution", "spline.weight", 1.001), ("solution", "spline.knot", 1.01),
    ("solution", "spline.intercept", 1.01), ("solution", "dual", 1.01),
    ("solution", "predictions", 1.001), ("network", "hidden.bias", 1.01),
    ("network", "output.bias", 1.01), ("network", "output.weight", 1.01),
  ]) func falseClaimsAreRefused(_ file: String, _ tensor: String, _ factor: Double) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.zigzag)
      solve --quiet --activation relu --free-bias --beta 0.1 --gap 1e-8 data -o solution
      recover solution -o network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var bundle = try folder.read(file)
    let old = try #require(bundle.tensors[tensor])
    bundle.tensors[tensor] = old.replacing(old.doubles.map { $0 * factor })
    try folder.write(bundle, file)
    let forged = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
    #expect(forged.status == 1 && forged.errors.contains("claim does not hold"), "\(forged.errors)")
  }

  /// A dual point whose mean is not 0 bounds nothing where the intercept is free.
  @Test func aShiftedDualPointProvesNothing() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      "\(Self.zigzag); solve --quiet --activation relu --free-bias --beta 0.1 --gap 1e-8 data -o solution && recover solution -o network",
      in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var bundle = try folder.read("solution")
    let dual = try #require(bundle.tensors["dual"])
    bundle.tensors["dual"] = dual.replacing(dual.doubles.map { $0 + 0.1 })
    try folder.write(bundle, "solution")
    let forged = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
    #expect(forged.status == 1 && forged.errors.contains("mean"), "\(forged.errors)")
  }

  @Test(arguments: [
    ("--activation gated-relu --free-bias", "data", 2, "--free-bias is for"),
    ("--activation relu --free-bias --loss huber", "data", 2, "--loss squared"),
    ("--activation relu --free-bias --batch-norm before", "data", 2, "exclude each other"),
    ("--activation relu --free-bias", "two", 1, "2 features"),
  ]) func whatMakesNoSenseIsRefused(
    _ options: String, _ data: String, _ status: Int, _ message: String
  ) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.zigzag)
      printf -- '1,2,3\\n2,1,3\\n' | tensor from-csv --targets 3 -o two
      solve --quiet \(options) --beta 0.1 \(data) -o solution
      status=$?
      test ! -e solution || exit 99
      exit $status
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.status): \(run.errors)")
  }

  /// Spike-free or not, and whether (Xu)₊ = Xz has a z no longer than u, tried on many u.
  @Test(arguments: [
    ("1,0,0\\n0,1,0\\n0,0,1\\n", true), ("1,0.5,0\\n0.5,1,0\\n", true),
    ("1,-0.5,0\\n-0.5,1,0\\n", false),
    ("1,0,0\\n2,0,0\\n0,0,0\\n0,3,0\\n", true), ("1,0,0\\n-1,0,0\\n", false),
    ("1,0\\n0,1\\n1,1\\n", false),
  ]) func spikeFreeDataAreTold(_ rows: String, _ expected: Bool) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      "printf -- '\(rows)' | tensor from-csv --header no | arrangements --spike-free", in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.text.hasPrefix("spike_free\t\(expected)\nreason\t"), "\(run.text)")
  }
}
