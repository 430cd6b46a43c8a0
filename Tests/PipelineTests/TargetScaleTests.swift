import Foundation
import Schema
import Tensors
import Testing

/// Targets that are standardised with the features, and told in their own units.
@Suite struct TargetScaleTests {
  private let folder: Folder

  /// Tables of two features and two targets, far from 0 and of different size; `network` is trained on 40 rows.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
        BEGIN { s = 31; print "a,b,y,t" >"train.csv"; print "t,b,a,y" >"test.csv"
          for (i = 0; i < 60; ++i) {
            a = 50 + 9 * r(); b = r(); y = 150 + 6 * a + 20 * b * b + r(); t = 0.001 * b + 0.0002 * r()
            if (i < 40) printf "%.9f,%.9f,%.9f,%.9f\\n", a, b, y, t >"train.csv"
            else printf "%.9f,%.9f,%.9f,%.9f\\n", t, b, a, y >"test.csv"
          } }'
      tensor from-csv train.csv --targets y,t --bias -o raw
      tensor standardize raw -o data
      tensor from-csv test.csv --targets y,t --bias -o test
      arrangements --quiet --sample 20 data -o listed
      solve --quiet --activation gated-relu --beta 0.1 --gap 1e-6 listed -o solution
      recover --quiet solution -o network
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func report(_ arguments: String) throws -> [String: Any] {
    let run = try Tools.shell("evaluate --quiet --json \(arguments)", in: folder)
    #expect(run.status == 0, "\(run.errors)")
    return try #require(JSONSerialization.jsonObject(with: run.output) as? [String: Any])
  }

  private func number(_ report: [String: Any], _ key: String) throws -> Double {
    try #require(report[key] as? Double)
  }

  @Test func theyHaveMean0AndDeviation1() throws {
    let (data, raw) = (try folder.read("data"), try folder.read("raw"))
    let (y, before) = (
      try #require(data.tensors["targets"]).doubles, try #require(raw.tensors["targets"]).doubles
    )
    let shift = try #require(data.tensors["target_shift"]).doubles
    let divisor = try #require(data.tensors["target_divisor"]).doubles
    for c in 0..<2 {
      let column = (0..<40).map { y[2 * $0 + c] }
      #expect(abs(column.reduce(0, +)) < 1e-9)
      #expect(abs(column.reduce(0) { $0 + $1 * $1 } / 40 - 1) < 1e-12)
      for i in 0..<40 {
        #expect(
          abs(y[2 * i + c] * divisor[c] + shift[c] - before[2 * i + c]) < 1e-12 * abs(shift[0]))
      }
    }
    for name in ["listed", "solution", "network"] {
      #expect(try folder.read(name).tensors["target_shift"]?.doubles == shift, "\(name)")
    }
    // The same by one command, and for another table by --like.
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv train.csv --targets y,t --bias --standardize -o one
      tensor from-csv test.csv --like network -o like; tensor standardize --like network test -o also
      for name in one like also; do tensor get targets --csv $name >$name.targets; done
      tensor get targets --csv data | cmp - one.targets; cmp like.targets also.targets
      tensor get target_shift like | cmp - <(tensor get target_shift data)
      cut -d, -f 2,3 test.csv >unknown.csv; tensor from-csv unknown.csv --like network -o unknown
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("unknown").tensors["targets"] == nil)
  }

  /// The certificate is about standardised targets; predictions and errors have the units of the table.
  @Test func predictionsHaveTheUnitsOfTheTable() throws {
    let certified = try report("--certify solution network listed --predictions own.tsv")
    let objective = try number(certified, "objective")
    #expect(objective < 40)
    var rows = ""
    for name in ["test", "like"] {
      if name == "like" {
        _ = try Tools.shell("tensor from-csv test.csv --like network -o like", in: folder)
      }
      let judged = try report("network \(name) --predictions table")
      let table = try String(contentsOfFile: folder.path("table"), encoding: .utf8)
      if rows != "" { #expect(table == rows) }
      rows = table
      let lines = table.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
      #expect(lines[0] == ["index", "target_0", "target_1", "output_0", "output_1"])
      let raw = try #require(folder.read("test").tensors["targets"]).doubles
      var squares = 0.0
      for (i, line) in lines.dropFirst().enumerated() {
        for c in 0..<2 {
          let (y, output) = (try #require(Double(line[1 + c])), try #require(Double(line[3 + c])))
          #expect(abs(y - raw[2 * i + c]) <= 1e-12 * (1 + abs(raw[2 * i + c])))
          squares += (y - output) * (y - output)
        }
      }
      let rmse = (squares / 40).squareRoot()
      #expect(abs(try number(judged, "rmse") - rmse) <= 1e-9 * rmse)
      #expect(rmse < 30)
    }
    // Rows without targets are predicted in the same units.
    let run = try Tools.shell(
      """
      set -e
      cut -d, -f 2,3 test.csv >unknown.csv; tensor from-csv unknown.csv --like network | evaluate network - --predictions p
      cut -f 2,3 p >a; cut -f 4,5 table >b; cmp a b
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }

  /// What a table gives that somebody standardised by hand.
  @Test func theProgramIsThatOfStandardisedTargets() throws {
    let run = try Tools.shell(
      """
      set -e
      tensor get targets --csv data >targets.csv; cut -d, -f 1,2 train.csv | tail -n +2 | paste -d, - targets.csv >hand.csv
      tensor from-csv --header no hand.csv --targets 3,4 --bias | tensor standardize --keep-targets |
        arrangements --quiet --sample 20 -o hand.listed
      solve --quiet --activation gated-relu --beta 0.1 --gap 1e-6 hand.listed -o hand
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let (one, other) = (try folder.read("solution"), try folder.read("hand"))
    #expect(other.tensors["target_shift"] == nil && other.tensors["shift"] != nil)
    let values = try [one, other].map {
      try #require($0.metadata["primal_objective"].flatMap { Double($0) })
    }
    #expect(abs(values[0] - values[1]) <= 1e-5 * values[0])
  }

  @Test func signsAndSharesStayAsTheyAre() throws {
    let run = try Tools.shell(
      """
      set -e
      printf '1,2,1\\n3,1,-1\\n2,5,1\\n4,4,-1\\n' | tensor from-csv --header no --targets 3 --standardize -o signs
      printf '1,2,0.2,0.8\\n3,1,0.5,0.5\\n2,5,1,0\\n' | tensor from-csv --header no --targets 3,4 --standardize -o shares
      printf '1,2,1,7\\n3,1,-1,8\\n2,5,1,9.5\\n' | tensor from-csv --header no --targets 3,4 --standardize -o mixed
      printf '1,2,x\\n3,1,y\\n2,5,x\\n' | tensor from-csv --header no --labels 3 --standardize -o labels
      solve --quiet --activation linear --loss logistic --beta 0.1 signs | recover >network.signs
      solve --quiet --activation linear --loss cross-entropy --beta 0.1 shares | recover >network.shares
      tensor standardize --keep-targets raw -o kept
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    for name in ["signs", "shares", "labels", "kept"] {
      let bundle = try folder.read(name)
      #expect(bundle.tensors["target_shift"] == nil && bundle.tensors["shift"] != nil, "\(name)")
    }
    #expect(
      try folder.read("kept").tensors["targets"]?.doubles
        == folder.read("raw").tensors["targets"]?.doubles)
    let mixed = try folder.read("mixed")
    #expect(mixed.tensors["target_shift"]?.doubles[0] == 0)
    #expect(mixed.tensors["target_divisor"]?.doubles[0] == 1)
    #expect(mixed.tensors["targets"]?.doubles[2] == -1)
  }

  /// Raw training data are judged as the training standardised them; other numbers than their own are refused.
  @Test func rawTrainingDataAreJudgedToo() throws {
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation linear --beta 0.1 data -o linear; recover linear -o linear.network
      evaluate --quiet --certify linear linear.network data >a; evaluate --quiet --certify linear linear.network raw >b
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let judged = try ["a", "b"].map { name in
      let text = try String(contentsOfFile: folder.path(name), encoding: .utf8)
      let line = try #require(
        text.split(separator: "\n").first { $0.hasPrefix("primal_objective") })
      return try #require(Double(line.split(separator: "\t")[1]))
    }
    #expect(abs(judged[0] - judged[1]) <= 1e-10 * judged[0])
    for key in ["target_shift", "target_divisor"] {
      var (solution, network) = (try folder.read("linear"), try folder.read("linear.network"))
      let values = try #require(solution.tensors[key]).doubles.map { $0 * 1.001 }
      solution.tensors[key] = Tensor(values)
      network.tensors[key] = Tensor(values)
      try folder.write(solution, "forged")
      try folder.write(network, "forged.network")
      for data in ["data", "raw"] {
        let run = try Tools.run(
          "evaluate", ["--certify", "forged", "forged.network", data], in: folder)
        #expect(
          run.status == 1
            && run.errors.contains(data == "data" ? "\"\(key)\"" : "standardises target 1"),
          "\(run.errors)")
      }
    }
  }

  @Test func otherUnitsAreRefused() throws {
    let prepare = try Tools.shell(
      """
      set -e
      tensor standardize --keep-targets raw -o kept
      solve --quiet --activation linear --beta 0.1 kept -o linear; recover linear -o linear.network
      tensor from-csv train.csv --targets y --drop t --bias -o one
      """, in: folder)
    #expect(prepare.status == 0, "\(prepare.errors)")
    let cases = [
      ("evaluate linear.network data", "are standardised (tensor \"target_shift\")", 1),
      ("evaluate network one", "has 2 columns", 1),
      ("solve --activation linear --path 3 --validation data kept", "are standardised", 1),
      ("tensor standardize --keep-targets --like data raw", "--keep-targets is for", 2),
      ("tensor from-csv train.csv --keep-targets", "--keep-targets is for", 2),
      ("tensor slice --keep-targets --rows 0:1 raw", "--keep-targets belongs to", 2),
    ]
    for (command, message, status) in cases {
      let run = try Tools.shell("\(command) >out", in: folder)
      #expect(
        Int(run.status) == status && run.errors.contains(message), "\(command): \(run.errors)")
    }
    // Validation data that come raw are put right.
    let valid = try Tools.shell(
      "solve --quiet --activation linear --path 3 --validation test data | recover | evaluate - test",
      in: folder)
    #expect(valid.status == 0, "\(valid.errors)")
  }

  @Test func networkPySaysTheSame() throws {
    let python = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../python").standardizedFileURL.path
    let check = try Tools.shell("python3 -c 'import numpy'")
    guard check.status == 0 else {
      print("networkPySaysTheSame is skipped: python3 has no NumPy")
      return
    }
    let run = try Tools.shell(
      """
      set -e
      evaluate --quiet network test --predictions table >report
      PYTHONPATH='\(python)' python3 - <<'END'
      import numpy as np, network
      rows = np.loadtxt("test.csv", delimiter=",", skiprows=1)
      outputs = network.load("network")(rows[:, [2, 1]])
      table = np.loadtxt("table", skiprows=1)
      assert abs(outputs / table[:, 3:] - 1).max() < 1e-9, (outputs[:3], table[:3])
      END
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
  }
}
