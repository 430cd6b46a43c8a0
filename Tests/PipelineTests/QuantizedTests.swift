import Foundation
import Tensors
import Testing

/// Networks of neurons (x · u)(x · v) with u and v of ±1.
@Suite struct QuantizedTests {
  private static let table = """
    printf -- '1,2,0,3\\n0,1,-1,-1\\n2,-1,1,2\\n1,1,1,4\\n-1,0,2,-2\\n' | tensor from-csv --targets 4 -o data
    """

  private static func value(_ text: String, _ key: String) throws -> Double {
    try #require(
      text.split(separator: "\n").first { $0.hasPrefix("\(key)\t") }
        .flatMap { Double($0.split(separator: "\t")[1]) })
  }

  /// Further-systems, section 6: p* = 1.156745.
  @Test func fiveSamplesHaveTheKnownOptimum() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.table)
      solve --quiet --activation quantized --beta 0.5 --gap 1e-8 data -o solution
      recover solution -o network
      evaluate --data data --certify solution --beta 0.5 network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(abs(try Self.value(run.text, "primal_objective") - 1.156745) < 1e-6)
    #expect(try Self.value(run.text, "relative_gap") <= 1e-7)
    #expect(run.text.contains("certificate\tglobal\n"))
    let network = try folder.read("network")
    #expect(network.tensors["hidden.left"]?.type == .i8)
    let u = try #require(network.tensors["hidden.left"]).doubles
    let v = try #require(network.tensors["hidden.right"]).doubles
    let a = try #require(network.tensors["output.weight"]).doubles
    #expect((u + v).allSatisfy { abs($0) == 1 })
    let x: [[Double]] = [[1, 2, 0], [0, 1, -1], [2, -1, 1], [1, 1, 1], [-1, 0, 2]]
    var value = a.reduce(0) { $0 + 1.5 * abs($1) }
    for (row, y) in zip(x, [3.0, -1, 2, 4, -2]) {
      let output = a.indices.reduce(0.0) { sum, j in
        func product(_ w: [Double]) -> Double { (0..<3).reduce(0) { $0 + w[3 * j + $1] * row[$1] } }
        return sum + a[j] * product(u) * product(v)
      }
      value += 0.5 * (output - y) * (output - y)
    }
    #expect(abs(value - 1.156745) < 1e-6)
  }

  /// Random data: the bound, by loops over all pairs of signs.
  @Test(arguments: 1...6) func smallProblemsAgreeWithEnumeration(_ seed: Int) throws {
    let folder = try Folder()
    var random = RandomSource(seed: seed)
    let (n, d) = (6, 4)
    let x = (0..<n).map { _ in (0..<d).map { _ in random.gaussian() } }
    let y = (0..<n).map { _ in 3 * random.gaussian() }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: ["x": Tensor(x.flatMap(\.self), shape: [n, d]), "targets": Tensor(y)],
        metadata: [:]),
      "data")
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation quantized --beta 0.3 --gap 1e-8 data -o solution
      recover solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    func signs(_ code: Int) -> [Double] { (0..<d).map { code >> $0 & 1 == 1 ? -1 : 1 } }
    var columns: [[Double]] = []
    for a in 0..<8 {
      for b in 0..<16 {
        let (u, v) = (signs(a), signs(b))
        columns.append(
          x.map { row in
            zip(row, u).reduce(0) { $0 + $1.0 * $1.1 } * zip(row, v).reduce(0) { $0 + $1.0 * $1.1 }
          })
      }
    }
    // The dual point satisfies the constraint of every pair of signs, and is worth the objective.
    let nu = try #require(folder.read("solution").tensors["dual"]).doubles
    let largest = columns.map { abs(zip($0, nu).reduce(0) { $0 + $1.0 * $1.1 }) }.max() ?? 0
    #expect(largest <= 0.3 * Double(d) * (1 + 1e-9))
    let value = zip(nu, y).reduce(0) { $0 + $1.0 * $1.1 - 0.5 * $1.0 * $1.0 }
    let primal = try Self.value(run.text, "primal_objective")
    #expect(abs(primal - value) <= 1e-7 * primal)
  }

  @Test func pathsFoldsAndSeveralOutputsWork() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.table)
      solve --quiet --activation quantized --path 4 --folds 2 --path-table table.tsv data -o solution 2>notes
      recover solution | evaluate --quiet --data data --certify solution >report
      printf -- '1,2,0,a\\n0,1,-1,b\\n2,-1,1,c\\n1,1,1,a\\n-1,0,2,b\\n' | tensor from-csv --labels 4 -o classes
      solve --quiet --activation quantized --beta 0.05 classes -o solution
      recover solution -o network
      evaluate --quiet --data classes --certify solution network
      solve --quiet --activation quantized --beta 0.05 --warm-start solution classes -o second
      recover second | evaluate --quiet --data classes --certify second >report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  @Test(arguments: [
    ("solution", "hidden.left", -1.0), ("solution", "output.weight", 1.001),
    ("solution", "dual", 1.01), ("solution", "predictions", 1.001),
    ("network", "hidden.right", -1.0),
    ("network", "output.weight", 1.001),
  ]) func falseClaimsAreRefused(_ file: String, _ tensor: String, _ factor: Double) throws {
    let folder = try Folder()
    let run = try Tools.shell(
      "\(Self.table) && solve --quiet --activation quantized --beta 0.5 --gap 1e-8 data -o solution && recover solution -o network",
      in: folder)
    #expect(run.status == 0, "\(run.errors)")
    var bundle = try folder.read(file)
    let old = try #require(bundle.tensors[tensor])
    let values = old.doubles.map { $0 * factor }
    bundle.tensors[tensor] =
      old.type == .i8 ? Tensor(values.map { Int8($0) }, shape: old.shape) : old.replacing(values)
    try folder.write(bundle, file)
    let forged = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
    #expect(forged.status == 1 && forged.errors.contains("claim does not hold"), "\(forged.errors)")
  }

  @Test func whatIsRefused() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      \(Self.table)
      solve --quiet --activation relu --relaxation --beta 0.2 data -o no; echo $?
      solve --quiet --activation quantized --loss huber --beta 0.2 data -o no; echo $?
      solve --quiet --activation quantized --norm nuclear --beta 0.2 data -o no; echo $?
      baseline --quiet --activation quantized data -o no; echo $?
      test ! -e no
      """, in: folder)
    #expect(run.status == 0 && run.text == "2\n2\n2\n2\n", "\(run.text)")
    #expect(run.errors.contains("--relaxation is for") && run.errors.contains("--loss squared"))
  }

  /// Further-systems, section 6: the semidefinite programs have the values 0.989238 and 1.729959.
  @Test func theRelaxationsHaveTheKnownValues() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      \(Self.table)
      solve --quiet --activation quantized --beta 0.5 --gap 1e-7 --relaxation data -o solution
      recover solution | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(abs(try Self.value(run.text, "relaxation_lower") - 0.989238) < 1e-6)
    #expect(abs(try Self.value(run.text, "relaxation_upper") - 1.729959) < 1e-6)
    #expect(abs(try Self.value(run.text, "primal_objective") - 1.156745) < 1e-6)
  }

  /// `solution` and `network` of 40 samples of `d` features and two outputs.
  private static func made(_ d: Int, in folder: Folder) throws -> Run {
    var random = RandomSource(seed: d)
    let n = 40
    let x = (0..<n * d).map { _ in random.gaussian() }
    let y = (0..<2 * n).map { _ in 9 * random.gaussian() }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: ["x": Tensor(x, shape: [n, d]), "targets": Tensor(y, shape: [n, 2])]), "data")
    return try Tools.shell(
      """
      solve --quiet --activation quantized --beta 8 --relaxation data -o solution
      recover solution -o network
      evaluate --quiet --data data --certify solution network
      """, in: folder)
  }

  /// Lower bound ≤ optimum ≤ upper bound; with too many features to try all signs the lower one is the certificate.
  @Test(arguments: [9, 30]) func theOptimumLiesBetween(_ d: Int) throws {
    let folder = try Folder()
    let run = try Self.made(d, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let lower = try Self.value(run.text, "relaxation_lower")
    let upper = try Self.value(run.text, "relaxation_upper")
    let objective = try Self.value(run.text, "objective")
    let dual = try Self.value(run.text, "dual_objective")
    #expect(lower > 0 && lower <= objective && objective <= upper)
    #expect(d > 24 ? abs(dual - lower) <= 1e-9 * lower : dual >= lower)
    #expect(run.text.contains("certificate\tglobal\n"))
    #expect(try folder.read("solution").metadata["status"] == (d > 24 ? "stalled" : "optimal"))
  }

  /// Whatever ends the search, the bound that it leaves is proved.
  @Test(arguments: [1e-6, 0.05]) func aLimitLeavesAValidBound(_ seconds: Double) throws {
    let folder = try Folder()
    #expect(try Self.made(30, in: folder).status == 0)
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation quantized --beta 0.01 --max-seconds \(seconds) data -o solution
      recover solution -o network
      evaluate --quiet --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let lower = try Self.value(run.text, "dual_objective")
    let upper = try Self.value(run.text, "relaxation_upper")
    let objective = try Self.value(run.text, "objective")
    #expect(lower <= upper && lower <= objective)
  }

  @Test(arguments: [9, 30]) func alteredRelaxationsAreRefused(_ d: Int) throws {
    let folder = try Folder()
    #expect(try Self.made(d, in: folder).status == 0)
    let honest = try folder.read("solution")
    func scaled(_ name: String, _ factor: Double) -> (inout Bundle) -> Void {
      { bundle in
        let old = bundle.tensors[name]!
        bundle.tensors[name] = Tensor(old.doubles.map { factor * $0 }, shape: old.shape)
      }
    }
    let changes: [(String, (inout Bundle) -> Void)] = [
      ("relaxation_lower", { $0.metadata["relaxation_lower"] = "1e9" }),
      ("relaxation_upper", { $0.metadata["relaxation_upper"] = "0" }),
      ("relaxation_lower", scaled("relaxation.dual", 1.01)),
      ("relaxation_lower", scaled("relaxation.lambda", 0.9)),
      ("below 0", scaled("relaxation.lambda", -1)),
      ("relaxation_upper", scaled("relaxation.positive", 0.99)),
      ("eigenvalue", scaled("relaxation.negative", -1)),
      ("relaxation.positive", { $0.tensors["relaxation.positive"] = nil }),
      ("relaxation.lambda", { $0.tensors["relaxation.lambda"] = Tensor([1.0], shape: [1, 1]) }),
    ]
    for (message, change) in changes {
      var bundle = honest
      change(&bundle)
      try folder.write(bundle, "solution")
      let run = try Tools.run(
        "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
      #expect(run.status == 1 && run.errors.contains(message), "\(message): \(run.errors)")
    }
  }
}
