import Foundation
import Tensors
import Testing

/// What the system can do to a tool. Every script has a limit of time, which only ends what hangs.
@Suite struct FaultsTests {
  /// A folder with data of a few MB for every tool; `pipe` is a named pipe.
  private static let data = Result { () throws -> Folder in
    let folder = try Folder()
    let made = try Tools.shell(
      """
      cifar-extract --synthetic 1000 --resize 16x16 -o images && patchify images -o train &&
      patchify --moments images -o moments && arrangements --sample 10 train -o arranged &&
      cifar-extract --synthetic 1000 -o large && mkfifo pipe &&
      solve --quiet --activation 0.09,0.5,0.47 --beta 1 --max-iterations 2 moments -o solution &&
      recover solution -o network && printf 'a,y\\n1,2\\n3,4\\n' > table
      """, in: folder)
    guard made.status == 0 else { throw Failure.data(made.errors) }
    return folder
  }

  /// Runs `script` in a new folder that has links to the data.
  private func run(_ script: String, seconds: Int = 300) throws -> (run: Run, folder: Folder) {
    let (data, folder) = (try FaultsTests.data.get(), try Folder())
    for name in data.files where name != "pipe" {
      try FileManager.default.createSymbolicLink(
        at: folder.url(name), withDestinationURL: data.url(name))
    }
    mkfifo(folder.path("pipe"), 0o600)
    try script.write(to: folder.url("script"), atomically: true, encoding: .utf8)
    return (try Tools.shell("timeout -k 5 \(seconds) bash -u script", in: folder), folder)
  }

  private static let calls = [
    "cifar-extract --synthetic 100", "cifar-extract --synthetic 100000", "patchify images",
    "patchify --moments images", "arrangements --sample 10 train",
    "arrangements --sample 10 --sampler k-means train",
    "solve --quiet --activation 0.09,0.5,0.47 --beta 1 --max-iterations 2 moments",
    "solve --quiet --activation gated-relu --beta 1 --max-iterations 2 arranged",
    "recover solution",
    "evaluate --data moments network", "evaluate --data moments --certify solution network",
    "baseline --neurons 3 --epochs 1 train", "tensor show large", "tensor concat train train",
    "tensor get x train", "tensor from-csv --targets y table",
  ]

  /// A message and status 1, or success: no trap, no hang, and nothing left behind.
  @Test(
    .enabled(if: !Tools.areSanitized, "sanitizers need all of the address space"), arguments: calls,
    [100_000, 300_000, 1_000_000])
  func noMemoryIsAMessage(call: String, kilobytes: Int) throws {
    if call.contains("100000"), kilobytes > 300_000 { return }
    let (run, folder) = try run("ulimit -v \(kilobytes); \(call) -o out")
    let files = folder.files.filter { $0.hasPrefix("out") || $0.hasPrefix(".") }
    if run.status == 0 {
      #expect(files == ["out"])
    } else {
      let tool = String(call.prefix { $0 != " " })
      #expect(run.failed(1, tool), "\(run.status): \(run.errors)")
      #expect(run.errors.contains("memory"), "\(run.errors)")
      #expect(files == [])
    }
  }

  @Test(.enabled(if: !Tools.areSanitized, "sanitizers need all of the address space"))
  func aLimitOfMemoryIsHeeded() throws {
    let (run, _) = try run("ulimit -v 300000; cifar-extract --synthetic 100000 -o out")
    #expect(run.failed(1, "cifar-extract"), "\(run.status): \(run.errors)")
    #expect(run.errors.contains("100000 images of 32x32 pixels would need about 308 MB of memory"))
  }

  /// The tool waits for its second input while its output is begun.
  private static let waiting = "tensor concat -o out large pipe & tool=$!; exec 3>pipe; "

  @Test(arguments: ["KILL", "TERM", "INT", "HUP", "ABRT", "SEGV", "BUS", "ILL", "FPE", "TRAP"])
  func aSignalLeavesNothingBehind(signal: String) throws {
    // With job control, for without it a shell's background process ignores SIGINT. The tool ends by the signal.
    let (run, folder) = try run(
      "set -m; \(FaultsTests.waiting) kill -\(signal) $tool; wait $tool; "
        + "echo $(($? - $(kill -l \(signal)))); exec 3>&-")
    #expect(run.status == 0 && run.text == "128\n", "\(run)")
    #expect(folder.files.filter { $0.hasPrefix("out") || $0.hasPrefix(".") } == [])
  }

  /// Of integers what is written is mapped, of other numbers what is looked at too.
  @Test(arguments: ["large", "train"])
  func aFileThatIsCutWhileItIsReadIsNamed(input: String) throws {
    let (run, folder) = try run(
      """
      cp --remove-destination "$(readlink \(input))" cut
      tensor concat -o out cut pipe & tool=$!; exec 3>pipe
      truncate -s 1100000 cut; cat \(input) >&3; exec 3>&-; wait $tool
      """)
    #expect(run.failed(1, "tensor"), "\(run.status): \(run.errors)")
    #expect(run.errors.hasPrefix("tensor: unexpected end of cut: "), "\(run.errors)")
    #expect(folder.files.filter { $0.hasPrefix("out") || $0.hasPrefix(".") } == [])
  }

  @Test(arguments: [
    ("cifar-extract --synthetic 20", "contact-sheet"),
    ("solve --activation 1,0,0 --beta 1 --max-iterations 1 --quiet moments", "trace"),
    ("baseline --neurons 2 --epochs 1 train", "trace"),
    ("evaluate --data moments network", "filters"),
    ("evaluate --data moments network", "confusion"),
    ("evaluate --data moments network", "predictions"),
  ])
  func twoOutputsAreNotOneFile(call: String, option: String) throws {
    let tool = String(call.prefix { $0 != " " })
    for way in ["-o out --\(option) ./out", "-o link --\(option)=out", "--\(option) out >> out"] {
      let (run, folder) = try run("ln -s out link; \(call) \(way)")
      #expect(run.failed(2, tool), "\(way): \(run.errors)")
      #expect(run.errors.contains("--\(option)") && run.errors.contains("the same file"))
      let size =
        try? FileManager.default.attributesOfItem(atPath: folder.path("out"))[.size] as? Int
      #expect(size ?? 0 == 0)
    }
  }

  @Test func numbersThatAreNotFiniteAreRefused() throws {
    for (call, words) in [
      ("patchify --scale 0,1e300 images", "do not fit F32"),
      ("patchify --scale 0,1e300 --moments images", "do not fit F64"),
      ("patchify --scale 0,1e300 --defer images", "do not fit F32"),
      ("patchify --scale 0,1e160 --whiten 1 --dtype F64 images", "squares"),
      ("patchify --scale 0,1e160 --contrast 1 --dtype F64 images", "squares"),
      ("arrangements --sample 5 --threshold 1e308 train", "--threshold 1e+308 is too large"),
      ("tensor sum huge huge", "not finite"), ("tensor slice --rows 0:1 nan", "not finite"),
      ("tensor concat nan nan", "not finite"), ("tensor rename x=y nan", "not finite"),
      ("tensor from-npy x=nan.npy", "not finite"),
    ] {
      let (made, folder) = try run(
        """
        printf 'x,y\\n1e308,1\\n1e308,2\\n' | tensor from-csv --targets y -o huge
        { head -c 8 huge; tail -c +9 huge | LC_ALL=C sed 's/\\xa0\\xc8\\xeb\\x85\\xf3\\xcc\\xe1\\x7f/\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x7f/g'; } > nan
        tensor get x --npy nan > nan.npy; \(call) -o out
        """)
      let tool = String(call.prefix { $0 != " " })
      #expect(run(made, failedWith: tool, words), "\(call): \(made.errors)")
      #expect(!folder.files.contains("out"))
    }
  }

  private func run(_ run: Run, failedWith tool: String, _ words: String) -> Bool {
    (run.failed(1, tool) || run.failed(2, tool)) && run.errors.contains(words)
  }
}
