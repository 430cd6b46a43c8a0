import Glibc
import Synchronization

/// SIGINT and SIGTERM as requests: the first one asks a search to end, a second one ends the process.
///
/// A signal that was ignored from the start (`nohup`, a background job of a script) stays ignored.
package enum Signals {
  /// The signals that are requests.
  private static let numbers = [SIGINT, SIGTERM]
  /// How many have come since `catchRequests`.
  private static let requests = Atomic<Int>(0)
  /// The two ends of a pipe that wakes the waiting thread; −1 while there is none.
  nonisolated(unsafe) private static var pipeEnds: (reading: Int32, writing: Int32) = (-1, -1)
  /// The actions that the signals had before.
  nonisolated(unsafe) private static var previous: [(number: Int32, action: sigaction)] = []

  /// Whether a request has come.
  package static var isRequested: Bool { requests.load(ordering: .relaxed) > 0 }

  /// From now on the first SIGINT or SIGTERM is a request.
  package static func catchRequests() throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw Failure.data("cannot make a pipe: \(systemError())") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    pipeEnds = (ends[0], ends[1])
    requests.store(0, ordering: .relaxed)
    for number in numbers {
      var before = sigaction()
      guard sigaction(number, nil, &before) == 0, !isIgnored(before) else { continue }
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { Signals.handle($0) }
      action.sa_flags = SA_RESTART
      previous.append((number, before))
      sigaction(number, &action, nil)
    }
  }

  /// Restores the signals' earlier actions.
  package static func release() {
    for (number, action) in previous {
      var action = action
      sigaction(number, &action, nil)
    }
    previous = []
  }

  /// Waits until a request comes, `wake` is called, or the clock of `CLOCK_MONOTONIC` shows `deadline`.
  package static func wait(until deadline: Double) {
    var entry = pollfd(fd: pipeEnds.reading, events: Int16(POLLIN), revents: 0)
    while true {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      let left = deadline - (Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9)
      if left <= 0 { return }
      // An hour at a time: milliseconds are 32 bits.
      let ready = poll(&entry, 1, Int32((min(left, 3600) * 1000).rounded(.up)))
      guard ready > 0 else { continue }
      var byte: UInt8 = 0
      while read(pipeEnds.reading, &byte, 1) > 0 {}
      return
    }
  }

  /// Ends a `wait`. Handlers of signals may call it.
  package static func wake() {
    var byte: UInt8 = 1
    _ = write(pipeEnds.writing, &byte, 1)
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// The handler: it calls only functions that POSIX calls safe in handlers.
  private static func handle(_ number: Int32) {
    let error = errno
    if requests.wrappingAdd(1, ordering: .relaxed).oldValue > 0 {
      TemporaryFiles.unlinkAll()
      signal(number, SIG_DFL)
      raise(number)
    }
    wake()
    errno = error
  }
}
