/// Receives messages while images are read.
package struct Listener {
  /// A warning to the user, after which the work goes on.
  package var warn: (String) -> Void
  /// The progress of the work.
  package var progress: (@autoclosure () -> String) -> Void
  /// A file of the source. What it throws ends the reading.
  package var found: (String) throws -> Void = { _ in }

  package init(
    warn: @escaping (String) -> Void = { _ in },
    progress: @escaping (@autoclosure () -> String) -> Void = { _ in }
  ) {
    self.warn = warn
    self.progress = progress
  }
}
