import CFaults
import Glibc
import Schema
import Tensors

/// The version of the whole package.
package let version = "0.1.0"

/// The day of this version, for the manual pages.
package let versionDay = "2026-11-29"

private let processors = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

/// More threads than this only cost memory.
private let mostThreads = max(64, 4 * processors)

/// The settings that every tool has.
package struct CommonSettings {
  package var output: String?
  package var quiet = false
  package var threads = processors
  /// The arguments of the command line beside the options.
  package var operands: [String] = []
  /// The files that are read: those that operands and options name. `-` is standard input.
  package internal(set) var inputs: [String] = []
  package init() {}
}

/// A tool's settings: its options' values, with their defaults.
package protocol ToolSettings {
  init()
  var common: CommonSettings { get set }
  /// Checks that the options go together; throws `Failure.usage`.
  func validate() throws
  /// The operands that the recipe keeps, before the options: none if they are paths.
  var recordedOperands: [String] { get }
  /// The operands that are files to read; `-` is standard input.
  var inputOperands: [String] { get }
}

extension ToolSettings {
  package var recordedOperands: [String] { [] }
  package var inputOperands: [String] { common.operands.isEmpty ? ["-"] : common.operands }
}

/// A tool as its users see it: name, options, and the texts of `--help` and the manual page.
package struct Tool<Settings: ToolSettings> {
  package let name: String
  /// One line on the tool's purpose.
  package let summary: String
  /// The operands as usage shows them, and how many there may be.
  package let operands: String
  package let operandCount: ClosedRange<Int>
  /// What the first operand is one of, if it is no file.
  package let operandWords: [String]
  /// Input, output, and other facts; paragraphs are separated by empty lines.
  package let description: String
  package let options: [Option<Settings>]
  package let examples: [String]

  /// The options of this tool, then those that every tool has. `--threads` is there only if `threaded`.
  package init(
    name: String, summary: String, operands: String = "[FILE]",
    operandCount: ClosedRange<Int> = 0...1, operandWords: [String] = [], description: String,
    options: [Option<Settings>], threaded: Bool = false, examples: [String]
  ) {
    self.name = name
    self.summary = summary
    self.operands = operands
    self.operandCount = operandCount
    self.operandWords = operandWords
    self.description = description
    self.examples = examples
    var all = options
    all.append(
      .output(
        "output", short: "o", "FILE", \.common.output,
        "Write to FILE, which appears only when it is whole, instead of standard output."))
    if threaded {
      all.append(
        .integer(
          "threads", "N", \.common.threads,
          "Use N threads (default: as many as there are processors).",
          minimum: 1, maximum: mostThreads, record: .omitted))
    }
    all.append(
      .flag("quiet", \.common.quiet, "Print no progress and no warnings.", record: .omitted))
    self.options = all
  }

  /// The request of a command line.
  package enum Request {
    case run(Settings, recipe: String)
    case print(String)
  }

  /// Reads the arguments that follow the tool's name.
  package func parse(_ arguments: [String]) throws -> Request {
    var settings = Settings()
    var recipe = [name]
    var rest = arguments[...]
    var optionsEnded = false
    var files = NamedFiles()
    while let argument = rest.popFirst() {
      if optionsEnded || argument == "-" || !argument.hasPrefix("-") {
        settings.common.operands.append(argument)
        continue
      }
      if argument == "--" {
        optionsEnded = true
        continue
      }
      if let text = try description(for: argument, rest.first) { return .print(text) }
      let (option, attached) = try lookUp(argument)
      var value = ""
      if option.argument == nil {
        if attached != nil { throw Failure.usage("--\(option.name) takes no value") }
      } else if let attached {
        value = attached
      } else if let following = rest.popFirst() {
        value = following
      } else {
        throw Failure.usage("--\(option.name) needs a value (\(option.argument!))")
      }
      try option.apply(&settings, value)
      if option.isOutput { files.outputs[option.name] = value }
      let isCount = option.takesCounts && Int(value) != nil
      if option.isInput, !isCount {
        if !option.isRepeated { files.inputs.removeAll { $0.option == option.name } }
        files.inputs.append((option.name, value, option.isReplaceable))
      }
      switch (option.record, option.argument) {
      case (.omitted, _): break
      case (_, nil): recipe.append("--\(option.name)")
      case (.placeholder, let placeholder?):
        let name = placeholder.split(separator: "|").last.map(String.init) ?? placeholder
        recipe += ["--\(option.name)", isCount ? value : name]
      case (.value, _): recipe += ["--\(option.name)", shellQuoted(value)]
      }
    }
    let count = settings.common.operands.count
    if count > operandCount.upperBound {
      throw Failure.usage(
        "unexpected argument \(quoted(settings.common.operands[operandCount.upperBound]))")
    }
    if count < operandCount.lowerBound {
      throw Failure.usage("expected \(operands); --help shows how")
    }
    try settings.validate()
    files.operands = settings.inputOperands
    try files.expectDistinct()
    settings.common.inputs = files.operands + files.inputs.map(\.path).sorted()
    recipe.insert(contentsOf: settings.recordedOperands.map(shellQuoted), at: 1)
    return .run(settings, recipe: recipe.joined(separator: " "))
  }

  /// What `argument`, with the one that follows it, asks to print about the tool itself; nil if it asks for nothing.
  private func description(for argument: String, _ following: String?) throws -> String? {
    switch argument {
    case "-h", "--help": return help
    case "--version": return "\(name) \(version)\n"
    case "--manual": return manual
    case _ where argument == "--completion" || argument.hasPrefix("--completion="):
      let shell =
        argument == "--completion" ? following : String(argument.dropFirst("--completion=".count))
      if shell == "bash" { return bashCompletion }
      if shell == "zsh" { return zshCompletion }
      throw Failure.usage("--completion is \(quoted(shell ?? "")), expected bash or zsh")
    default: return nil
    }
  }

  private func lookUp(_ argument: String) throws -> (Option<Settings>, attached: String?) {
    if argument.hasPrefix("--") {
      let parts = argument.dropFirst(2).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if let option = options.first(where: { $0.name == parts[0] }) {
        return (option, parts.count > 1 ? String(parts[1]) : nil)
      }
    } else if let option = options.first(where: {
      $0.short != nil && $0.short == argument.dropFirst().first
    }) {
      let attached = argument.dropFirst(2)
      return (option, attached.isEmpty ? nil : String(attached))
    }
    throw Failure.usage("unknown option \(quoted(argument)); --help lists the options")
  }

  /// Runs the tool: reads the command line, calls `body`, and turns errors into a message and an exit code.
  package func main(_ body: (Invocation<Settings>) throws -> Void) -> Never {
    occupyStandardDescriptors()
    faults_set_program(name)
    faults_handle_signals()
    var status: Int32 = 0
    do {
      switch try parse(commandLine()) {
      case .print(let text):
        let output = try Output(path: nil)
        try output.write(text)
        try output.finish()
      case .run(let settings, let recipe):
        try body(Invocation(tool: name, recipe: recipe, settings: settings))
      }
    } catch let failure as Failure {
      if failure != .closedPipe { report(name, failure.message) }
      status = failure.exitCode
    } catch {
      report(name, "\(error)")
      status = 1
    }
    faults_exit(status)
  }
}

/// The arguments after the tool's name. Text is UTF-8 here: a name that is not UTF-8 would become another name.
private func commandLine() throws -> [String] {
  try (0..<Int(CommandLine.argc)).dropFirst().compactMap { CommandLine.unsafeArgv[$0] }.map {
    guard let text = String(validatingCString: $0) else {
      let bytes = UnsafeRawBufferPointer(start: $0, count: strlen($0))
      throw Failure.usage("the argument \(quotedBytes(bytes)) is not UTF-8")
    }
    return text
  }
}

/// One run of a tool: its settings, its inputs and its outputs.
package struct Invocation<Settings: ToolSettings> {
  package let tool: String
  /// The command in the form in which a bundle records it.
  package let recipe: String
  package let settings: Settings

  package init(tool: String, recipe: String, settings: Settings) {
    self.tool = tool
    self.recipe = recipe
    self.settings = settings
  }

  package var common: CommonSettings { settings.common }

  /// The operand's file or standard input. A terminal is refused before any work.
  package func input() throws -> Input { try input(path: common.operands.first ?? "-") }

  package func input(path: String) throws -> Input {
    let input = try Input(path: path)
    if input.isTerminal {
      throw Failure.usage("expected a bundle on standard input, not a terminal; --help shows how")
    }
    return input
  }

  /// The result of `body` for the file that `option` names.
  package func read<R>(
    _ option: String, _ path: String, _ body: (Input) throws -> R
  ) throws -> R {
    let input = try input(path: path)
    return try blaming(option, input.name) { try body(input) }
  }

  /// Calls `body`; errors in the data are reported as errors of the file `name` that `option` names. A tensor's name
  /// alone would not say in which file it is.
  package func blaming<R>(_ option: String, _ name: String, _ body: () throws -> R) throws -> R {
    do { return try body() } catch Failure.data(let message) {
      throw Failure.data(
        message.hasPrefix("\(name) ") ? "\(option) \(message)" : "\(option) \(name): \(message)")
    }
  }

  /// `--output` or standard output, for a bundle: a terminal is refused. Call it before any work.
  package func bundleOutput() throws -> Output {
    let output = try textOutput()
    if output.isTerminal {
      throw Failure.usage("a bundle is not for a terminal: redirect it, or use -o FILE")
    }
    return output
  }

  /// `--output` or standard output, for text.
  package func textOutput() throws -> Output { try Output(path: common.output) }

  /// Writes the product of this run and gives it its name, together with the file `beside` it; numbers that are not
  /// finite are refused.
  package func write(_ bundle: Bundle, to output: Output, with beside: Output? = nil) throws {
    try bundle.expectFiniteNumbers()
    try bundle.write(to: output)
    try Output.finish([beside, output].compactMap { $0 })
  }

  /// The metadata of this run's output: `producer`, and `command` with this run's line after the lines of `input`.
  package func metadata(after input: [String: String] = [:]) -> [String: String] {
    let previous = input["command"].map { [$0] } ?? []
    return [
      "producer": "\(tool) \(version)", "command": (previous + [recipe]).joined(separator: "\n"),
    ]
  }

  /// A line on standard error that is no warning.
  package func note(_ message: String) {
    if !common.quiet { report(tool, message) }
  }

  package func warn(_ message: String) {
    note("warning: \(message)")
  }

  package func progress() -> Progress { Progress(tool: tool, quiet: common.quiet) }
}

/// Prints `tool: message` on standard error as one line without control characters, cut if a hostile file made it
/// endless.
package func report(_ tool: String, _ message: String) {
  let shown = message.unicodeScalars.prefix(2000)
  let isCut = shown.endIndex < message.unicodeScalars.endIndex
  writeError("\(tool): \(terminalText(String(shown)))\(isCut ? "…" : "")\n")
}

/// Replaces a standard stream that the caller closed (`>&-`): otherwise the next file that is opened would take its
/// number, and messages would end in that file. The replacement cannot be used as the stream would be, so that using it
/// is still an error.
private func occupyStandardDescriptors() {
  for (descriptor, mode) in [(0, O_WRONLY), (1, O_RDONLY), (2, O_RDONLY)] as [(Int32, Int32)] {
    if fcntl(descriptor, F_GETFD) == -1 { _ = open("/dev/null", mode) }
  }
}

package func writeError(_ text: String) {
  var text = text
  text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
}

/// `text` as one word of a POSIX shell, always on one line.
package func shellQuoted(_ text: String) -> String {
  let plain = text.unicodeScalars.allSatisfy {
    $0.isASCII
      && ($0.properties.isAlphabetic || ("0"..."9").contains($0)
        || "_-+=,.:/@%".unicodeScalars.contains($0))
  }
  if plain && !text.isEmpty { return text }
  if text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }) {
    // $'...' of POSIX 2024: line feeds would split a recipe, other control characters a terminal.
    return text.utf8.reduce(into: "$'") { word, byte in
      let isPlain = (0x20..<0x7F).contains(byte) && !"'\\".utf8.contains(byte)
      let octal = String(byte, radix: 8)
      word +=
        isPlain
        ? String(Unicode.Scalar(byte))
        : "\\" + String(repeating: "0", count: 3 - octal.count) + octal
    } + "'"
  }
  return "'"
    + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
    + "'"
}
