/// Who is told what happens while images are read.
package struct Listener {
  /// Something the user should know, though the work goes on.
  package var warn: (String) -> Void
  /// How far the work has come.
  package var progress: (@autoclosure () -> String) -> Void

  package init(
    warn: @escaping (String) -> Void = { _ in },
    progress: @escaping (@autoclosure () -> String) -> Void = { _ in }
  ) {
    self.warn = warn
    self.progress = progress
  }
}
