import Foundation
import Schema
import Tensors
import Testing

/// Smaller mistakes with tables.
@Suite struct TableMistakeTests {
  private let folder: Folder

  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk -v OFS=, 'BEGIN { print "a,b,kind" >"train.csv"; srand(3)
        for (i = 0; i < 40; ++i) print i % 7 + rand(), i % 5 - rand(), (i % 3 ? "x" : "y") >"train.csv" }'
      tensor from-csv train.csv --labels kind --bias --standardize -o data
      solve --quiet --activation linear --beta 0.1 data -o solution; recover solution -o network
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  /// A number counts columns, also where a cell of the first line holds it.
  @Test func aNumberIsNoNameOfAColumn() throws {
    let run = try Tools.shell(
      """
      set -e
      printf '1,0.5,x\\n2,0.1,y\\n1,0.7,x\\n' | tensor from-csv --labels 1 --drop 3 -o out
      printf 'm,3,1\\nf,2,7\\nm,4,9\\n' | tensor from-csv --labels 1 -o other
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(try folder.read("out").tensors["labels"]?.shape == [3])
    #expect(try folder.read("out").metadata["classes"] == "[\"1\",\"2\"]")
    #expect(try folder.read("other").tensors["x"]?.shape == [3, 2])
  }

  @Test func anotherDelimiterIsHintedAtWithLike() throws {
    let run = try Tools.shell(
      "tr , ';' <train.csv | tensor from-csv --like data -o out", in: folder)
    #expect(run.status == 1 && run.errors.contains("--delimiter ';'"), "\(run.errors)")
  }

  @Test func otherClassesThanTheEarlierOnesAreRefused() throws {
    let run = try Tools.shell(
      "tensor from-csv train.csv --like data --classes y,x -o out", in: folder)
    #expect(run.status == 2 && run.errors.contains("--classes has other classes"), "\(run.errors)")
    let same = try Tools.shell(
      "tensor from-csv train.csv --like data --classes x,y -o out", in: folder)
    #expect(same.status == 0, "\(same.errors)")
  }

  @Test func anIndexOfPandasIsTold() throws {
    let run = try Tools.shell(
      "printf ',a,kind\\n0,1.5,x\\n1,1.2,y\\n2,7,x\\n' | tensor from-csv --labels kind -o out",
      in: folder)
    #expect(run.status == 0 && run.errors.contains("--drop 1 leaves it out"), "\(run.errors)")
    let dropped = try Tools.shell(
      "printf ',a,kind\\n0,1.5,x\\n1,1.2,y\\n2,7,x\\n' | tensor from-csv --labels kind --drop 1 -o out",
      in: folder)
    #expect(dropped.status == 0 && dropped.errors == "", "\(dropped.errors)")
  }

  /// One row with a number in other units is told by its place or name; the training data never are.
  @Test func singleRowsFarOutsideAreTold() throws {
    let run = try Tools.shell(
      """
      set -e
      (cat train.csv; echo 500,1,x) | tensor from-csv --like data -o far
      evaluate network far >out
      evaluate --certify solution network data >out
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.errors.contains(
        "1 sample of far is far outside the training data: feature \"a\" of sample 40"),
      "\(run.errors)")
    #expect(run.errors.split(separator: "\n").count == 1)
  }
}
