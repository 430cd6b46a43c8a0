import Foundation
import Schema
import Tensors
import Testing

/// How a tool is called in the tests of what all tools share.
struct ToolCall: CustomTestStringConvertible, Sendable {
  var name: String
  /// A call that takes a bundle from standard input and writes one (or a report) to standard output.
  var arguments: [String]
  /// A bundle that the call accepts; `nil` where no small one will do, and those tests pass over it.
  var input: (@Sendable () -> Bundle)?
  /// A kind of bundle that the call refuses; `nil` where it reads no bundle.
  var refused: Kind?
  /// Whether what comes out is text, which a terminal may have.
  var writesText = false
  var testDescription: String { ([name] + arguments).joined(separator: " ") }
}

/// The tools that are tested here: each new tool adds its line.
let toolCalls: [ToolCall] = [
  ToolCall(
    name: "tensor", arguments: ["slice", "--rows", "0:1"], input: smallDataset, refused: .network),
  ToolCall(name: "tensor", arguments: ["show"], input: smallDataset, writesText: true),
  ToolCall(name: "tensor", arguments: ["rename", "x=y"], input: smallDataset),
  ToolCall(name: "cifar-extract", arguments: ["--synthetic", "20"]),
  ToolCall(name: "patchify", arguments: ["--size", "2"], input: smallImages, refused: .network),
  ToolCall(
    name: "patchify", arguments: ["--size", "2", "--moments"], input: smallImages,
    refused: .dataset),
  ToolCall(
    name: "arrangements", arguments: ["--sample", "5"], input: smallDataset, refused: .images),
  ToolCall(
    name: "gram", arguments: ["--activation", "linear"], input: smallDataset, refused: .images),
  ToolCall(
    name: "solve", arguments: ["--activation", "1,0,0", "--beta", "0.1"], input: smallDataset,
    refused: .images),
  ToolCall(
    name: "baseline", arguments: ["--neurons", "3", "--beta", "0.1"], input: smallDataset,
    refused: .images),
  ToolCall(
    name: "generate", arguments: ["--beta", "0.1"], input: smallDataset, refused: .network),
  ToolCall(
    name: "tensor", arguments: ["windows", "--length", "1"], input: smallSignal, refused: .network),
  ToolCall(name: "recover", arguments: [], input: smallSolution, refused: .images),
  ToolCall(name: "evaluate", arguments: ["--data", "data"], refused: .images, writesText: true),
]

private let toolNames = Set(toolCalls.map(\.name)).sorted()
private let bundleCalls = toolCalls.filter { $0.input != nil }

@Sendable private func smallDataset() -> Bundle {
  Bundle(
    kind: .dataset,
    tensors: ["x": Tensor([1.0, 2, 3, 4], shape: [2, 2]), "labels": Tensor([Int32(0), 1])],
    metadata: ["classes": "a,b"])
}

@Sendable private func smallSignal() -> Bundle {
  Bundle(kind: .dataset, tensors: ["x": Tensor([1.0, 2, 3, 4], shape: [2, 2])])
}

@Sendable private func smallImages() -> Bundle {
  Bundle(
    kind: .images,
    tensors: [
      "images": Tensor((0..<32).map { UInt8($0 * 7) }, shape: [2, 1, 4, 4]),
      "labels": Tensor([Int32(0), 1]), "index": Tensor([Int32(0), 1]),
    ],
    metadata: ["classes": "a,b"])
}

/// One neuron: Z = p pᵀ with p = (1, 0, 1).
@Sendable private func smallSolution() -> Bundle {
  let positive = [1.0, 0, 1, 0, 0, 0, 1, 0, 1]
  return Bundle(
    kind: .solution,
    tensors: [
      "z": Tensor(positive + [Double](repeating: 0, count: 9), shape: [1, 1, 2, 3, 3]),
      "dual": Tensor([0.0, 0], shape: [2, 1]), "predictions": Tensor([1.0, 9], shape: [2, 1]),
    ],
    metadata: [
      "activation": "1,0,0", "beta": "0.1", "classes": "a,b", "loss": "squared",
      "status": "optimal", "targets": "-1.0,1.0",
    ])
}

extension Run {
  /// Whether it failed with this status, one line on standard error that begins with the tool's name,
  /// and nothing on standard output.
  func failed(_ status: Int32, _ tool: String) -> Bool {
    self.status == status && output.isEmpty && errors.hasPrefix("\(tool): ")
      && errors.split(separator: "\n").count == 1
  }
}

@Test(arguments: toolNames, ["--help", "-h", "--version", "--manual"])
func textsGoToStandardOutput(tool: String, option: String) throws {
  let run = try Tools.run(tool, [option])
  #expect(run.status == 0)
  #expect(run.errors.isEmpty)
  #expect(run.text.hasSuffix("\n"))
  switch option {
  case "--version": #expect(run.text.hasPrefix("\(tool) "))
  case "--manual": #expect(run.text.hasPrefix(".TH \(tool.uppercased()) 1 "))
  default: #expect(run.text.hasPrefix("\(tool): "))
  }
}

@Test(arguments: toolNames)
func helpListsEveryOptionOnce(tool: String) throws {
  let lines = try Tools.run(tool, ["--help"]).text.split(separator: "\n")
  let flags = lines.drop { $0 != "options:" }.prefix { $0 != "examples:" }.flatMap { line in
    line.hasPrefix("  -")
      ? line.split(whereSeparator: { " ,".contains($0) }).filter { $0.hasPrefix("-") } : []
  }
  #expect(flags.count >= 6)
  #expect(Set(flags).count == flags.count)
}

@Test(arguments: toolNames)
func badUsageIsExitCode2(tool: String) throws {
  for arguments in [["--no-such-option"], ["-%"], ["--output"], ["--output="], ["--quiet=yes"]] {
    let run = try Tools.run(tool, arguments)
    #expect(run.failed(2, tool), "\(arguments): \(run)")
  }
}

@Test(arguments: toolNames)
func helpNoticesAFullDisk(tool: String) throws {
  let run = try Tools.shell("\(tool) --help > /dev/full")
  #expect(run.failed(1, tool), "\(run)")
  #expect(run.errors.contains("no space left on device"))
}

@Test(arguments: toolNames)
func aClosedStandardOutputIsAnError(tool: String) throws {
  let run = try Tools.shell("\(tool) --help >&-")
  #expect(run.failed(1, tool), "\(run)")
}

@Test(arguments: toolNames)
func aClosedPipeIsSilentButNoSuccess(tool: String) throws {
  let folder = try Folder()
  // Descriptor 3 lets 4 be opened for writing; then nobody reads.
  try Tools.shell(
    """
    mkfifo pipe
    exec 3<>pipe 4>pipe
    exec 3<&-
    \(tool) --help >&4 2> errors || echo $? > status
    """, in: folder)
  let status = try String(contentsOfFile: folder.path("status"), encoding: .utf8)
  #expect(["1\n", "141\n"].contains(status))
  #expect(try Data(contentsOf: folder.url("errors")).isEmpty)
}

@Test(arguments: toolCalls.filter { $0.refused != nil })
func aBundleOfTheWrongKindIsRefused(call: ToolCall) throws {
  let folder = try Folder()
  let wrong = Bundle(
    kind: call.refused!, tensors: ["images": Tensor([UInt8(0)], shape: [1, 1, 1, 1])])
  try folder.write(wrong, "data")
  let run = try Tools.run(
    call.name, call.arguments + ["-o", "out"], input: Data(contentsOf: folder.url("data")),
    in: folder)
  #expect(run.failed(1, call.name), "\(run)")
  #expect(folder.files == ["data"])
}

@Test(arguments: toolCalls.filter { $0.refused != nil })
func whatIsNoBundleIsRefused(call: ToolCall) throws {
  for input in ["", "{}", "a,b\n1,2\n", String(repeating: "x", count: 100_000)] {
    let folder = try Folder()
    let run = try Tools.run(
      call.name, call.arguments + ["-o", "out"], input: Data(input.utf8), in: folder)
    #expect(run.failed(1, call.name), "\(run)")
    #expect(folder.files == [])
  }
}

@Test(arguments: bundleCalls)
func theOutputFileHoldsWhatStandardOutputWould(call: ToolCall) throws {
  let folder = try Folder()
  try folder.write(call.input!(), "in")
  let input = try Data(contentsOf: folder.url("in"))
  let piped = try Tools.run(call.name, call.arguments, input: input, in: folder)
  #expect(piped.status == 0, "\(piped)")
  #expect(!piped.output.isEmpty)
  let filed = try Tools.run(call.name, call.arguments + ["--output=out", "in"], in: folder)
  #expect(filed.status == 0 && filed.output.isEmpty, "\(filed)")
  #expect(folder.files == ["in", "out"])
  #expect(try Data(contentsOf: folder.url("out")) == piped.output)
  let again = try Tools.run(call.name, call.arguments + ["-"], input: input, in: folder)
  #expect(again.output == piped.output)
  // Over its own input.
  let over = try Tools.run(call.name, call.arguments + ["-o", "in", "in"], in: folder)
  #expect(over.status == 0)
  #expect(try Data(contentsOf: folder.url("in")) == piped.output)
}

@Test(arguments: bundleCalls)
func outputThatCannotBeWrittenIsAnError(call: ToolCall) throws {
  let folder = try Folder()
  try folder.write(call.input!(), "in")
  let words = (call.arguments + ["in"]).joined(separator: " ")
  let full = try Tools.shell("\(call.name) \(words) > /dev/full", in: folder)
  #expect(full.failed(1, call.name), "\(full)")
  for place in ["/dev/full", ".", "no/such/folder/out", "in/out"] {
    let run = try Tools.run(call.name, call.arguments + ["-o", place, "in"], in: folder)
    #expect(run.failed(1, call.name), "\(place): \(run)")
  }
  let absent = try Tools.run(call.name, call.arguments + ["-o", "out", "absent"], in: folder)
  #expect(absent.failed(1, call.name), "\(absent)")
  #expect(folder.files == ["in"])
}

@Test(arguments: bundleCalls)
func aTruncatedBundleLeavesNothingBehind(call: ToolCall) throws {
  let folder = try Folder()
  try folder.write(call.input!(), "in")
  let bytes = try Data(contentsOf: folder.url("in"))
  for count in [0, 7, 8, 60, bytes.count - 1] {
    let run = try Tools.run(
      call.name, call.arguments + ["-o", "out"], input: bytes.prefix(count), in: folder)
    #expect(run.failed(1, call.name), "\(run)")
    #expect(folder.files == ["in"])
  }
  let run = try Tools.run(call.name, call.arguments, input: bytes + [0], in: folder)
  #expect(run.failed(1, call.name), "\(run)")
}

private let hasScript = FileManager.default.isExecutableFile(atPath: "/usr/bin/script")

@Test(
  .enabled(if: hasScript, "util-linux's script, which makes a terminal, is not there"),
  arguments: toolCalls.filter { $0.refused != nil })
func aTerminalIsRefusedForBundles(call: ToolCall) throws {
  let folder = try Folder()
  try (call.input?() ?? smallDataset()).write(to: folder, "in")
  let path = Tools.directory.appendingPathComponent(call.name).path
  let words = ([path] + call.arguments).joined(separator: " ")
  let input = try Tools.shell("script -qec '\(words) > out' /dev/null", in: folder)
  #expect(input.status == 2, "\(input)")
  #expect(input.text.contains("terminal"))
  if !call.writesText {
    let output = try Tools.shell("script -qec '\(words) < in' /dev/null", in: folder)
    #expect(output.status == 2, "\(output)")
    #expect(output.text.contains("terminal"))
  }
}

/// A tensor's name alone does not tell whose it is.
@Test func theOptionThatNamesABadBundleIsTold() throws {
  let folder = try Folder()
  let made = try Tools.shell(
    """
    cifar-extract --synthetic 30 -o images && patchify images -o data &&
    patchify --center images -o centred &&
    patchify --flatten images | arrangements --sample 4 -o train &&
    patchify --moments images | solve --activation 1,0,0 --beta 1 -o solution --quiet &&
    recover solution -o network &&
    solve --activation relu --beta 1 --max-iterations 1 train -o relu --quiet
    """, in: folder)
  #expect(made.status == 0, "\(made.errors)")
  func spoil(_ name: String, _ tensor: String, as copy: String) throws {
    var bundle = try folder.read(name)
    bundle.tensors[tensor] = Tensor([UInt8(0)])
    try folder.write(bundle, copy)
  }
  try spoil("train", "x", as: "x")
  try spoil("data", "x", as: "many")
  try spoil("centred", "mean", as: "mean")
  try spoil("solution", "dual", as: "dual")
  try spoil("relu", "index", as: "index")
  for (command, expected) in [
    (
      "solve --activation gated-relu --beta 1 --path 2 --validation x train",
      "--validation x: tensor \"x\""
    ),
    ("solve --activation gated-relu --beta 1 --warm-start index train", "--warm-start index: "),
    (
      "solve --activation gated-relu --beta 1 --path 2 --validation images train",
      "--validation images is a bundle of kind"
    ),
    ("baseline --validation many data", "--validation many: tensor \"x\""),
    ("patchify --like mean images", "--like mean: tensor \"mean\""),
    ("evaluate --data many network", "--data many: tensor \"x\""),
    ("evaluate --data data --certify dual network", "--certify dual: tensor \"dual\""),
    ("recover --minimal --data x relu", "--data x: tensor \"x\""),
  ] {
    let run = try Tools.shell(command, in: folder)
    let tool = command.split(separator: " ")[0]
    #expect(run.failed(1, String(tool)), "\(run.errors)")
    #expect(run.errors.hasPrefix("\(tool): \(expected)"), "\(run.errors)")
  }
}

extension Bundle {
  fileprivate func write(to folder: Folder, _ name: String) throws { try folder.write(self, name) }
}
