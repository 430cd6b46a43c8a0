import Command
import Foundation
import Tensors
import Testing

enum Shade: String, CaseIterable { case light, dark }

struct SampleSettings: ToolSettings {
  var common = CommonSettings()
  var count = 1
  var beta: Double?
  var limit: Int?
  var weights: [Double] = []
  var shade = Shade.light
  var path: String?
  var start: String?
  var trace: String?
  var loud = false

  func validate() throws {
    if count > 100 { throw Failure.usage("--count is too large") }
  }
}

var sample: Tool<SampleSettings> {
  Tool(
    name: "sample",
    summary: "stands for a tool",
    description: "The first paragraph,\non two lines.\n\n.dots and 'quotes' and -dashes.",
    options: [
      .integer("count", "N", \.count, "How many.", minimum: 0),
      .integer("limit", "N", \.limit, "How many at most.", minimum: 2),
      .positive("beta", "B", \.beta, "The weight."),
      .value("weights", "A,B", \.weights, "Numbers.", expected: "numbers", parse: parseNumbers),
      .choice("shade", "SHADE", \.shade, "Which."),
      .input("like", short: "l", "BUNDLE", \.path, "A bundle."),
      .input("start", "BUNDLE", \.start, "A start.", isReplaceable: true),
      .output("trace", "FILE", \.trace, "A trace."),
      .flag("loud", \.loud, "Say \"so\"."),
    ],
    threaded: true,
    examples: ["sample --count 2 < in > out", "sample 'a\\b' ~ ^"])
}

/// The settings and the recipe of a command line that asks for a run.
private func run(_ arguments: String...) throws -> (settings: SampleSettings, recipe: String) {
  guard case .run(let settings, let recipe) = try sample.parse(arguments) else {
    throw Failure.data("not a run")
  }
  return (settings, recipe)
}

private func usage(_ arguments: String...) -> String? {
  do {
    _ = try sample.parse(arguments)
    return nil
  } catch let failure as Failure {
    return failure.exitCode == 2 ? failure.message : "not a usage error: \(failure.message)"
  } catch {
    return "\(error)"
  }
}

@Test func everyFormOfAnOption() throws {
  #expect(try run("--count", "3").settings.count == 3)
  #expect(try run("--count=3").settings.count == 3)
  #expect(try run("--limit", "2").settings.limit == 2)
  #expect(try run("--beta", "1e-2").settings.beta == 0.01)
  #expect(try run("--weights", "-1,1").settings.weights == [-1, 1])
  #expect(try run("--weights=-1,1").settings.weights == [-1, 1])
  #expect(try run("--shade=dark").settings.shade == .dark)
  #expect(try run("--loud").settings.loud)
  #expect(try run("-o", "f").settings.common.output == "f")
  #expect(try run("-of").settings.common.output == "f")
  #expect(try run("--output=a=b").settings.common.output == "a=b")
  #expect(try run("-l", "x", "--threads", "7").settings.common.threads == 7)
  #expect(try run("--quiet").settings.common.quiet)
  #expect(try run().settings.count == 1)
}

@Test func theLastOfARepeatedOptionCounts() throws {
  #expect(try run("--count", "3", "--count=5", "--count", "4").settings.count == 4)
}

@Test func operandsAndTheEndOfTheOptions() throws {
  #expect(try run("f", "--loud").settings.common.operands == ["f"])
  #expect(try run("--loud", "-").settings.common.operands == ["-"])
  #expect(try run("--", "--loud").settings.common.operands == ["--loud"])
  #expect(try !run("--", "--loud").settings.loud)
  #expect(usage("--", "-", "b") == "unexpected argument \"b\"")
  #expect(usage("a", "b") == "unexpected argument \"b\"")
}

@Test func badUsageIsExplained() {
  #expect(usage("--colour") == "unknown option \"--colour\"; --help lists the options")
  #expect(usage("-x")?.contains("unknown option \"-x\"") == true)
  #expect(usage("--=3")?.contains("unknown option") == true)
  #expect(usage("--coun", "3")?.contains("unknown option") == true)
  #expect(usage("--help=all")?.contains("unknown option") == true)
  #expect(usage("--count") == "--count needs a value (N)")
  #expect(usage("-o") == "--output needs a value (FILE)")
  #expect(usage("--count=") == "--count is \"\", expected a whole number of at least 0")
  #expect(usage("--count", "-1") == "--count is \"-1\", expected a whole number of at least 0")
  #expect(usage("--count", "1.5") != nil)
  #expect(usage("--count", "99999999999999999999") != nil)
  #expect(usage("--loud=yes") == "--loud takes no value")
  #expect(usage("--output=") == "--output is \"\", expected some text")
  #expect(usage("--like", "") == "--like is \"\", expected some text")
  for bad in ["1", "", "x"] {
    #expect(usage("--limit", bad)?.hasSuffix("expected a whole number of at least 2") == true)
  }
  #expect(usage("--shade", "grey") == "--shade is \"grey\", expected light, dark")
  for bad in ["0", "-1", "nan", "inf", "1e999", "x", "", " 1"] {
    #expect(usage("--beta", bad) == "--beta is \(quoted(bad)), expected a number above 0")
  }
  for bad in ["", "1,", "1,,2", "1,x", "nan"] { #expect(usage("--weights", bad) != nil) }
  #expect(usage("--count", "101") == "--count is too large")
}

@Test func requestsForText() throws {
  for arguments in [["-h"], ["--help"], ["--loud", "--help"]] {
    guard case .print(let text) = try sample.parse(arguments) else {
      Issue.record("\(arguments) does not print")
      continue
    }
    #expect(text == sample.help)
  }
  guard case .print(let text) = try sample.parse(["--version"]) else { throw Failure.data("") }
  #expect(text == "sample \(version)\n")
  // After the options' end it is an operand, as an option's value it is one.
  #expect(try run("--", "--help").settings.common.operands == ["--help"])
  #expect(try run("-o", "--help").settings.common.output == "--help")
}

@Test func theRecipeHoldsWhatDecidesTheResult() throws {
  #expect(try run().recipe == "sample")
  #expect(
    try run("--count=3", "-l", "/home/me/x", "--trace", "t", "--threads", "2", "--loud", "-o", "f")
      .recipe == "sample --count 3 --like BUNDLE --loud")
  #expect(try run("--weights", "1,-2.5").recipe == "sample --weights 1,-2.5")
}

struct CommandSettings: ToolSettings {
  var common = CommonSettings()
  func validate() throws {}
  var recordedOperands: [String] { Array(common.operands.prefix(2)) }
}

@Test func theRecipeHoldsOperandsWhereTheToolSaysSo() throws {
  let tool = Tool<CommandSettings>(
    name: "t", summary: "", operandCount: 1...Int.max, description: "", options: [], examples: [])
  guard case .run(_, let recipe) = try tool.parse(["show", "a b", "c"]) else {
    throw Failure.data("not a run")
  }
  #expect(recipe == "t show 'a b'")
  #expect(throws: Failure.self) { _ = try tool.parse([]) }
}

@Test func numbersOfOptionsAreDecimal() throws {
  for text in ["0x1p-3", "0x10", "nan", "inf", "1\u{0}5", "1 ", "1,0"] {
    #expect(usage("--beta", text)?.hasPrefix("--beta is ") == true, "\(text)")
    #expect(usage("--weights", "1,\(text),")?.hasPrefix("--weights is ") == true, "\(text)")
    #expect(usage("--count", text)?.hasPrefix("--count is ") == true, "\(text)")
  }
  #expect(try run("--beta", "1e-3").settings.beta == 1e-3)
}

@Test func twoOutputsAreTwoFiles() throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "convex-networks-test-\(UUID().uuidString)"
  ).path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  symlink("a", "\(folder)/link")
  for (one, other) in [("a", "a"), ("a", "./a"), ("link", "a"), ("a", "link")] {
    #expect(
      usage("--trace", "\(folder)/\(one)", "-o", "\(folder)/\(other)")
        == "--output and --trace name the same file")
  }
  #expect(usage("--trace", "-") == "standard output and --trace name the same file")
  #expect(usage("--trace", "\(folder)/a", "-o", "\(folder)/b") == nil)
  // The last value of an option counts, and what goes to /dev/null collides with nothing.
  #expect(usage("--trace", "\(folder)/b", "--trace", "\(folder)/a", "-o", "\(folder)/b") == nil)
  #expect(usage("--trace", "/dev/null", "-o", "/dev/null") == nil)
}

@Test func shellWordsReadBackInAShell() {
  #expect(shellQuoted("a-b_c=1,2:3/4.5@%+") == "a-b_c=1,2:3/4.5@%+")
  #expect(shellQuoted("") == "''")
  #expect(shellQuoted("a b") == "'a b'")
  #expect(shellQuoted("it's") == "'it'\\''s'")
  #expect(shellQuoted("$x`y`*~#") == "'$x`y`*~#'")
  #expect(shellQuoted("é") == "'é'")
  #expect(shellQuoted("a\nb'\\é\n") == "$'a\\012b\\047\\134\\303\\251\\012'")
}

@Test func metadataGoesOnWithTheRecipe() throws {
  let (settings, recipe) = try run("--loud")
  let invocation = Invocation(tool: "sample", recipe: recipe, settings: settings)
  #expect(
    invocation.metadata() == ["producer": "sample \(version)", "command": "sample --loud"])
  #expect(
    invocation.metadata(after: ["command": "first --x\nsecond", "kind": "images"])["command"]
      == "first --x\nsecond\nsample --loud")
}

@Test func outputsAreNoInputs() throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "convex-networks-test-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  let file = folder.appendingPathComponent("a").path
  try Data("text".utf8).write(to: URL(fileURLWithPath: file))
  let other = "\(folder.path)/./a"
  #expect(usage("--trace", other, file) == "--trace and the input \(file) name the same file")
  #expect(usage("--trace", other, "--like", file) == "--trace and --like name the same file")
  #expect(usage("-o", other, "--like", file) == "--output and --like name the same file")
  #expect(usage("--trace", other, "--start", file) == "--trace and --start name the same file")
  #expect(usage("-o", other, "--start", file) == nil)
  #expect(usage("-o", other, file) == nil)
  // Devices hold nothing, and what is not there cannot be lost.
  #expect(usage("--trace", "/dev/null", "--like", "/dev/null") == nil)
  #expect(usage("--trace", "\(file)2", "--like", "\(file)2") == nil)
  #expect(try run("-l", "x", "--start", "a", "b").settings.common.inputs == ["b", "a", "x"])
}

@Test func threadsHaveALimit() throws {
  #expect(try run("--threads", "64").settings.common.threads == 64)
  #expect(usage("--threads", "1000000")?.hasPrefix("--threads is \"1000000\", expected") == true)
}
