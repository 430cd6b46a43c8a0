import Foundation
import Schema
import Tensors
import Testing

/// Gates on windows of a patch, and channels of mean 0 and deviation 1.
@Suite struct WindowGatesTests {
  @Test func gatesLieInSquares() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --quiet --synthetic 30 --resize 7x6 --classes 0,1 | patchify --quiet --flatten --bias -o data
      arrangements --quiet --sample 40 --sampler window --size 3 data -o gates
      arrangements --quiet --sample 40 --sampler window data -o again
      cmp <(tensor get gates gates) <(tensor get gates again)
      solve --quiet --activation gated-relu --beta 1 gates -o solution
      recover --quiet solution -o network
      evaluate --quiet --data gates --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.text.contains("certificate\tgates\n"))
    let bundle = try folder.read("gates")
    #expect(bundle.metadata["window"] == "3")
    let gates = try #require(bundle[.gates])
    let (count, height, width) = (gates.shape[0], 6, 7)
    #expect(gates.shape[1] == 3 * height * width + 1)
    var corners: Set<[Int]> = []
    for i in 0..<count {
      let row = Array(gates.doubles[i * gates.shape[1]..<(i + 1) * gates.shape[1]])
      #expect(row.last == 0 && row.count { $0 != 0 } == 27)
      let places = row.indices.filter { row[$0] != 0 }.map { $0 % (height * width) }
      let (rows, columns) = (places.map { $0 / width }, places.map { $0 % width })
      #expect(rows.max()! - rows.min()! == 2 && columns.max()! - columns.min()! == 2)
      corners.insert([rows.min()!, columns.min()!])
    }
    // Twenty places, forty gates.
    #expect(corners.count > 10)
  }

  @Test func channelsAreStandardised() throws {
    let folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      cifar-extract --quiet --synthetic 40 --resize 8x8 --classes 0,1 -o images
      cifar-extract --quiet --synthetic 20 --seed 4 --resize 8x8 --classes 0,1 -o others
      patchify --quiet --dtype F64 --size 4 --bias --standardize images -o data
      patchify --quiet --dtype F64 --size 4 --bias images -o raw
      patchify --quiet --like data others -o test
      patchify --quiet --dtype F64 --size 4 --bias others -o test-raw
      arrangements --quiet --sample 10 data -o gates
      solve --quiet --activation gated-relu --beta 1 gates -o solution
      recover --quiet solution -o network
      evaluate --quiet --data gates --certify solution network >report
      evaluate --quiet network test
      evaluate --quiet network test-raw
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    // Raw data are standardised by the network: the same numbers.
    let lines = run.text.split(separator: "\n")
    #expect(lines.count % 2 == 0 && lines.prefix(lines.count / 2) == lines.suffix(lines.count / 2))
    let (data, raw) = (try folder.read("data"), try folder.read("raw"))
    let (x, y) = (try #require(data[.x]).doubles, try #require(raw[.x]).doubles)
    let d = 3 * 16 + 1
    for channel in 0..<3 {
      let places = x.indices.filter { $0 % d / 16 == channel && $0 % d < 48 }
      let mean = places.reduce(0) { $0 + y[$1] } / Double(places.count)
      let square = places.reduce(0) { $0 + (y[$1] - mean) * (y[$1] - mean) } / Double(places.count)
      for k in places.prefix(100) {
        #expect(abs(x[k] - (y[k] - mean) / square.squareRoot()) < 1e-9)
      }
    }
    #expect(x.indices.filter { $0 % d == 48 }.allSatisfy { x[$0] == 1 })
  }

  @Test func mistakesAreNamed() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      set -e
      cifar-extract --quiet --synthetic 9 --resize 6x6 --classes 0,1 -o images
      patchify --quiet --size 3 --whiten 0.1 --components 4 images -o projected
      patchify --quiet --size 3 images -o data
      printf '1,2\\n2,3\\n' | tensor from-csv --targets 2 -o table
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    for (tool, arguments, status, message) in [
      ("arrangements", "--sample 3 --sampler window projected", 1, "--components"),
      ("arrangements", "--sample 3 --sampler window table", 1, "not made by patchify"),
      ("arrangements", "--sample 3 --sampler window --size 4 data", 2, "3 × 3"),
      ("arrangements", "--sample 3 --size 2 data", 2, "--sampler window"),
      ("patchify", "--standardize --whiten 0.1 images", 2, "exclude"),
      ("patchify", "--standardize --defer images", 2, "exclude"),
      ("patchify", "--standardize --moments images", 2, "exclude"),
    ] as [(String, String, Int32, String)] {
      let run = try Tools.run(
        tool, arguments.split(separator: " ").map(String.init) + ["-o", "none"], in: folder)
      #expect(run.status == status && run.errors.contains(message), "\(arguments): \(run.errors)")
    }
  }
}
