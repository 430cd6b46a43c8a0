import Command
import Foundation
import Testing

/// What was written, from whatever thread.
private final class Page: @unchecked Sendable {
  private let lock = NSLock()
  private var text = ""
  func write(_ more: String) { lock.withLock { text += more } }
  var contents: String { lock.withLock { text } }
}

@Test func whatTakesLongIsShownThoughNothingMoreIsTold() {
  let page = Page()
  let progress = Progress(tool: "sample", quiet: false, isTerminal: true, write: page.write)
  progress.update("first")
  progress.update("second")
  #expect(page.contents == "")
  Thread.sleep(forTimeInterval: 1.5)
  #expect(page.contents == "\r\u{1B}[Ksample: second")
  progress.update("third")
  #expect(page.contents.hasSuffix("sample: third"))
  progress.finish()
  #expect(page.contents.hasSuffix("third\r\u{1B}[K"))
}

@Test func whatIsShortOrQuietShowsNothing() {
  let page = Page()
  let short = Progress(tool: "sample", quiet: false, isTerminal: true, write: page.write)
  short.update("work")
  short.finish()
  let quiet = Progress(tool: "sample", quiet: true, isTerminal: true, write: page.write)
  quiet.update("work")
  let file = Progress(tool: "sample", quiet: false, isTerminal: false, write: page.write)
  file.update("work")
  Thread.sleep(forTimeInterval: 1.3)
  #expect(page.contents == "")
}
