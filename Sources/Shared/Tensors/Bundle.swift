/// Named tensors and string metadata: the data that flow between the tools.
package struct Bundle: Sendable {
  package var tensors: [String: Tensor]
  package var metadata: [String: String]
  /// The name in messages: that of the file it came from.
  package var name: String

  package init(
    tensors: [String: Tensor] = [:], metadata: [String: String] = [:], name: String = "bundle"
  ) {
    self.tensors = tensors
    self.metadata = metadata
    self.name = name
  }

  /// Reads a whole bundle and checks that nothing follows it.
  package init(reading input: Input) throws {
    let reader = try BundleReader(input)
    try self.init(reader)
    try reader.finish()
  }

  /// Reads the next of several bundles that follow one another; nil at the end of the input.
  package init?(nextOf input: Input) throws {
    if try input.isAtEnd() { return nil }
    try self.init(BundleReader(input))
  }

  /// Reads all tensors of the bundle of a reader.
  package init(_ reader: BundleReader) throws {
    var tensors: [String: Tensor] = [:]
    while let entry = reader.next { tensors[entry.name] = try reader.readTensor() }
    self.init(tensors: tensors, metadata: reader.metadata, name: reader.input.name)
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

  // MARK: Expectations

  /// The tensor `name`, of one of `types` and with as many dimensions as one of `shapes` names, such
  /// as "[n, d]"; the message shows them.
  package func require(
    _ name: String, _ types: [ElementType], _ shapes: [String]
  ) throws -> Tensor {
    guard let tensor = tensors[name] else {
      throw Failure.data("\(self.name) has no tensor \(quoted(name))")
    }
    try tensor.expect(name, types, shapes, of: self.name)
    return tensor
  }

  /// As `require`, but nil if the tensor is missing.
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
      throw Failure.data(
        "metadata \(quoted(key)) of \(name) is \(quoted(text)), expected \(expected)")
    }
    return value
  }
}

extension Tensor {
  /// Throws unless the tensor, which messages call `name`, is of one of `types` and has as many dimensions as one of
  /// `shapes`, such as "[n, d]". `bundle` is the name of the one that it is in, if there is one.
  package func expect(
    _ name: String, _ types: [ElementType], _ shapes: [String], of bundle: String? = nil
  ) throws {
    try BundleEntry(name: name, type: type, shape: shape, range: 0..<bytes.count)
      .expect(types, shapes, of: bundle)
  }

  /// Throws if an element is not a finite number; `name` is the tensor's, `bundle` that of the one that it is in.
  package func expectFinite(_ name: String, of bundle: String? = nil) throws {
    if isFinite { return }
    let bad = nonFiniteCount
    if bad > 0 {
      throw Failure.data(
        "tensor \(quoted(name))\(bundle.map { " of \($0)" } ?? "") holds \(bad) value\(bad == 1 ? "" : "s") that "
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

/// The number of bytes of a tensor; `nil` if it, or a product of some of the dimensions, overflows. A dimension of 0
/// does not excuse the others: the size of a row must be a number too.
func byteCount(_ type: ElementType, _ shape: [Int]) -> Int? {
  var size = type.size
  for dimension in shape {
    let (product, overflow) = size.multipliedReportingOverflow(by: max(dimension, 1))
    if overflow { return nil }
    size = product
  }
  return shape.contains(0) ? 0 : size
}

/// The order of names in a bundle: that of their code points, as in Python's `sorted`. (Swift's own `<` compares the
/// normalised forms.)
package func precedes(_ a: String, _ b: String) -> Bool {
  a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
}
