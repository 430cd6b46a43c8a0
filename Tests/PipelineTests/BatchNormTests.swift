import Foundation
import Tensors
import Testing

/// Networks with batch normalisation: the known answers, independent checks of what a network means, and what is
/// refused.
@Suite struct BatchNormTests {
  /// Rows (t, t²), t = −2 … 2, and y = (1, −1, 2, 0, 1); `data` has the constant, `plain` has not.
  private static let parabola = """
    set -e
    printf -- '-2,4,1\\n-1,1,-1\\n0,0,2\\n1,1,0\\n2,4,1\\n' >table
    tensor from-csv table --targets 3 -o plain.dataset
    tensor from-csv table --targets 3 --bias -o dataset
    arrangements --quiet --exact plain.dataset -o plain
    arrangements --quiet --exact dataset -o data
    """

  private static func solve(_ options: String, _ data: String, in folder: Folder) throws -> [String:
    String]
  {
    let run = try Tools.shell(
      """
      \(parabola)
      solve --quiet \(options) --beta 0.2 --gap 1e-7 \(data) -o solution
      recover solution -o network
      evaluate --data \(data) --certify solution --beta 0.2 network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(options): \(run.errors)")
    return Dictionary(
      uniqueKeysWithValues: run.text.split(separator: "\n").map {
        let parts = $0.split(separator: "\t").map(String.init)
        return (parts[0], parts[1])
      })
  }

  private static func value(_ report: [String: String], _ key: String) throws -> Double {
    try #require(report[key].flatMap { Double($0) })
  }

  /// The answers of 128 descents each on the networks themselves (further-systems, section 2), to the digits given.
  @Test(arguments: [
    ("relu --batch-norm before", "data", 2.002908),
    ("relu --batch-norm before", "dataset", 2.002908),
    ("relu --batch-norm after", "plain", 0.828051),
  ]) func theParabolaHasTheKnownOptimum(_ options: String, _ data: String, _ known: Double) throws {
    let folder = try Folder()
    let report = try Self.solve("--activation \(options)", data, in: folder)
    #expect(abs(try Self.value(report, "primal_objective") - known) < 1e-6)
    #expect(abs(try Self.value(report, "objective") - known) < 1e-6)
    #expect(try Self.value(report, "relative_gap") <= 1e-6)
    #expect(report["certificate"] == "global")
  }

  /// γ, α, w and the statistics, by the definition: loops of their own over samples and neurons.
  @Test(arguments: [
    "relu --batch-norm before", "relu --batch-norm after", "gated-relu --batch-norm before",
    "gated-relu --batch-norm after",
  ]) func theNetworkIsWhatTheDefinitionSays(_ options: String) throws {
    let folder = try Folder()
    let report = try Self.solve("--activation \(options)", "data", in: folder)
    let network = try folder.read("network")
    let x: [[Double]] = [[-2, 4, 1], [-1, 1, 1], [0, 0, 1], [1, 1, 1], [2, 4, 1]]
    let y = [1.0, -1, 2, 0, 1]
    func numbers(_ name: String) throws -> [Double] { try #require(network.tensors[name]).doubles }
    let (w, o) = (try numbers("hidden.weight"), try numbers("output.weight"))
    let (weight, bias) = (try numbers("norm.weight"), try numbers("norm.bias"))
    let (mean, deviation) = (try numbers("norm.mean"), try numbers("norm.deviation"))
    let gates = network.tensors["hidden.gate"].map(\.doubles)
    let isBefore = options.hasSuffix("before")
    var outputs = [Double](repeating: 0, count: 5)
    var penalty = 0.0
    #expect(!o.isEmpty)
    for j in o.indices {
      func product(_ v: [Double], _ row: [Double]) -> Double {
        (0..<3).reduce(0) { $0 + v[j * 3 + $1] * row[$1] }
      }
      let t = x.map { row -> Double in
        let isOpen = gates.map { product($0, row) >= 0 } ?? (product(w, row) > 0)
        return isBefore || isOpen ? product(w, row) : 0
      }
      let center = t.reduce(0, +) / 5
      let spread = (t.reduce(0) { $0 + ($1 - center) * ($1 - center) } / 5).squareRoot()
      #expect(abs(center - mean[j]) < 1e-9)
      if weight[j] != 0 { #expect(abs(spread - deviation[j]) < 1e-9) }
      for i in 0..<5 {
        var h = weight[j] * (t[i] - mean[j]) / deviation[j] + bias[j]
        if isBefore { h = gates.map { product($0, x[i]) >= 0 ? h : 0 } ?? max(0, h) }
        outputs[i] += o[j] * h
      }
      penalty += 0.5 * (5 * weight[j] * weight[j] + 5 * bias[j] * bias[j] + o[j] * o[j])
    }
    let loss = zip(outputs, y).reduce(0) { $0 + 0.5 * ($1.0 - $1.1) * ($1.0 - $1.1) }
    #expect(abs(loss + 0.2 * penalty - (try Self.value(report, "primal_objective"))) < 1e-9)
  }

  /// The closed form of the program before the ReLU if the centred rows have rank n − 1: h_β(‖y₊‖) + h_β(‖y₋‖).
  @Test func fullRankHasTheClosedForm() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      printf -- '1,0,0,1\\n0,1,0,2\\n0,0,1,-1\\n0,0,0,-0.5\\n' | tensor from-csv --targets 4 --bias -o dataset
      solve --quiet --activation relu --batch-norm before --beta 0.3 --gap 1e-8 dataset -o solution
      recover solution | evaluate --data dataset --certify solution
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    func h(_ t: Double) -> Double { 0.5 * t * t - 0.5 * max(0, t - 0.3) * max(0, t - 0.3) }
    let expected = h(5.0.squareRoot()) + h(1.25.squareRoot())
    let primal = try #require(
      run.text.split(separator: "\n").first { $0.hasPrefix("primal_objective\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
    #expect(abs(primal - expected) < 1e-7)
    #expect(run.text.contains("certificate\tglobal\n"))
  }

  @Test func pathsFoldsValidationAndWarmStartsWork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.parabola)
      for options in '--activation relu --batch-norm before' '--activation gated-relu --batch-norm after' \\
        '--activation relu --batch-norm after'
      do
        solve --quiet $options --path 4 --folds 2 --path-table table.tsv data -o solution 2>notes
        recover solution | evaluate --quiet --data data --certify solution >report
        solve --quiet $options --path 3 --validation plain.dataset plain -o other 2>notes
        solve --quiet $options --beta 0.2 --gap 1e-5 data -o first
        solve --quiet $options --beta 0.2 --gap 1e-5 --warm-start first data -o second
        recover second | evaluate --quiet --data data --certify second >report
        test $(wc -l <table.tsv) = 5
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// Whether a constraint holds is judged for listed patterns alone: elsewhere a network of zeros could claim that it does.
  @Test func aConstraintIsNoLossOfThese() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.parabola)
      solve --quiet --activation relu --batch-norm after --beta 0.2 data -o solution
      recover --quiet solution -o network
      solve --quiet --activation gated-relu --beta 0.2 data -o gated
      recover --quiet gated -o gated.network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var gated = try folder.read("gated")
    gated.metadata["free_bias"] = "true"
    try folder.write(gated, "gated")
    let other = try Tools.shell(
      "evaluate --data data --certify gated gated.network >report", in: folder)
    #expect(other.status == 1 && other.errors.contains("free_bias"), "\(other.errors)")
    for name in ["solution", "network"] {
      var bundle = try folder.read(name)
      bundle.metadata["loss"] = "interpolation"
      try folder.write(bundle, name)
    }
    let judged = try Tools.shell(
      "evaluate --data data --certify solution network >report", in: folder)
    #expect(judged.status == 1 && judged.errors.contains("a constraint"), "\(judged.errors)")
  }

  @Test(arguments: [
    ("--activation linear --batch-norm before", "data", 2, "is for --activation relu"),
    ("--activation relu --batch-norm within", "data", 2, "expected"),
    ("--activation gated-relu --norm nuclear --batch-norm before", "data", 2, "--norm group"),
    ("--activation relu --loss hinge --batch-norm after", "data", 2, "--loss squared"),
    ("--activation relu --batch-norm after", "dataset", 1, "arrangements"),
    ("--activation relu --batch-norm before", "constant", 1, "no feature varies"),
    ("--activation relu --batch-norm after", "constant", 1, "varies"),
    ("--activation relu --batch-norm before", "patched", 1, "patches a sample"),
    ("--activation relu --batch-norm before", "uneven", 1, "one size"),
    ("--activation relu --batch-norm after", "uneven", 1, "one size"),
    ("--activation gated-relu --batch-norm after", "uneven", 1, "one size"),
    // The smaller column is a multiple of the larger but for a share of 1e-6.
    ("--activation gated-relu --batch-norm before", "hidden", 1, "depend on one another"),
    ("--activation relu --batch-norm after", "hidden", 1, "depend on one another"),
    ("--activation gated-relu --batch-norm after", "long", 1, "so much smaller than others"),
    ("--activation gated-relu --batch-norm before --class-weights 1,2", "data", 2, "exclude"),
  ]) func whatMakesNoSenseIsRefused(
    _ options: String, _ data: String, _ status: Int, _ message: String
  ) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.parabola)
      printf -- '1,1\\n1,2\\n' | tensor from-csv --targets 2 | arrangements --quiet --exact -o constant
      awk -F , '{ print 1e12 * ($1 + NR % 2) "," $2 "," $3 }' table | tensor from-csv --targets 3 2>notes |
        arrangements --quiet --exact -o uneven
      awk -F , '{ print $1 "," 1e-5 * $1 + 1e-11 * $3 "," $2 }' table | tensor from-csv --targets 3 2>notes |
        arrangements --quiet --exact -o hidden
      printf -- '1e12,0\\n-1,1\\n-2,-1\\n-3,2\\n-4,-2\\n' | tensor from-csv --targets 2 |
        arrangements --quiet --exact -o long
      cifar-extract --quiet --synthetic 4 --resize 4x4 --classes 0,1 | patchify --quiet --size 2 |
        arrangements --quiet --sample 3 -o patched
      set +e
      solve --quiet \(options) --beta 0.2 \(data) -o solution
      status=$?
      test ! -e solution || exit 99
      exit $status
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.status): \(run.errors)")
  }

  /// A factor without rows says that no feature varies.
  @Test func aSolutionOfConstantFeaturesIsNoTrap() throws {
    let folder = try Folder()
    _ = try Self.solve("--activation relu --batch-norm before", "data", in: folder)
    var solution = try folder.read("solution")
    let columns = try #require(solution.tensors["norm.factor"]).shape[1]
    solution.tensors["norm.factor"] = Tensor([Double](), shape: [0, columns])
    try folder.write(solution, "solution")
    let run = try Tools.shell(
      "recover solution -o other; evaluate --data data --certify solution network", in: folder)
    #expect(run.status == 1 && run.errors.contains("\"norm.factor\""), "\(run.errors)")
  }
}
