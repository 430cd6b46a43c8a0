/// What a bundle is for: the value of `kind` in its metadata.
package enum Kind: String, CaseIterable, Sendable {
  case images, dataset, moments, arrangements, solution, network
}

/// Named tensors and string metadata: what flows between the tools.
package struct Bundle: Sendable {
  package var tensors: [String: Tensor]
  package var metadata: [String: String]
  /// What messages call it: the file it came from.
  package var name: String

  package init(
    tensors: [String: Tensor] = [:], metadata: [String: String] = [:], name: String = "bundle"
  ) {
    self.tensors = tensors
    self.metadata = metadata
    self.name = name
  }

  package init(kind: Kind, tensors: [String: Tensor], metadata: [String: String] = [:]) {
    self.init(tensors: tensors, metadata: metadata)
    self.metadata["kind"] = kind.rawValue
  }

  package var kind: Kind? { metadata["kind"].flatMap(Kind.init) }

  /// Reads a whole bundle and makes sure that nothing follows it.
  package init(reading input: Input) throws {
    let reader = try BundleReader(input)
    var tensors: [String: Tensor] = [:]
    while let entry = reader.next { tensors[entry.name] = try reader.readTensor() }
    try reader.finish()
    self.init(tensors: tensors, metadata: reader.metadata, name: input.name)
  }

  /// Writes the bundle in its one canonical form; the caller finishes the output.
  package func write(to output: Output) throws {
    let names = tensors.keys.sorted(by: precedes)
    let writer = try BundleWriter(
      output, tensors: names.map { ($0, tensors[$0]!.type, tensors[$0]!.shape) },
      metadata: metadata)
    for name in names {
      try tensors[name]!.bytes.withBytes { try writer.write($0) }
    }
    try writer.finish()
  }

  // MARK: What a tool expects to find

  /// Fails unless the bundle is of one of `kinds`.
  package func expect(_ kinds: Kind...) throws {
    try expectKind(metadata["kind"], among: kinds, in: name)
  }

  /// The tensor `name`, of one of `types` and with as many dimensions as one of `shapes` names, such
  /// as "[n, d]"; the message shows them.
  package func require(
    _ name: String, _ types: [ElementType], _ shapes: [String]
  ) throws -> Tensor {
    guard let tensor = tensors[name] else {
      throw Failure.data("\(self.name) has no tensor \(quoted(name))")
    }
    try tensor.expect(name, types, shapes)
    return tensor
  }

  /// `require`, where the tensor is there at all.
  package func optional(
    _ name: String, _ types: [ElementType], _ shapes: [String]
  ) throws -> Tensor? {
    tensors[name] == nil ? nil : try require(name, types, shapes)
  }

  /// The metadata value `key`, as `parse` understands it.
  package func value<T>(_ key: String, _ expected: String, parse: (String) -> T?) throws -> T {
    guard let text = metadata[key] else {
      throw Failure.data("the metadata of \(name) has no \(quoted(key))")
    }
    guard let value = parse(text) else {
      throw Failure.data("metadata \(quoted(key)) is \(quoted(text)), expected \(expected)")
    }
    return value
  }

  /// A finite number of the metadata.
  package func number(_ key: String) throws -> Double {
    try value(key, "a number") { Double(decimal: $0).flatMap { $0.isFinite ? $0 : nil } }
  }
}

func expectKind(_ kind: String?, among kinds: [Kind], in name: String) throws {
  guard let kind else {
    throw Failure.data("the metadata of \(name) has no \"kind\": not a bundle of these tools")
  }
  guard kinds.contains(where: { $0.rawValue == kind }) else {
    let wanted = kinds.map(\.rawValue).joined(separator: " or ")
    throw Failure.data("\(name) is a bundle of kind \(quoted(kind)), expected \(wanted)")
  }
}

extension Tensor {
  /// Fails unless the tensor, which messages call `name`, is of one of `types` and has as many
  /// dimensions as one of `shapes`, such as "[n, d]".
  package func expect(_ name: String, _ types: [ElementType], _ shapes: [String]) throws {
    try BundleEntry(name: name, type: type, shape: shape, range: 0..<bytes.count)
      .expect(types, shapes)
  }

  /// Fails where an element is not a finite number; `name` is the tensor's.
  package func expectFinite(_ name: String) throws {
    if isFinite { return }
    let bad = nonFiniteCount
    if bad > 0 {
      throw Failure.data(
        "tensor \(quoted(name)) holds \(bad) value\(bad == 1 ? "" : "s") that "
          + "\(bad == 1 ? "is" : "are") not finite (NaN or infinity)")
    }
  }

  /// The type and shape, as messages show them: `F32 [2, 3]`.
  package var summary: String { describe(type, shape) }
}

func describe(_ type: ElementType, _ shape: [Int]) -> String {
  // A hostile header can have millions of dimensions, which no message should list.
  let shown = shape.prefix(32).map(String.init) + (shape.count > 32 ? ["…"] : [])
  return "\(type.rawValue) [\(shown.joined(separator: ", "))]"
}

/// Bytes of a tensor; `nil` where that number, or a product of some of its dimensions, overflows.
/// A dimension of 0 does not excuse the others: the size of a row must be a number too.
func byteCount(_ type: ElementType, _ shape: [Int]) -> Int? {
  var size = type.size
  for dimension in shape {
    let (product, overflow) = size.multipliedReportingOverflow(by: max(dimension, 1))
    if overflow { return nil }
    size = product
  }
  return shape.contains(0) ? 0 : size
}

/// The order of names in a bundle: that of their code points, as Python's `sorted` has it. (Swift's
/// own `<` compares the normalised forms.)
package func precedes(_ a: String, _ b: String) -> Bool {
  a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
}

extension Bundle {
  /// Metadata that are text, whatever it spells.
  private static let texts: Set = ["classes", "features", "command", "producer", "kind"]

  /// Fails if a number that stands in a tensor or is a value of the metadata is not finite; no tool writes such a
  /// bundle. `advice` ends the message.
  package func expectFiniteNumbers(_ advice: String? = nil) throws {
    let end = advice.map { "; \($0)" } ?? ""
    for (name, tensor) in tensors.sorted(by: { precedes($0.key, $1.key) }) {
      do { try tensor.expectFinite(name) } catch Failure.data(let message) {
        throw Failure.data("the result cannot be written: \(message)\(end)")
      }
    }
    for (key, text) in metadata.sorted(by: { precedes($0.key, $1.key) })
    where !Bundle.texts.contains(key) && isNonFiniteNumber(text) {
      throw Failure.data(
        "the result cannot be written: metadata \(quoted(key)) is \(quoted(text)), no finite number\(end)"
      )
    }
  }
}
