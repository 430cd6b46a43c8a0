/// A tensor whose rows arrive one by one, and whose length is not known before. Memory grows with them, and pages are
/// moved rather than copied when it does.
package struct GrowingTensor {
  private let type: ElementType
  private let bytes = Bytes(uninitialized: 1 << 12)
  private var size = 0
  /// Its name in the message if there is no memory for more.
  private let name: String

  package init(_ type: ElementType, name: String) {
    (self.type, self.name) = (type, name)
  }

  /// Appends elements of the tensor's type. Throws `Failure.data` if there is no memory for them.
  package mutating func append<T: Element>(_ elements: UnsafeBufferPointer<T>) throws {
    precondition(T.elementType == type, "elements of another type")
    try append(UnsafeRawBufferPointer(elements))
  }

  package mutating func append<T: Element>(_ element: T) throws {
    try withUnsafePointer(to: element) { try append(UnsafeBufferPointer(start: $0, count: 1)) }
  }

  private mutating func append(_ more: UnsafeRawBufferPointer) throws {
    guard let source = more.baseAddress else { return }
    while size + more.count > bytes.count {
      guard bytes.grow(to: 2 * bytes.count) else {
        throw Failure.data("no memory for more than \(size) bytes of \(name)")
      }
    }
    (bytes.base + size).copyMemory(from: source, byteCount: more.count)
    size += more.count
  }

  /// The tensor of all elements, which takes over the memory: nothing may be appended afterwards.
  package func tensor(shape: [Int]) -> Tensor {
    bytes.resize(to: size)
    return Tensor(type: type, shape: shape, bytes: bytes)
  }
}
