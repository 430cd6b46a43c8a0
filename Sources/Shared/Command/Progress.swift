import Dispatch
import Glibc
import Tensors

/// Seconds since some fixed moment, from a clock that only goes forward.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Reports the progress of long work on standard error: one live line on a terminal, a plain line now and then
/// elsewhere, nothing in the first second or with `--quiet`. The last text of the first second is shown at its end,
/// however long the work on it goes on.
package final class Progress: @unchecked Sendable {
  private let tool: String
  private let quiet: Bool
  private let isTerminal: Bool
  private let write: (String) -> Void
  private let start = monotonicSeconds()
  /// Guards what follows.
  private let queue = DispatchQueue(label: "progress")
  private var last: Double
  private var isShowing = false
  /// The text to be shown at the end of the first second.
  private var waiting: String?

  /// `isTerminal` says whether `write` writes to a terminal: to standard error, except in tests.
  package init(
    tool: String, quiet: Bool, isTerminal: Bool = isatty(2) == 1,
    write: @escaping (String) -> Void = writeError
  ) {
    self.tool = tool
    self.quiet = quiet
    self.isTerminal = isTerminal
    self.write = write
    last = start
  }

  deinit { clear() }

  /// Shows `text` if it is time to show something.
  package func update(_ text: @autoclosure () -> String) {
    if quiet { return }
    queue.sync {
      let now = monotonicSeconds()
      if !isTerminal {
        guard now - last > 15 else { return }
        write("\(tool): \(terminalText(text()))\n")
      } else if now - start <= 1 {
        if waiting == nil {
          queue.asyncAfter(deadline: .now() + (1 - (now - start))) { [weak self] in self?.wake() }
        }
        waiting = text()
        return
      } else {
        guard !isShowing || now - last > 0.1 else { return }
        show(text())
      }
      last = now
    }
  }

  /// Clears the live line.
  package func finish() { queue.sync { clear() } }

  private func wake() {
    if let waiting, !isShowing { show(waiting) }
  }

  private func show(_ text: String) {
    write("\r\u{1B}[K\(tool): \(terminalText(text))")
    (isShowing, waiting) = (true, nil)
  }

  private func clear() {
    if isShowing { write("\r\u{1B}[K") }
    (isShowing, waiting) = (false, nil)
  }
}
