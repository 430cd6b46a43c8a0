import Foundation
import Testing

@testable import Tensors

/// A directory that goes when its owner goes.
private final class Folder {
  let path: String
  init() throws {
    path =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("convex-networks-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
  var files: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
  func text(_ name: String) -> String? {
    FileManager.default.contents(atPath: "\(path)/\(name)").map {
      String(decoding: $0, as: UTF8.self)
    }
  }
}

private func message(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return (error as? Failure)?.message
  }
}

@Test func aFileAppearsOnlyWhenItIsFinished() throws {
  let folder = try Folder()
  do {
    let output = try Output(path: "\(folder.path)/a")
    try output.write("half")
    try output.flush()
    #expect(!folder.files.contains("a"))
  }
  #expect(folder.files == [])
  let output = try Output(path: "\(folder.path)/a")
  try output.write("whole")
  try output.finish()
  #expect(folder.files == ["a"])
  #expect(folder.text("a") == "whole")
}

@Test func aFailedRunLeavesTheOldFile() throws {
  let folder = try Folder()
  try Data("old".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/a"))
  do {
    let output = try Output(path: "\(folder.path)/a")
    try output.write("new")
  }
  #expect(folder.files == ["a"])
  #expect(folder.text("a") == "old")
}

@Test func severalOutputsAppearTogetherOrNotAtAll() throws {
  let folder = try Folder()
  func outputs(_ last: String) throws -> [Output] {
    let all = try ["\(folder.path)/a", last, "\(folder.path)/b"].map { try Output(path: $0) }
    for output in all { try output.write("text") }
    return all
  }
  do {
    let outputs = try outputs("/dev/full")
    #expect(message { try Output.finish(outputs) }?.contains("no space left") == true)
    #expect(folder.files == [])
  }
  #expect(folder.files == [])
  try Output.finish(outputs("/dev/null"))
  #expect(folder.files == ["a", "b"])
  #expect(folder.text("a") == "text" && folder.text("b") == "text")
}

@Test func aReplacedFileKeepsItsPermissions() throws {
  let folder = try Folder()
  try Data("old".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/a"))
  chmod("\(folder.path)/a", 0o640)
  let output = try Output(path: "\(folder.path)/a")
  try output.finish()
  var status = stat()
  #expect(stat("\(folder.path)/a", &status) == 0)
  #expect(status.st_mode & 0o777 == 0o640)
}

@Test func aSymbolicLinkStaysOne() throws {
  let folder = try Folder()
  try Data("old".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/target"))
  symlink("target", "\(folder.path)/link")
  let output = try Output(path: "\(folder.path)/link")
  try output.write("new")
  try output.finish()
  #expect(folder.files == ["link", "target"])
  #expect(folder.text("target") == "new")
  #expect(
    try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder.path)/link") == "target")
}

@Test func aDanglingLinkGetsItsTarget() throws {
  let folder = try Folder()
  try FileManager.default.createDirectory(
    atPath: "\(folder.path)/inner", withIntermediateDirectories: false)
  symlink("inner/second", "\(folder.path)/first")
  symlink("../target", "\(folder.path)/inner/second")
  let output = try Output(path: "\(folder.path)/first")
  try output.write("new")
  try output.finish()
  #expect(folder.files == ["first", "inner", "target"])
  #expect(folder.text("target") == "new")
  symlink("loop", "\(folder.path)/loop")
  #expect(
    message { _ = try Output(path: "\(folder.path)/loop") }?.contains("symbolic links") == true)
}

@Test func theLongestNameThereIsCanBeWritten() throws {
  let folder = try Folder()
  let name = String(repeating: "n", count: 255)
  for text in ["new", "newer"] {
    let output = try Output(path: "\(folder.path)/\(name)")
    try output.write(text)
    try output.finish()
    #expect(folder.files == [name])
    #expect(folder.text(name) == text)
  }
}

/// With and without a temporary name: not every file system has files without names.
@Test(arguments: [false, true])
func aPendingFileTakesItsPlace(isNamed: Bool) throws {
  let folder = try Folder()
  let path = "\(folder.path)/a"
  func make(_ text: String, mode: mode_t?) throws -> PendingFile {
    let file = try #require(PendingFile(replacing: path, mode: mode, named: isNamed))
    #expect(write(file.descriptor, text, text.utf8.count) == text.utf8.count)
    #expect(folder.files.count { $0.hasPrefix(".cn-") } == (isNamed ? 1 : 0))
    return file
  }
  let mask = umask(0o027)
  defer { umask(mask) }
  for (text, mode) in [("one", nil), ("two", 0o604 as mode_t)] {
    let file = try make(text, mode: mode)
    #expect(file.publish())
    close(file.descriptor)
    #expect(folder.files == ["a"])
    #expect(folder.text("a") == text)
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == mode ?? 0o640)
  }
  do {
    let dropped = try make("three", mode: nil)
    close(dropped.descriptor)
  }
  #expect(folder.files == ["a"])
  let last = try make("four", mode: nil)
  TemporaryFiles.unlinkAll()
  #expect(folder.files == ["a"])
  close(last.descriptor)
}

/// What is written may be the mapping of a file whose end has gone since.
@Test func theFileThatWasCutIsNamed() throws {
  let scratch = try Scratch()
  let whole = Bundle(tensors: ["a": Tensor([UInt8](repeating: 7, count: 3 << 20))])
  try Data(whole.bytes()).write(to: URL(fileURLWithPath: scratch.path))
  let mapped = try Bundle(reading: Input(path: scratch.path))
  #expect(truncate(scratch.path, 1 << 20) == 0)
  let copy = try Scratch()
  let text = message {
    let output = try Output(path: copy.path)
    try mapped.write(to: output)
  }
  #expect(text?.hasPrefix("unexpected end of \(scratch.path): ") == true, "\(text ?? "")")
  #expect(copy.bytes.isEmpty)
}

@Test func pathsToOneFileAreOne() throws {
  let folder = try Folder()
  try Data("a".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/a"))
  try FileManager.default.createDirectory(
    atPath: "\(folder.path)/inner", withIntermediateDirectories: false)
  symlink("a", "\(folder.path)/link")
  symlink("inner/new", "\(folder.path)/dangling")
  link("\(folder.path)/a", "\(folder.path)/hard")
  func identity(_ name: String) -> FileIdentity? { FileIdentity(of: "\(folder.path)/\(name)") }
  for same in ["./a", "link", "inner/../a", "hard"] { #expect(identity(same) == identity("a")) }
  #expect(identity("a") != nil && identity("new") != nil)
  #expect(identity("dangling") == identity("inner/./new"))
  #expect(identity("new") != identity("inner/new"))
  #expect(identity("new") != identity("newer"))
  #expect(FileIdentity(of: "/dev/null") == nil)
}

@Test func aPipeIsNoRegularFile() throws {
  let folder = try Folder()
  mkfifo("\(folder.path)/pipe", 0o600)
  #expect(
    message { _ = try Input(path: "\(folder.path)/pipe", regularOnly: true) }
      == "\(folder.path)/pipe is a device or a pipe, expected a file")
  #expect(
    message { _ = try Input(path: "/dev/zero", regularOnly: true) }?.contains("device") == true)
}

@Test func badPlacesAreRefused() throws {
  let folder = try Folder()
  #expect(message { _ = try Output(path: folder.path) } == "\(folder.path) is a directory")
  #expect(message { _ = try Output(path: "\(folder.path)/no/a") }?.contains("no such file") == true)
  #expect(message { _ = try Input(path: folder.path) } == "\(folder.path) is a directory")
  #expect(message { _ = try Input(path: "\(folder.path)/a") }?.contains("no such file") == true)
}

@Test func aFullDiskIsAnError() throws {
  let large = [UInt8](repeating: 1, count: 1 << 20)
  for count in [1, large.count] {
    let text = message {
      let output = try Output(path: "/dev/full")
      try large.prefix(count).withUnsafeBytes { try output.write($0) }
      try output.finish()
    }
    #expect(text == "cannot write /dev/full: no space left on device")
  }
}

@Test func manySmallWritesArriveInOrder() throws {
  let scratch = try Scratch()
  let output = try Output(path: scratch.path)
  var expected: [UInt8] = []
  for i in 0..<20_000 {
    let piece = Array("\(i),".utf8)
    try piece.withUnsafeBytes { try output.write($0) }
    expected += piece
  }
  try [UInt8](repeating: 9, count: 200_000).withUnsafeBytes { try output.write($0) }
  try output.finish()
  #expect(scratch.bytes == expected + [UInt8](repeating: 9, count: 200_000))
}
