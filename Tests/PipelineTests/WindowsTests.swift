import Foundation
import Tensors
import Testing

/// `tensor windows`.
@Suite struct WindowsTests {
  private func run(_ script: String, in folder: Folder) throws -> Run {
    try Tools.shell(
      """
      printf 'time,a,b\\n1,10,0.5\\n2,20,1.5\\n3,40,2.5\\n4,80,3.5\\n5,160,4.5\\n6,320,5.5\\n' >table
      \(script)
      """, in: folder)
  }

  /// Sample i has the rows i … i + L − 1, channel after channel, and row i + L − 1 + H of the targets.
  @Test func windowsAndTargetsAreThoseOfTheDefinition() throws {
    let folder = try Folder()
    let run = try run(
      "tensor windows --length 3 --horizon 2 --channels b,a --targets a --bias table -o windows",
      in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let windows = try folder.read("windows")
    let a: [Double] = [10, 20, 40, 80, 160, 320]
    let b = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    var expected: [Double] = []
    for i in 0..<2 { expected += b[i..<i + 3] + a[i..<i + 3] + [1.0] }
    #expect(windows.tensors["x"]?.shape == [2, 7])
    #expect(windows.tensors["x"]?.doubles == expected)
    #expect(windows.tensors["targets"]?.shape == [2])
    #expect(windows.tensors["targets"]?.doubles == [160, 320])
    #expect(windows.metadata["features"] == #"["b[-2]","b[-1]","b[0]","a[-2]","a[-1]","a[0]"]"#)
    #expect(windows.metadata["bias"] == "true" && windows.metadata["kind"] == "dataset")
  }

  /// Changes from one value to the next, and from the last one to the target.
  @Test func differencesAreThoseOfTheWindow() throws {
    let folder = try Folder()
    let run = try run(
      """
      tensor windows --length 3 --channels a --targets a,b --differences --horizon 2 table -o windows
      tensor get x windows; tensor get targets windows; tensor show windows | grep '^features'
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(
      run.text == """
        10.0\t20.0
        20.0\t40.0
        120.0\t2.0
        240.0\t2.0
        features  ["a[-1]-a[-2]","a[0]-a[-1]"]

        """)
  }

  /// The same signal as a table, on a pipe, without a header, and as a dataset.
  @Test func everySourceGivesTheSameWindows() throws {
    let folder = try Folder()
    let run = try run(
      """
      tensor windows --length 2 table -o one
      cat table | tensor windows --length 2 -o two
      tail -n +2 table | tensor windows --length 2 -o three
      tensor from-csv table -o signal; tensor windows --length 2 signal -o four
      cat signal | tensor windows --length 2 --horizon 1 -o five
      tensor from-csv --bias table | tensor windows --length 2 -o six
      tr , ';' <table | tensor windows --delimiter ';' --header yes --channels 1,a,3 --length 2 -o seven
      for file in two three four five six seven; do for key in x targets; do
        cmp <(tensor get $key one) <(tensor get $key $file); done; done
      tensor get targets one
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(run.text == "3.0\t40.0\t2.5\n4.0\t80.0\t3.5\n5.0\t160.0\t4.5\n6.0\t320.0\t5.5\n")
  }

  /// A trained network takes further windows by the names of their features.
  @Test func windowsOfAnotherLengthAreRefusedByTheNetwork() throws {
    let folder = try Folder()
    let run = try run(
      """
      tensor windows --length 2 --channels a table -o two
      tensor windows --length 3 --channels a table -o three
      solve --quiet --activation linear --beta 0.1 two | recover -o network
      evaluate network two >report && evaluate network three >report && echo both
      solve --quiet --activation linear --beta 0.1 three | recover -o network; evaluate network two
      """, in: folder)
    #expect(run.status == 1 && run.errors.contains("a[-2]"), "\(run.errors)")
  }

  @Test(arguments: [
    ("--length 5 --horizon 2 table", 1, "6 rows"),
    ("--length 9223372036854775807 --horizon 9223372036854775807 table", 1, "6 rows"),
    ("table", 2, "--length"), ("--length 1 --differences table", 2, "2 or more"),
    ("--length 0 table", 2, "at least 1"),
    ("--length 2 --horizon 0 table", 2, "at least 1"),
    ("--length 2 --channels c table", 1, "no channel \"c\""),
    ("--length 2 --channels 4 table", 1, "no channel \"4\""),
    ("--length 2 --channels a,a table", 2, "--channels"),
    ("--length 2 labelled", 1, "answers"), ("--length 2 standardized", 1, "standardised"),
    ("--length 2 --header yes signal", 2, "--header"), ("--length 2 text", 1, "expected a finite"),
    ("--length 2 empty", 1, "empty"), ("--length 2 cut", 1, "cut"),
    ("--length 2 --labels a table", 2, "--labels belongs"),
  ]) func badInputIsRefused(_ arguments: String, _ status: Int32, _ message: String) throws {
    let folder = try Folder()
    let run = try run(
      """
      tensor from-csv table -o signal
      tensor from-csv --targets b table -o labelled; tensor standardize signal -o standardized
      printf 'a\\n1\\nx\\n3\\n' >text; : >empty; head -c 100 signal >cut
      tensor windows \(arguments) -o windows
      """, in: folder)
    #expect(run.status == status && run.errors.contains(message), "\(run.errors)")
    #expect(!folder.files.contains("windows"))
  }
}
