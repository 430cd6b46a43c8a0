import Foundation
import Schema
import Tensors
import Testing

/// From a table to predictions of other tables: columns, scales and classes are put right or refused.
@Suite struct PredictTests {
  private let folder: Folder

  /// A network of three classes of standardised features, with the constant; its data and its solution.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
        BEGIN { s = 5; print "a,b,kind"
          for (i = 0; i < 40; ++i) { a = r(); b = r()
            printf "%.6f,%.6f,%s\\n", 100 + 10 * a, 0.01 * b, (a > 0.3) ? "high" : (b > 0) ? "left" : "right" } }' >train.csv
      tensor from-csv train.csv --labels kind --bias --standardize -o data
      arrangements --quiet --sample 20 data -o train
      solve --activation gated-relu --loss cross-entropy --beta 0.1 train -o solution
      recover solution -o network
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func evaluate(_ arguments: String...) throws -> Run {
    try Tools.run("evaluate", arguments, in: folder)
  }

  /// The table `predictions` as rows of named cells.
  private func table() throws -> [[String: String]] {
    let text = String(decoding: try Data(contentsOf: folder.url("predictions")), as: UTF8.self)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    let rows = lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
    return rows.dropFirst().map { row in
      Dictionary(uniqueKeysWithValues: zip(rows[0], row).map { (String($0), String($1)) })
    }
  }

  @Test func whatWasFittedGoesIntoSolutionAndNetwork() throws {
    let data = try folder.read("data")
    for name in ["train", "solution", "network"] {
      let bundle = try folder.read(name)
      for key in [TensorKey.shift, .divisor] {
        #expect(bundle[key]?.doubles == data[key]?.doubles, "\(name)")
      }
      #expect(try bundle.featureNames() == ["a", "b"])
      #expect(bundle.metadata["label_column"] == "kind")
    }
    let run = try evaluate("network", "train", "--certify", "solution")
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.text.contains("\ncertificate\tgates\n"))
  }

  /// Exchanged columns, raw features, and no constant: the same outputs to the last digit.
  @Test func dataOfTheSameFeaturesArePutRight() throws {
    let run = try Tools.shell(
      """
      set -e
      awk -F, '{ print $3 "," $2 "," $1 }' train.csv >exchanged.csv
      tensor from-csv exchanged.csv --labels kind -o raw
      tensor from-csv exchanged.csv --like network -o like
      awk -F, '{ print $3 "," (NR == 1 ? "more" : 7) "," $2 "," $1 }' train.csv >further.csv
      tensor from-csv further.csv --labels kind -o further
      evaluate network data >expected
      evaluate --data=raw network | diff expected - && evaluate network like | diff expected -
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run)")
    let further = try Tools.shell("evaluate network further | diff expected -", in: folder)
    #expect(further.status == 0, "\(further)")
    #expect(further.errors.contains("which are left out: \"more\""))
  }

  @Test func otherFeaturesAreRefusedByName() throws {
    let run = try Tools.shell(
      """
      set -e
      sed 's/^a,/c,/' train.csv | tensor from-csv --labels kind -o renamed
      sed '1!s/right/up/' train.csv | tensor from-csv --labels kind -o unknown
      sed '/right/d' train.csv | tensor from-csv --labels kind -o absent
      cut -d, -f1,3 train.csv | tensor from-csv --labels kind -o lacking
      arrangements --quiet --sample 5 renamed -o gates
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    for (data, words) in [
      ("renamed", "renamed has no feature \"a\", which network has"),
      ("lacking", "lacking has no feature \"b\""),
      ("unknown", "there is no class \"up\" among them"),
      ("gates", "gates has no feature"),
    ] {
      let run = try evaluate("network", data)
      #expect(run.failed(1, "evaluate"), "\(run)")
      #expect(run.errors.contains(words), "\(run.errors)")
    }
    let absent = try evaluate("network", "absent")
    #expect(absent.status == 0 && absent.text.contains("\nclasses\t3\n"), "\(absent)")
    #expect(absent.text.contains("recall_left\t") && !absent.text.contains("recall_right"))
  }

  @Test func rowsWithoutLabelsArePredicted() throws {
    let run = try Tools.shell(
      """
      set -e
      awk -F, '{ print (NR == 1 ? "id" : "row " NR) "," $2 "," $1 }' train.csv >new.csv
      tensor from-csv new.csv --like network --id id -o new
      evaluate network new --predictions predictions
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(
      run.text
        == "samples\t40\nclasses\t3\nneurons\t\(try folder.read("network")[.hiddenWeight]!.shape[0])\n"
    )
    let new = try table()
    #expect(new.count == 40 && new[0]["name"] == "row 2" && new[39]["name"] == "row 41")
    #expect(try evaluate("network", "data", "--predictions", "predictions").status == 0)
    let known = try table()
    for (mine, theirs) in zip(new, known) {
      for key in ["class", "prediction", "output_0", "output_2", "probability_1"] {
        #expect(mine[key] != nil && mine[key] == theirs[key], "\(key)")
      }
      #expect(mine["label"] == nil && theirs["label"] != nil)
      let odds = (0..<3).map { exp(Double(mine["output_\($0)"]!)!) }
      let shares = (0..<3).map { Double(mine["probability_\($0)"]!)! }
      for c in 0..<3 { #expect(abs(shares[c] - odds[c] / odds.reduce(0, +)) < 1e-12) }
      let likeliest = shares.indices.max { shares[$0] < shares[$1] }!
      #expect(mine["class"] == ["high", "left", "right"][likeliest])
    }
    for option in [["--beta", "1"], ["--confusion", "c.png"]] {
      let run = try Tools.run("evaluate", ["network", "new"] + option, in: folder)
      #expect(run.failed(1, "evaluate") && run.errors.contains("\"labels\""), "\(run)")
    }
  }

  @Test func logisticProbabilitiesAreThoseOfTheSecondClass() throws {
    let run = try Tools.shell(
      """
      set -e
      sed 's/left/right/' train.csv | tensor from-csv --labels kind -o two
      solve --activation linear --loss logistic --beta 0.1 two | recover >net
      evaluate net two --predictions predictions
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    for row in try table() {
      let (output, share) = (Double(row["output"]!)!, Double(row["probability_1"]!)!)
      #expect(abs(share - 1 / (1 + exp(-output))) < 1e-12)
      #expect(abs(share + Double(row["probability_0"]!)! - 1) < 1e-12)
      #expect(row["class"] == (share > 0.5 ? "right" : "high"))
    }
  }

  @Test func recallAndPrecisionCountTheClasses() throws {
    let run = try evaluate("network", "data", "--predictions", "predictions", "--json")
    let report = try #require(
      JSONSerialization.jsonObject(with: run.output) as? [String: Any])
    let rows = try table()
    for (c, name) in ["high", "left", "right"].enumerated() {
      let taken = rows.filter { $0["prediction"] == "\(c)" }
      let own = rows.filter { $0["label"] == "\(c)" }
      let right = Double(taken.count { $0["label"] == "\(c)" })
      #expect(report["recall_\(name)"] as? Double == right / Double(own.count))
      #expect(report["precision_\(name)"] as? Double == right / Double(taken.count))
    }
  }

  @Test func theDataAreGivenOnce() throws {
    #expect(try evaluate("network", "data", "--data", "data").failed(2, "evaluate"))
    let none = try evaluate("network")
    #expect(none.failed(2, "evaluate") && none.errors.contains("evaluate NETWORK DATA"))
    #expect(try evaluate("-", "-").failed(2, "evaluate"))
    let piped = try Tools.shell("evaluate network - <data && evaluate - data <network", in: folder)
    #expect(piped.status == 0, "\(piped.errors)")
  }

  /// Training reads its held-out data by name too.
  @Test func validationDataArePutRight() throws {
    let run = try Tools.shell(
      """
      set -e
      awk -F, '{ print $3 "," $2 "," $1 }' train.csv | sed '/right/d' >held.csv
      tensor from-csv held.csv --labels kind -o raw
      tensor from-csv held.csv --like network -o like
      for v in raw like; do
        solve --activation gated-relu --beta 0.1 --path 3 --validation $v train -o chosen
        tensor show chosen | grep '^path' >$v.path
        baseline --activation relu --neurons 4 --epochs 3 --beta 0.1 --validation $v data -o net
        tensor get output.weight net >$v.weight
      done
      diff raw.path like.path && diff raw.weight like.weight
      """, in: folder)
    #expect(run.status == 0, "\(run)")
  }

  /// Names that a terminal would obey, or that would break a line, are quoted in the report and in the table.
  @Test func hostileNamesAreQuoted() throws {
    var network = try folder.read("network")
    network.metadata["classes"] = quotedArray(["a\tb", "\u{1B}[31mred", "x\u{202E}y"])
    try folder.write(network, "hostile")
    var data = try folder.read("data")
    data.metadata["classes"] = nil
    data[.names] = try Tensor(names: (0..<40).map { "\($0)\n" })
    try folder.write(data, "plain")
    let run = try evaluate("hostile", "plain", "--predictions", "predictions")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text.contains("recall_\"a\\tb\"\t") && run.text.contains("\\u001b[31mred"))
    let table = String(decoding: try Data(contentsOf: folder.url("predictions")), as: UTF8.self)
    for text in [run.text, table] {
      #expect(!text.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x202E })
    }
    #expect(table.split(separator: "\n").count == 41)
    #expect(table.split(separator: "\n").allSatisfy { $0.split(separator: "\t").count == 11 })
  }
}
