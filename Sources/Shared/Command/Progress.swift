import Glibc

/// Seconds since some fixed moment, from a clock that only goes forward.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Tells on standard error how far long work has come: one live line on a terminal, a plain line now
/// and then elsewhere, nothing in the first second or with `--quiet`.
package final class Progress {
  private let tool: String
  private let quiet: Bool
  private let isTerminal = isatty(2) == 1
  private let start = monotonicSeconds()
  private var last: Double
  private var isShowing = false

  package init(tool: String, quiet: Bool) {
    self.tool = tool
    self.quiet = quiet
    last = start
  }

  deinit { finish() }

  /// Shows `text` if it is time to show something.
  package func update(_ text: @autoclosure () -> String) {
    if quiet { return }
    let now = monotonicSeconds()
    if isTerminal {
      guard now - start > 1, !isShowing || now - last > 0.1 else { return }
      writeError("\r\u{1B}[K\(tool): \(text())")
      isShowing = true
    } else {
      guard now - last > 15 else { return }
      writeError("\(tool): \(text())\n")
    }
    last = now
  }

  /// Clears the live line.
  package func finish() {
    if isShowing { writeError("\r\u{1B}[K") }
    isShowing = false
  }
}
