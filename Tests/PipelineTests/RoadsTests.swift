import Foundation
import Schema
import Tensors
import Testing

/// The same program, written in ways that solve takes different roads for: the optima agree, and evaluate certifies
/// each.
@Suite struct RoadsTests {
  private static let gap = 1e-7

  /// Normal numbers, the same on every machine.
  private static func normal(_ count: Int, seed: Int) -> [Double] {
    var source = RandomSource(seed: seed)
    return (0..<count).map { _ in source.gaussian() }
  }

  /// A dataset of n samples with `copies` equal patches each, and n × C targets.
  private static func dataset(
    n: Int, d: Int, copies: Int = 1, targets: [Double], seed: Int = 1
  ) -> Bundle {
    let x = normal(n * d, seed: seed)
    let rows = (0..<n).flatMap { i in
      (0..<copies).flatMap { _ in Array(x[i * d..<(i + 1) * d]) }
    }
    return Bundle(
      kind: .dataset,
      tensors: [
        "x": Tensor(rows, shape: copies == 1 ? [n, d] : [n, copies, d]),
        "targets": Tensor(targets, shape: [n, targets.count / n]),
      ])
  }

  /// The primal objective that evaluate finds for `data`, all of whose stages succeed.
  private static func objective(
    _ data: Bundle, arrangements: String = "--sample 20", solve: String
  ) throws -> Double {
    let folder = try Folder()
    try folder.write(data, "data")
    let run = try Tools.shell(
      """
      set -e
      arrangements --quiet \(arrangements) data -o patterns
      solve --quiet --activation gated-relu \(solve) --gap \(gap) patterns -o solution
      recover --quiet solution -o network
      tensor show solution | grep -q '^status *optimal$'
      evaluate --data patterns --certify solution network | sed -n 's/^primal_objective\t//p'
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    return Double(run.text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? .nan
  }

  private static func agree(_ values: Double...) {
    for value in values.dropFirst() {
      #expect(abs(value - values[0]) <= 2 * gap * abs(values[0]), "\(values)")
    }
  }

  /// Fewer features than 4,000, where FᵀF is held; more features than samples, where F is: by Newton's method if β is
  /// large, by ADMM if it is small.
  @Test(arguments: [
    (n: 120, d: 12, gates: 20, beta: 2.0), (n: 150, d: 60, gates: 80, beta: 5),
    (n: 150, d: 60, gates: 80, beta: 0.5),
  ])
  func patchesThatAreStoredTwiceChangeNothing(
    _ size: (n: Int, d: Int, gates: Int, beta: Double)
  ) throws {
    let targets = Self.normal(size.n, seed: 7)
    func value(_ copies: Int) throws -> Double {
      try Self.objective(
        Self.dataset(n: size.n, d: size.d, copies: copies, targets: targets),
        arrangements: "--sample \(size.gates)", solve: "--beta \(size.beta)")
    }
    try Self.agree(value(1), value(2))
  }

  /// Two outputs with groups of their own and more than 600 samples: ADMM if β is small. Each by itself: Newton's method.
  @Test(arguments: [3, 0.3])
  func outputsWithGroupsOfTheirOwnAreProblemsOfTheirOwn(_ beta: Double) throws {
    let n = 640
    let (first, second) = (Self.normal(n, seed: 3), Self.normal(n, seed: 5))
    let both = (0..<n).flatMap { [first[$0], second[$0]] }
    func value(_ targets: [Double]) throws -> Double {
      try Self.objective(Self.dataset(n: n, d: 8, targets: targets), solve: "--beta \(beta)")
    }
    try Self.agree(value(both), value(first) + value(second))
  }

  /// Residuals below 1 cost the same under both losses.
  @Test(arguments: ["--exact", "--sample 8"])
  func huberOfSmallResidualsIsSquared(_ arrangements: String) throws {
    let targets = Self.normal(30, seed: 11).map { 0.2 * max(-3, min(3, $0)) }
    let data = Self.dataset(n: 30, d: 2, targets: targets)
    func value(_ options: String) throws -> Double {
      try Self.objective(data, arrangements: arrangements, solve: "--beta 0.01 \(options)")
    }
    try Self.agree(
      value(""), value("--loss huber"), value("--group pattern"), value("--norm nuclear"))
  }
}

/// The unit in which features are written decides nothing: x in other units is the same program with another
/// activation.
@Test(arguments: [-30, -24, 20, 30])
func polynomialsOfAnyScaleReachTheirOptimum(_ exponent: Int) throws {
  let folder = try Folder()
  let unit = Double(sign: .plus, exponent: exponent, significand: 1)
  var objectives: [String] = []
  for (name, scale) in [("plain", 1), ("scaled", unit)] {
    var source = RandomSource(seed: 5)
    let x = (0..<60).map { _ in scale * source.uniform(in: -1..<1) }
    let data = Bundle(
      kind: .dataset,
      tensors: [
        "x": Tensor(x, shape: [20, 3]),
        "targets": Tensor((0..<20).map { $0 % 3 == 0 ? 1.0 : -1 }, shape: [20]),
      ])
    try folder.write(data, name)
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation 1,0,0 --beta \(0.3 * scale * scale) --gap 1e-6 \(name) -o s
      recover s -o n
      tensor show s | grep -q '^status *optimal$'
      evaluate --data \(name) --certify s n | sed -n 's/^primal_objective\t//p'
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    objectives.append(run.text)
  }
  let values = objectives.compactMap { Double($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  #expect(values.count == 2 && abs(values[0] - values[1]) <= 2e-6 * values[0], "\(values)")
}

/// Two samples whose margins sit on the kink of the loss.
@Test func polynomialsWithHingeLossReachTheirOptimum() throws {
  let folder = try Folder()
  try "-0.52,-1\n-0.19,-1\n".write(to: folder.url("table"), atomically: true, encoding: .utf8)
  let run = try Tools.shell(
    """
    set -e
    tensor from-csv --targets 2 table -o data
    for activation in 0.09,0.5,0.47 1,1,0; do
      solve --quiet --activation $activation --loss hinge --beta 0.019 --gap 1e-6 --require-optimal data -o s
      recover s | evaluate --data data --certify s
    done
    """, in: folder)
  #expect(run.status == 0, "\(run.errors)")
}
