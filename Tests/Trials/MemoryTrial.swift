import Glibc
import Tensors

/// What the tools take of memory: measured against what docs/trust.md promises, and under limits.
struct MemoryTrial {
  var tools: String
  var folder: String
  /// Inputs of about so many million bytes.
  var sizes = [4, 16, 64]
  /// The cases whose names begin so.
  var only = ""

  /// What a tool may take beyond its start-up whatever the size of its input: blocks of rows, and the room in
  /// which BLAS packs matrices.
  static let constant = 32 << 20

  private var cases: [MemoryCase] { MemoryCase.all.filter { $0.name.hasPrefix(only) } }

  /// The table of docs/trust.md.
  static var promises: String {
    "| run | multiple |\n| --- | --- |\n"
      + MemoryCase.all.map { "| `\($0.name)` | \($0.multiple) |\n" }.joined()
  }

  private func command(_ line: String, _ output: String?) -> Command {
    let words = line.split(separator: " ").map(String.init)
    return Command(
      program: "\(absolute(tools))/\(words[0])",
      arguments: words.dropFirst() + ["--quiet"] + (output.map { ["-o", $0] } ?? []),
      folder: absolute(folder), timeout: 120)
  }

  /// Makes the input of `test` with about `bytes` bytes.
  private func prepare(_ test: MemoryCase, bytes: Int) throws {
    try makeFolder(folder)
    let samples = max(20, bytes / test.bytesPerSample)
    for (line, output) in test.setup {
      let words = line.split(separator: " ").map { $0 == "N" ? "\(samples)" : String($0) }
      switch words[0] {
      case "records":
        let record = [UInt8](repeating: 1, count: 3073)
        let file = try Output(path: "\(folder)/\(output)")
        for _ in 0..<samples { try record.withUnsafeBytes { try file.write($0) } }
        try file.finish()
      case "table": try run(command("tensor get x --csv \(words[1])", output))
      default: try run(command(words.joined(separator: " "), output))
      }
    }
  }

  private func run(_ command: Command) throws {
    let outcome = try command.run()
    guard outcome.succeeded else {
      let message = String(decoding: try contents("\(folder)/stderr"), as: UTF8.self)
      throw Failure.data("\(command.text): \(outcome.end) \(message)")
    }
  }

  /// Measures every case and prints a table; false if a tool takes more than is promised.
  func measure() throws -> Bool {
    var isKept = true
    say(
      "| run | promised | "
        + sizes.map { "input and output, beyond start-up at \($0) MB" }.joined(separator: " | ")
        + " | multiple |")
    say("| --- | --- | " + sizes.map { _ in "--- | " }.joined() + "--- |")
    for test in cases {
      try makeFolder(folder)
      let start = try command("\(test.tool) --version", nil).run().peak
      var cells: [String] = []
      var multiple = 0.0
      for size in sizes {
        try prepare(test, bytes: size << 20)
        let outcome = try command(test.line, "out").run()
        guard outcome.succeeded else {
          let message = String(decoding: try contents("\(folder)/stderr"), as: UTF8.self)
          throw Failure.data("\(test.line): \(outcome.end) \(message)")
        }
        let bytes =
          test.inputs.map { fileSize("\(folder)/\($0)") }.reduce(0, +)
          + fileSize("\(folder)/out")
        let taken = max(0, outcome.peak - start)
        multiple = Double(taken) / Double(bytes)
        cells.append("\(bytes >> 20) MB, \(taken >> 20) MB")
        let limit = Double(MemoryTrial.constant) + test.multiple * Double(bytes)
        if Double(taken) > limit {
          isKept = false
          cells[cells.count - 1] += " (too much)"
        }
      }
      let rounded = (multiple * 100).rounded() / 100
      say(
        "| \(test.name) | \(test.multiple) | \(cells.joined(separator: " | ")) | \(rounded) |")
    }
    return isKept
  }

  /// Every case with an input of a few MB under each limit of address space: success, or a message and exit
  /// status 1, within 5 seconds of processor time. False if there was anything else.
  func limit() throws -> Bool {
    var isKept = true
    let limits = [100, 300, 1000]
    for test in cases {
      try prepare(test, bytes: 4 << 20)
      for limit in limits {
        var command = command(test.line, "out")
        command.addressSpace = limit * 1_000_000
        command.timeout = 20
        unlink("\(folder)/out")
        let before = Set(names(in: folder))
        let outcome = try command.run()
        let message = String(decoding: try contents("\(folder)/stderr").prefix(200), as: UTF8.self)
        let left = Set(names(in: folder)).subtracting(before)
        var faults: [String] = []
        switch outcome.end {
        case .status(0): break
        case .status(1):
          if message.isEmpty { faults.append("no message") }
          if !left.isEmpty { faults.append("leaves \(left.sorted())") }
        default: faults.append("\(outcome.end)")
        }
        if outcome.processorSeconds > 5 {
          faults.append("\(outcome.processorSeconds.rounded()) s of processor time")
        }
        let verdict = faults.isEmpty ? "" : "FAULT: \(faults.joined(separator: ", ")): "
        if !faults.isEmpty { isKept = false }
        let line = message.split(separator: "\n").first.map(String.init) ?? ""
        say("\(limit) MB\t\(test.name)\t\(verdict)\(outcome.succeeded ? "done" : line)")
      }
    }
    return isKept
  }
}
