import Tensors

/// Sums over samples that a network, and the solution that it was recovered from, were judged on. Those over parts of the
/// samples add up to those over all.
package struct TallyTensors: Sendable {
  package let name: String
  /// n.
  package var samples: Int
  /// How often each class (row) was taken for each (column), C × C row-major; nil for targets.
  package var confusion: [Int]?
  /// The network's loss.
  package var loss: Double
  package var certified: Certified?
  /// Those of the bundles of network and solution.
  package let networkDigest: String
  package let solutionDigest: String?
  /// The names of the classes.
  package let classes: [String]

  /// What the certificate of a solution of sums needs of the samples: of its dual point ν = sY − F U there.
  package struct Certified: Sendable {
    /// ½‖ŷ − y‖² of the solution's variables, and ‖ŷ‖².
    package var solutionLoss: Double
    package var outputSquares: Double
    /// The sum of the squares of the differences between outputs and ŷ.
    package var outputError: Double
    /// Fᵀν, F64 [Q, C], and the sums of the squares of each feature, F64 [Q]; νᵀy and ‖ν‖² of each output.
    package var directions: Tensor
    package var featureSquares: Tensor
    package var products: [Double]
    package var squares: [Double]
    /// ‖y‖² of each output.
    package var targetSquares: [Double]

    package init(
      solutionLoss: Double, outputSquares: Double, outputError: Double, directions: Tensor,
      featureSquares: Tensor, products: [Double], squares: [Double], targetSquares: [Double]
    ) {
      self.targetSquares = targetSquares
      self.featureSquares = featureSquares
      (self.solutionLoss, self.outputSquares, self.outputError) = (
        solutionLoss, outputSquares, outputError
      )
      (self.directions, self.products, self.squares) = (directions, products, squares)
    }
  }

  package init(
    name: String, samples: Int, confusion: [Int]?, loss: Double, certified: Certified?,
    networkDigest: String, solutionDigest: String?, classes: [String]
  ) {
    (self.name, self.samples, self.confusion, self.loss) = (name, samples, confusion, loss)
    (self.certified, self.networkDigest, self.solutionDigest) = (
      certified, networkDigest, solutionDigest
    )
    self.classes = classes
  }

  /// The tensors that are sums: all of them.
  package static let summed: [TensorKey] = [
    .samples, .confusion, .lossSum, .solutionLoss, .outputSquares, .outputError, .directions,
    .featureSquares, .products, .squares, .targetSquares,
  ]

  /// Takes over a bundle of kind `tally`. Throws `Failure.data` if its tensors do not fit each other.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.tally)
    name = bundle.name
    samples = try bundle.count(.samples)
    func word(_ key: String) throws -> String {
      try bundle.value(key, "16 hexadecimal digits") { $0.count == 16 ? $0 : nil }
    }
    networkDigest = try word("network_digest")
    classes = try bundle.classNames() ?? []
    func number(_ key: TensorKey) throws -> Double {
      let value = try bundle.require(key, shape: [1]).doubles[0]
      guard value >= 0 else {
        throw Failure.data("tensor \(quoted(key.name)) of \(bundle.name) holds \(value), below 0")
      }
      return value
    }
    loss = try number(.lossSum)
    confusion = try bundle.optional(.confusion)?.withElements(of: Int64.self) { $0.map(Int.init) }
    if let confusion {
      let sum = confusion.reduce(0) { $0 &+ $1 }
      guard confusion.count == classes.count * classes.count, confusion.allSatisfy({ $0 >= 0 }),
        sum == samples
      else {
        throw Failure.data(
          "tensor \"confusion\" of \(bundle.name) adds up to \(sum) of \(samples) samples, expected a number for each "
            + "two of \(classes.count) classes")
      }
    }
    guard let directions = try bundle.optional(.directions) else {
      (certified, solutionDigest) = (nil, nil)
      return
    }
    solutionDigest = try word("solution_digest")
    try directions.expectFinite("directions", of: bundle.name)
    let outputs = [directions.shape[1]]
    certified = Certified(
      solutionLoss: try number(.solutionLoss), outputSquares: try number(.outputSquares),
      outputError: try number(.outputError), directions: directions,
      featureSquares: try bundle.require(.featureSquares, shape: [directions.shape[0]]),
      products: try bundle.require(.products, shape: outputs).doubles,
      squares: try bundle.require(.squares, shape: outputs).doubles,
      targetSquares: try bundle.require(.targetSquares, shape: outputs).doubles)
    try certified!.expectSums(of: bundle.name)
  }

  /// The bundle.
  package func bundle(metadata: [String: String]) -> Bundle {
    var result = Bundle(kind: .tally, tensors: [:])
    result.metadata.merge(metadata) { $1 }
    result.metadata["network_digest"] = networkDigest
    if !classes.isEmpty { result.metadata["classes"] = quotedArray(classes) }
    result[.samples] = Tensor([Int64(samples)])
    if let confusion {
      result[.confusion] = Tensor(
        confusion.map(Int64.init), shape: [classes.count, classes.count])
    }
    result[.lossSum] = Tensor([loss])
    guard let certified else { return result }
    result.metadata["solution_digest"] = solutionDigest
    result[.solutionLoss] = Tensor([certified.solutionLoss])
    result[.outputSquares] = Tensor([certified.outputSquares])
    result[.outputError] = Tensor([certified.outputError])
    result[.directions] = certified.directions
    result[.featureSquares] = certified.featureSquares
    result[.products] = Tensor(certified.products)
    result[.squares] = Tensor(certified.squares)
    result[.targetSquares] = Tensor(certified.targetSquares)
    return result
  }
}

extension TallyTensors.Certified {
  /// Throws `Failure.data` unless the numbers can be sums over samples: of each two columns the product is at most that of
  /// their lengths, and ŷ is no longer than y and ŷ − y together.
  fileprivate func expectSums(of name: String) throws {
    func expect(_ holds: Bool, _ key: TensorKey) throws {
      guard holds else {
        throw Failure.data(
          "tensor \(quoted(key.name)) of \(name) holds no sums over samples: its other sums do not allow it"
        )
      }
    }
    try expect(featureSquares.doubles.allSatisfy { $0 >= 0 }, .featureSquares)
    for c in products.indices {
      try expect(squares[c] >= 0, .squares)
      try expect(targetSquares[c] >= 0, .targetSquares)
      try expect(
        abs(products[c]) <= (1 + 1e-9) * (squares[c] * targetSquares[c]).squareRoot(), .products)
    }
    let room = (2 * solutionLoss).squareRoot() + targetSquares.reduce(0, +).squareRoot()
    try expect(outputSquares.squareRoot() <= (1 + 1e-9) * room, .outputSquares)
  }
}

extension Bundle {
  /// A number that tells this bundle from others, but for intent: 64 bits of FNV-1a over metadata and the names, shapes
  /// and elements of tensors, as 16 hexadecimal digits.
  package var digest: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ bytes: UnsafeRawBufferPointer) {
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
    for key in metadata.keys.sorted(by: precedes) {
      Array("\(key) \(metadata[key]!.utf8.count) \(metadata[key]!)\n".utf8).withUnsafeBytes {
        add($0)
      }
    }
    for name in tensors.keys.sorted(by: precedes) {
      let tensor = tensors[name]!
      Array("\(name) \(tensor.summary)\n".utf8).withUnsafeBytes { add($0) }
      tensor.bytes.withBytes { add($0) }
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
