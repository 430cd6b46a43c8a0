/// Ends work between iterations, and between the parts of one.
final class Interruption {
  var secondsLeft: () -> Double = { .infinity }
  /// Seconds that must be left for the work that follows.
  var reserve = 0.0
  var isOutOfTime: Bool { secondsLeft() <= reserve }

  /// Calls `body` while `seconds` more are reserved.
  func reserving<R>(_ seconds: Double, _ body: () -> R) -> R {
    reserve += seconds
    defer { reserve -= seconds }
    return body()
  }
}
