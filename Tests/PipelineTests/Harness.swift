import Foundation
import Tensors
import Testing

/// What a run of a tool left behind.
struct Run {
  var status: Int32
  var output: Data
  var errors: String
  var text: String { String(decoding: output, as: UTF8.self) }
}

/// The built tools, run as a user runs them.
enum Tools {
  /// The directory of the binaries: the one that holds the test bundle.
  static let directory: URL = {
    if let path = ProcessInfo.processInfo.environment["TOOLS_DIRECTORY"] {
      return URL(fileURLWithPath: path)
    }
    // argv[0] of `swift test` lies beside the products.
    var url = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    while url.path != "/" {
      if FileManager.default.isExecutableFile(atPath: url.appendingPathComponent("solve").path) {
        return url
      }
      url.deleteLastPathComponent()
    }
    fatalError("cannot find the built tools; set TOOLS_DIRECTORY")
  }()

  /// Whether the tools were built with a sanitizer, which lays claim to all of the address space.
  static let areSanitized: Bool = {
    let tool = try? Data(contentsOf: directory.appendingPathComponent("recover"))
    return ["__asan_init", "__tsan_init"].contains { tool?.range(of: Data($0.utf8)) != nil }
  }()

  /// Runs `tool` with `arguments` in `folder`, with `input` on standard input.
  @discardableResult
  static func run(
    _ tool: String, _ arguments: [String], input: Data = Data(), in folder: Folder? = nil
  ) throws -> Run {
    try launch(directory.appendingPathComponent(tool), arguments, input: input, in: folder)
  }

  /// Runs a bash script with the tools first on PATH.
  @discardableResult
  static func shell(_ script: String, in folder: Folder? = nil) throws -> Run {
    let script = "set -u -o pipefail; PATH=\(directory.path):$PATH; \(script)"
    return try launch(URL(fileURLWithPath: "/bin/bash"), ["-c", script], input: Data(), in: folder)
  }

  /// Ours, without what a make that runs the tests tells the makes below it: they are not below it.
  private static let environment = ProcessInfo.processInfo.environment.filter {
    !["MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"].contains($0.key)
  }

  private static func launch(
    _ program: URL, _ arguments: [String], input: Data, in folder: Folder?
  ) throws -> Run {
    // Standard streams go through files: nothing can fill a pipe and wait for ever.
    let scratch = try Folder()
    try input.write(to: scratch.url("in"))
    for name in ["out", "err"] { try Data().write(to: scratch.url(name)) }
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.environment = environment
    if let folder { process.currentDirectoryURL = folder.url }
    process.standardInput = try FileHandle(forReadingFrom: scratch.url("in"))
    process.standardOutput = try FileHandle(forWritingTo: scratch.url("out"))
    process.standardError = try FileHandle(forWritingTo: scratch.url("err"))
    // A process takes over which signals its maker's thread blocks, and those of dispatch block most.
    var (none, blocked) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &blocked)
    defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
    try process.run()
    process.waitUntilExit()
    return Run(
      status: process.terminationReason == .exit
        ? process.terminationStatus : 128 + process.terminationStatus,
      output: try Data(contentsOf: scratch.url("out")),
      errors: String(decoding: try Data(contentsOf: scratch.url("err")), as: UTF8.self))
  }
}

/// A fresh directory that goes when its owner goes.
final class Folder: @unchecked Sendable {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "convex-networks-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func url(_ name: String) -> URL { url.appendingPathComponent(name) }
  func path(_ name: String) -> String { url(name).path }
  var files: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
  }

  func write(_ bundle: Bundle, _ name: String) throws {
    let output = try Output(path: path(name))
    try bundle.write(to: output)
    try output.finish()
  }

  func read(_ name: String) throws -> Bundle {
    try Bundle(reading: Input(path: path(name)))
  }
}

/// `Bundle` means our own, not Foundation's.
typealias Bundle = Tensors.Bundle

/// What tools print may be `nan`, and is no number that anybody typed: read it as Swift does.
extension Double {
  init?(_ text: String) {
    func read<T: LosslessStringConvertible>(_: T.Type) -> T? { T(text) }
    guard let value = read(Double.self) else { return nil }
    self = value
  }

  init?(_ text: Substring) { self.init(String(text)) }
}
