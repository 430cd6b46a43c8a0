/// What a certificate is about: which networks cannot be better than the bound. The words are those of metadata
/// `certificate` and of evaluate's report.
package enum Scope: String, Sendable, CaseIterable {
  /// No network of the architecture at all: polynomial, linear and circular networks, and ReLU networks over a
  /// list of patterns that is complete.
  case global
  /// No network whose neurons have patterns of the list.
  case patterns
  /// No network with these gates.
  case gates

  /// Whether a proof of this kind bears out a solution that claims `other`.
  func covers(_ other: Scope) -> Bool {
    self == other || (self == .global && other == .patterns)
  }
}
