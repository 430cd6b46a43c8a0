import Glibc
import Tensors

/// One run of a tool, as its parent sees it.
struct Outcome {
  enum End: Equatable {
    case status(Int32)
    case signal(Int32)
    /// Killed by us after so many seconds.
    case hang(Double)
  }
  var end: End
  var seconds: Double
  /// Of all threads, in the system too.
  var processorSeconds: Double
  /// The largest resident size, in bytes.
  var peak: Int

  var succeeded: Bool { end == .status(0) }
}

/// How a tool is started.
struct Command {
  var program: String
  var arguments: [String]
  var folder: String
  /// The file that comes through a pipe on standard input; nil if nothing does. Outputs go to the files
  /// `stdout` and `stderr` in `folder`.
  var piped: String?
  /// The most address space that it may take, in bytes; nil sets no limit.
  var addressSpace: Int?
  var timeout = 20.0

  /// The command as a shell takes it.
  var text: String {
    (piped.map { "cat \(shellWord($0)) | " } ?? "")
      + ([program] + arguments).map(shellWord).joined(separator: " ")
  }
}

private func shellWord(_ text: String) -> String {
  let plain = text.utf8.allSatisfy { byte in
    (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x2D...0x39).contains(byte)
      || byte == 0x5F || byte == 0x3D || byte == 0x2C
  }
  return plain && !text.isEmpty ? text : "'\(text)'"
}

extension Command {
  /// Starts the program and waits for its end, `timeout` seconds at most.
  ///
  /// The shell in between sets the limit and the folder, and is replaced by the program unless it has to
  /// fill a pipe. Both are a process group, so that they can be killed as one.
  func run() throws -> Outcome {
    let limit = addressSpace.map { "ulimit -v \($0 >> 10); " } ?? ""
    let start = piped.map { "cat \(shellWord($0)) |" } ?? "exec"
    let script = "ulimit -c 0; cd \"$0\" || exit 126; \(limit)\(start) \"$@\""
    let words = ["/bin/sh", "-c", script, folder, program] + arguments
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for (descriptor, name) in [(1, "stdout"), (2, "stderr")] as [(Int32, String)] {
      posix_spawn_file_actions_addopen(
        &actions, descriptor, "\(folder)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    }
    var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var process: pid_t = 0
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let begin = now()
    let failure = posix_spawn(&process, "/bin/sh", &actions, &attributes, &pointers, environ)
    guard failure == 0 else {
      throw Failure.data("cannot start \(program): \(systemError(failure))")
    }
    return wait(for: process, since: begin)
  }

  private func wait(for process: pid_t, since start: Double) -> Outcome {
    var status: Int32 = 0
    var usage = rusage()
    var pause: UInt32 = 200
    var hangs = false
    while true {
      let got = wait4(process, &status, hangs ? 0 : WNOHANG, &usage)
      if got == process { break }
      if got < 0 && errno != EINTR { fatalError("wait4: \(systemError())") }
      if !hangs && now() - start > timeout {
        hangs = true
        kill(-process, SIGKILL)
      } else if !hangs {
        usleep(pause)
        pause = min(pause * 5 / 4, 20_000)
      }
    }
    let seconds = now() - start
    let signal = status & 0x7F
    let end: Outcome.End =
      hangs ? .hang(seconds) : signal != 0 ? .signal(signal) : .status(status >> 8 & 0xFF)
    func length(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return Outcome(
      end: end, seconds: seconds,
      processorSeconds: length(usage.ru_utime) + length(usage.ru_stime),
      peak: usage.ru_maxrss << 10)
  }
}

/// Seconds of a clock that only goes forward.
func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The largest resident size of this process so far, in bytes.
func ownPeak() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss << 10
}
