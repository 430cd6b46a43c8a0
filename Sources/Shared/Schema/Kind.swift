import Tensors

/// The purpose of a bundle: the value of `kind` in its metadata.
package enum Kind: String, CaseIterable, Sendable {
  case images, dataset, moments, arrangements, solution, network
  /// Sums over samples: what a program of squared loss needs of them, and what a report does.
  case statistics, tally
}

extension Bundle {
  package init(kind: Kind, tensors: [String: Tensor], metadata: [String: String] = [:]) {
    self.init(tensors: tensors, metadata: metadata)
    self.metadata["kind"] = kind.rawValue
  }

  package var kind: Kind? { metadata["kind"].flatMap(Kind.init) }

  /// Throws `Failure.data` unless the bundle is of one of `kinds`, or if metadata that may be missing are unreadable.
  package func expect(_ kinds: Kind...) throws {
    try expectKind(metadata["kind"], among: kinds, in: name)
    try expectReadableNotes()
  }
}

extension BundleReader {
  package var kind: Kind? { metadata["kind"].flatMap(Kind.init) }

  /// Throws `Failure.data` unless the bundle is of one of `kinds`, or if metadata that may be missing are unreadable.
  package func expect(_ kinds: Kind...) throws {
    try expectKind(metadata["kind"], among: kinds, in: input.name)
    try Bundle(metadata: metadata, name: input.name).expectReadableNotes()
  }
}

private func expectKind(_ kind: String?, among kinds: [Kind], in name: String) throws {
  guard let kind else {
    throw Failure.data("the metadata of \(name) has no \"kind\": not a bundle of these tools")
  }
  guard kinds.contains(where: { $0.rawValue == kind }) else {
    let wanted = kinds.map(\.rawValue).joined(separator: " or ")
    throw Failure.data(
      "\(name) is a bundle of kind \(quoted(kind)), expected \(wanted)" + advice(kind, for: kinds))
  }
}

/// What to do with a bundle of `kind` where one of `kinds` is expected; empty if nobody can tell.
private func advice(_ kind: String, for kinds: [Kind]) -> String {
  switch Kind(rawValue: kind) {
  case .images where kinds.contains(.dataset): "; patchify makes a dataset of it"
  case .solution where kinds.contains(.network): "; recover makes a network of it"
  case .network where kinds.contains(.solution): "; a solution is what solve writes"
  case .dataset where kinds == [.network], .arrangements where kinds == [.network]:
    "; the network comes first: evaluate NETWORK DATA"
  default: ""
  }
}
