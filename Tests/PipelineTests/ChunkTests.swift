import Foundation
import Schema
import Tensors
import Testing

/// `tensor from-csv --chunk N`: a table as a stream of bundles.
@Suite struct ChunkTests {
  private let folder: Folder

  /// `train` of 30 rows, and `new.csv`, which has the columns in another order, longer and longer names, and missing
  /// values.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk 'function r() { s = (s * 16807) % 2147483647; return s / 2147483647 }
        BEGIN { s = 5; print "id,a,b,kind" >"train.csv"; print "kind,b,id,a" >"new.csv"
          for (i = 0; i < 30; ++i) printf "r%d,%.6f,%.6f,%s\\n", i, 9 * r(), r(), (i % 3 ? "x" : "y") >"train.csv"
          for (i = 0; i < 52; ++i) printf "%s,%s,n%d,%.6f\\n", (i > 20 ? "y" : "x"), (i % 9 == 4 ? "NA" : r()),
            10 ^ (i / 12), 9 * r() >"new.csv" }'
      tensor from-csv train.csv --id id --labels kind --standardize --missing NA --bias -o train
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  /// The bundles of a stream, by the lengths that their headers tell, as files p0, p1, ….
  private func takeApart(_ stream: Data) throws -> [String] {
    var rest = stream[...]
    var names: [String] = []
    while !rest.isEmpty {
      let size = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      let header = try #require(
        JSONSerialization.jsonObject(with: rest.dropFirst(8).prefix(size)) as? [String: Any])
      let end = header.values.compactMap {
        (($0 as? [String: Any])?["data_offsets"] as? [Int])?.last
      }.max()
      let count = 8 + size + (try #require(end))
      names.append("p\(names.count)")
      try Data(rest.prefix(count)).write(to: folder.url(names.last!))
      rest = rest.dropFirst(count)
    }
    return names
  }

  @Test(arguments: [1, 7, 26, 52, 1000]) func theyJoinToTheWhole(_ size: Int) throws {
    let whole = try Tools.shell("tensor from-csv new.csv --like train -o whole", in: folder)
    let parts = try Tools.shell(
      "tensor from-csv --like train --chunk \(size) <new.csv", in: folder)
    #expect(whole.status == 0 && parts.status == 0, "\(parts.errors)")
    // What is missing is counted once.
    #expect(parts.errors == whole.errors && parts.errors.contains("6 missing values"))
    let names = try takeApart(parts.output)
    #expect(names.count == (52 + size - 1) / size)
    let joined = try Tools.run("tensor", ["concat"] + names + ["-o", "joined"], in: folder)
    #expect(joined.status == 0, "\(joined.errors)")
    let (a, b) = (try folder.read("whole"), try folder.read("joined"))
    #expect(Set(a.tensors.keys) == Set(b.tensors.keys))
    for (name, tensor) in a.tensors {
      #expect(tensor.shape == b.tensors[name]?.shape && tensor.doubles == b.tensors[name]?.doubles)
    }
    for key in ["kind", "features", "classes", "bias", "name_column", "label_column"] {
      #expect(a.metadata[key] == b.metadata[key], "\(key)")
    }
  }

  @Test func classesAndTargetsNeedNoEarlierTable() throws {
    let labels = try Tools.shell(
      "tensor from-csv train.csv --drop id --labels kind --classes y,x,z --chunk 20", in: folder)
    #expect(labels.status == 0, "\(labels.errors)")
    #expect(try takeApart(labels.output).count == 2)
    #expect(try folder.read("p1").metadata["classes"] == "[\"y\",\"x\",\"z\"]")
    let targets = try Tools.shell(
      "tensor from-csv train.csv --drop id,kind --targets b --chunk 29 -o out", in: folder)
    #expect(targets.status == 0, "\(targets.errors)")
    #expect(try takeApart(Data(contentsOf: folder.url("out"))).count == 2)
  }

  @Test func whatNeedsAllRowsIsRefused() throws {
    let cases = [
      ("--labels kind", "--chunk with labels needs --classes"),
      ("--drop kind --missing NA", "--chunk with --missing needs --like"),
      ("--drop kind --standardize", "--chunk and --standardize exclude each other"),
      ("--chunk 0", "expected"),
    ]
    for (options, message) in cases {
      let run = try Tools.shell(
        "tensor from-csv train.csv --id id --chunk 5 \(options) -o refused", in: folder)
      #expect(run.status == 2 && run.errors.contains(message), "\(options): \(run.errors)")
    }
    let other = try Tools.shell("tensor slice --rows 0:1 --chunk 5 train -o refused", in: folder)
    #expect(other.status == 2 && other.errors.contains("--chunk belongs to from-csv"))
    // A bad line further down: of a file nothing is there.
    let late = try Tools.shell(
      "(cat train.csv; echo r,1,oops,x) | tensor from-csv --id id --drop kind --chunk 5 -o refused",
      in: folder)
    #expect(late.status == 1 && late.errors.contains("line 32"), "\(late.errors)")
    #expect(!folder.files.contains("refused"))
  }

  /// The largest resident size does not grow with the number of rows.
  @Test func memoryDoesNotGrowWithTheTable() throws {
    // The sanitizer keeps what was given back.
    guard !Tools.areSanitized else { return }
    let run = try Tools.shell(
      """
      for n in 20000 400000; do
        awk -v n=$n 'BEGIN { for (i = 0; i < n; ++i) print i % 97 "," i % 89 "," i % 83 "," i % 79 "," i % 73 }' |
          python3 -c 'import resource, subprocess, sys
      subprocess.run(["tensor", "from-csv", "--header", "no", "--chunk", "2000"], stdout=subprocess.DEVNULL, check=True)
      print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
      done
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let sizes = run.text.split(separator: "\n").compactMap { Double($0) }
    try #require(sizes.count == 2)
    // All rows would be 16 MB.
    #expect(sizes[1] < sizes[0] + 4000, "\(sizes) KiB")
  }
}
