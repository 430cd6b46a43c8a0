import Glibc
import Tensors

/// The options of the command line: pairs of a name and a value.
private func options(_ arguments: ArraySlice<String>) -> [String: String] {
  var options: [String: String] = [:]
  var rest = arguments
  while let name = rest.popFirst() {
    guard name.hasPrefix("--"), let value = rest.popFirst() else {
      say("trials: expected an option and its value, found \(quoted(name))")
      exit(2)
    }
    options[String(name.dropFirst(2))] = value
  }
  return options
}

private func number(_ text: String?, _ fallback: Int) -> Int {
  text.flatMap { Int($0) } ?? fallback
}

/// Whether this program, and so the tools beside it, run under a sanitizer.
private let isSanitized =
  dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil

private func run() throws -> Bool {
  let arguments = CommandLine.arguments
  let options = options(arguments.dropFirst(2))
  // The tools are built beside this program.
  let here = arguments[0].split(separator: "/", omittingEmptySubsequences: false).dropLast()
  let tools = options["tools"] ?? here.joined(separator: "/")
  switch arguments.dropFirst().first {
  case "mutations":
    var trial = MutationTrial(tools: tools, folder: options["folder"] ?? "build/mutations")
    trial.seed = number(options["seed"], 0)
    trial.first = number(options["first"], 0)
    trial.count = number(options["count"], 2000)
    trial.workers = number(options["workers"], 2)
    trial.isVerbose = options["verbose"] != nil
    if isSanitized {
      trial.addressSpace = nil
      trial.allowance = 2 << 30
      trial.timeout = 120
    }
    return try trial.run()
  case "memory", "limits":
    if isSanitized {
      say("not measured: a sanitizer takes memory of its own")
      return true
    }
    var trial = MemoryTrial(tools: tools, folder: options["folder"] ?? "build/memory")
    trial.only = options["only"] ?? ""
    if let sizes = options["sizes"] {
      trial.sizes = sizes.split(separator: ",").compactMap { Int($0) }
    }
    return arguments[1] == "memory" ? try trial.measure() : try trial.limit()
  case "stalls":
    var trial = StallTrial(folder: options["folder"] ?? "build/stalls")
    trial.seed = number(options["seed"], 0)
    trial.first = number(options["first"], 0)
    trial.count = number(options["count"], 400)
    trial.cells = number(options["cells"], 0)
    trial.points = number(options["points"], 200)
    return try trial.run()
  case "promises":
    say(String(MemoryTrial.promises.dropLast()))
    return true
  default:
    say("usage: trials mutations [--seed S] [--first I] [--count N] [--workers N]")
    say("       trials memory [--sizes MB,...] [--only NAME]")
    say("       trials limits [--only NAME]")
    say("       trials stalls [--seed S] [--first I] [--count N] [--cells SEEDS] [--points N]")
    say("       trials promises")
    say("each also with --tools DIR, where the tools are, and --folder DIR for its files")
    exit(2)
  }
}

do {
  exit(try run() ? 0 : 1)
} catch {
  say("trials: \(error)")
  exit(1)
}
