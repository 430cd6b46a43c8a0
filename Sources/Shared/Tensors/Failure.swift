/// The reason why a tool stops: the message after its name, and the exit code that follows from it.
package enum Failure: Error, Equatable {
  /// The command line is wrong: exit code 2.
  case usage(String)
  /// The data are wrong, or the system refused to read or write them: exit code 1.
  case data(String)
  /// The reader of our output has gone: exit code 1, without a message.
  case closedPipe

  package var message: String {
    switch self {
    case .usage(let text), .data(let text): text
    case .closedPipe: "the reader of standard output has gone"
    }
  }

  package var exitCode: Int32 {
    if case .usage = self { 2 } else { 1 }
  }
}
