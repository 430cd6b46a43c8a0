import Foundation
import Tensors
import Testing

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
