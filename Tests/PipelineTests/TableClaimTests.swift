import Foundation
import Tensors
import Testing

/// Claims about tables: no feature disappears on the way from the data to the certificate.
@Suite struct TableClaimTests {
  private func folder() throws -> Folder {
    let folder = try Folder()
    var random = RandomSource(seed: 31)
    var text = "a,b,c,y\n"
    for _ in 0..<40 {
      let (a, b, c) = (random.gaussian(), 3 * random.gaussian() + 5, random.gaussian())
      text += "\(a),\(b),\(c),\(a - 2 * c + 0.1 * random.gaussian())\n"
    }
    try Data(text.utf8).write(to: folder.url("table.csv"))
    let made = try Tools.shell(
      """
      tensor from-csv table.csv --targets y --bias -o full && tensor from-csv table.csv --targets y -o plain \
        && tensor from-csv table.csv --targets y --drop c --bias -o two && tensor standardize full -o standard \
        && for data in full plain two standard; do solve --quiet --activation relu --beta 0.5 $data -o $data.solution \
        && recover $data.solution -o $data.network || exit 1; done
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    return folder
  }

  @Test func featuresAreNotLeftOut() throws {
    let folder = try folder()
    for (name, words) in [("plain", "the constant feature"), ("two", "\"c\"")] {
      for claim in ["--certify \(name).solution", "--global --beta 0.5"] {
        let run = try Tools.shell("evaluate --quiet \(claim) \(name).network full", in: folder)
        #expect(run.status == 1 && run.errors.contains(words), "\(claim): \(run.errors)")
        #expect(run.errors.contains("about all of their features"), "\(run.errors)")
      }
      // Without a claim they may be.
      #expect(try Tools.shell("evaluate --quiet \(name).network full", in: folder).status == 0)
    }
  }

  /// Raw data are judged as the training standardised them, if that was by their own numbers.
  @Test func forgedStandardisationsAreRefused() throws {
    let folder = try folder()
    let honest = try Tools.shell(
      "evaluate --certify standard.solution standard.network full", in: folder)
    #expect(honest.status == 0 && honest.text.contains("certificate\tglobal"), "\(honest.errors)")
    var data = try folder.read("full")
    let x = try #require(data.tensors["x"]).doubles
    data.tensors["x"] = Tensor(
      x.indices.map { $0 % 4 == 0 ? x[$0] / 1e9 : x[$0] }, shape: [40, 4])
    data.tensors["shift"] = Tensor([0, 0, 0, 0.0])
    data.tensors["divisor"] = Tensor([1e9, 1, 1, 1])
    try folder.write(data, "forged")
    let run = try Tools.shell(
      """
      solve --quiet --activation relu --beta 0.5 forged -o forged.solution && recover forged.solution -o forged.network \
        && evaluate --certify forged.solution forged.network full
      """, in: folder)
    #expect(run.status == 1 && run.errors.contains("its own mean and deviation"), "\(run.errors)")
  }

  /// Names of features say which column is which: those of solution, network and data are the same.
  @Test func renamedFeaturesAreRefused() throws {
    let folder = try folder()
    for names in ["[\"b\",\"a\",\"c\"]", nil] {
      var solution = try folder.read("full.solution")
      solution.metadata["features"] = names
      try folder.write(solution, "other")
      let run = try Tools.shell("evaluate --certify other full.network full", in: folder)
      #expect(run.status == 1 && run.errors.contains("\"features\""), "\(run.errors)")
    }
  }

  @Test func valuesFarOutsideWarn() throws {
    let folder = try folder()
    try Data("a,b,c\n1e25,1,1\n".utf8).write(to: folder.url("new.csv"))
    let run = try Tools.shell(
      "tensor from-csv new.csv --like standard.network -o new && evaluate standard.network new",
      in: folder)
    #expect(run.status == 0 && run.errors.contains("deviations"), "\(run.errors)")
  }

  /// A number may stand for what is missing.
  @Test func numbersThatMeanNothing() throws {
    let folder = try Folder()
    try Data("a,y\n-999,1\n2,3\n4,5\n".utf8).write(to: folder.url("table.csv"))
    let run = try Tools.shell(
      "tensor from-csv table.csv --targets y --missing -999 -o data", in: folder)
    #expect(run.status == 0 && run.errors.contains("1 missing"), "\(run.errors)")
    #expect(try folder.read("data").tensors["x"]?.doubles == [3, 2, 4])
  }
}
