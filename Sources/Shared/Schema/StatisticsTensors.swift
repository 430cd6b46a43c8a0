import Tensors

/// The features whose products a bundle of kind `statistics` holds.
package enum FeatureDesign: Sendable {
  /// svec(TᵀΦT) of the moments of each region, T (F64 [d+1, d+1]) being `whitening`.
  case polynomial(PolynomialActivation, whitening: Tensor)
  /// (1/P_r) Σ over the patches of a region of those that a gate lets through: gate by gate, region by region.
  case gated(GateTensors)
  /// The mean of the patches of each region.
  case linear

  /// The word of metadata `design`.
  package var name: DesignName {
    switch self {
    case .polynomial: .polynomial
    case .gated: .gated
    case .linear: .linear
    }
  }

  /// The activation of the networks that are linear in these features.
  package var activation: Activation {
    switch self {
    case .polynomial(let activation, _): .polynomial(activation)
    case .gated: .gatedReLU
    case .linear: .linear
    }
  }
}

/// The values of metadata `design`.
package enum DesignName: String, CaseIterable, MetadataValue {
  case polynomial, gated, linear
}

extension MetadataKey where Value == DesignName {
  package static var design: Self { Self(name: "design") }
}
extension MetadataKey where Value == Int {
  /// n, of a solution of sums, which has no row a sample.
  package static var sampleCount: Self { Self(name: "samples") }
}

/// Sums over n samples with features F (n × Q) and targets Y (n × C): all that programs of squared loss need of them.
/// Sums over parts of the samples add up to those over all.
package struct StatisticsTensors: Sendable {
  package let name: String
  /// n, and into how many blocks of at most `blockRows` samples they were divided.
  package let samples: Int
  package let blocks: Int
  /// The number of samples of each class; nil if the samples have targets.
  package let counts: [Int]?
  /// The upper triangle of FᵀF, row-major, F64 or F32 [Q(Q+1)/2]; with `centre` that of (F − 1cᵀ)ᵀ(F − 1cᵀ).
  package let gram: Tensor
  /// c, F64 [Q]; there if, and only if, `gram` is in single precision.
  package let centre: Tensor?
  /// FᵀY, F64 [Q, C]; the diagonal of YᵀY; Fᵀ1, less n c, F64 [Q]; Yᵀ1.
  package let correlations: Tensor
  package let squares: [Double]
  package let sums: Tensor
  package let targetSums: [Double]
  package let design: FeatureDesign
  /// R and d.
  package let regions: Int
  package let dimension: Int
  /// The bundle without its sums: what all parts have in common.
  package let common: Bundle

  /// Q and C.
  package var order: Int { sums.count }
  package var outputs: Int { squares.count }

  /// Signs p, of which FᵀF p tells these sums from others, up to rounding: `dual.check` of a solution.
  package static func probe(_ order: Int) -> [Double] {
    (0..<order).map { (UInt32(truncatingIfNeeded: $0) &* 2_654_435_761) >> 16 & 1 == 0 ? 1 : -1 }
  }

  /// The most samples of a block. The bound of what rounding does to a sum grows with the length of a block plus the
  /// number of blocks.
  package static let blockRows = 512

  /// The tensors that are sums; all others must be equal in bundles that are added.
  package static let summed: [TensorKey] = [
    .gram, .correlations, .squares, .sums, .targetSums, .samples, .blocks, .counts,
  ]

  /// Takes over a bundle of kind `statistics`. Throws `Failure.data` if its tensors do not fit each other, or are no sums
  /// of samples.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.statistics)
    name = bundle.name
    samples = try bundle.count(.samples)
    blocks = try bundle.count(.blocks)
    let (room, isVast) = blocks.multipliedReportingOverflow(by: StatisticsTensors.blockRows)
    guard isVast || samples <= room else {
      throw Failure.data(
        "tensor \"blocks\" of \(bundle.name) is \(blocks), too few for \(samples) samples in blocks of at most "
          + "\(StatisticsTensors.blockRows)")
    }
    sums = try bundle.require(.sums)
    let (q, squares) = (sums.count, try bundle.require(.squares))
    let outputs = squares.count
    guard q > 0, outputs > 0 else {
      throw Failure.data(
        "tensor \"sums\" of \(bundle.name) is \(sums.summary) and \"squares\" is \(squares.summary): there are no "
          + (q == 0 ? "features" : "outputs"))
    }
    let (length, overflow) = q.multipliedReportingOverflow(by: q + 1)
    gram = try bundle.require(.gram, shape: [overflow ? 0 : length / 2])
    correlations = try bundle.require(.correlations, shape: [q, outputs])
    self.squares = try bundle.require(.squares, shape: [outputs]).doubles
    try sums.expectFinite("sums", of: bundle.name)
    targetSums = try bundle.require(.targetSums, shape: [outputs]).doubles
    centre = try bundle.optional(.centre) == nil ? nil : bundle.require(.centre, shape: [q])
    (design, regions, dimension) = try StatisticsTensors.design(of: bundle, order: q)
    counts = try bundle.classCounts(samples: samples, outputs: outputs)
    common = bundle.withoutSums
    try expectSums()
  }

  /// Throws unless the numbers can be sums of squares, and the precision is one of the design's.
  private func expectSums() throws {
    func fail(_ what: String) -> Failure { .data("\(name) holds no sums over samples: \(what)") }
    guard (gram.type == .f32) == (centre != nil) else {
      throw fail(
        "tensor \"gram\" is \(gram.summary), \(centre == nil ? "without" : "with") \"centre\"")
    }
    if case .polynomial = design, gram.type == .f32 {
      throw Failure.data(
        "tensor \"gram\" of \(name) is \(gram.summary), expected F64: single precision proves nothing for polynomials"
      )
    }
    let least = (samples + StatisticsTensors.blockRows - 1) / StatisticsTensors.blockRows
    guard blocks >= least, blocks <= samples else {
      throw fail(
        "tensor \"blocks\" holds \(blocks), expected \(least) to \(samples) for \(samples) samples")
    }
    guard squares.allSatisfy({ $0 >= 0 }) else {
      throw fail("tensor \"squares\" has a number below 0")
    }
    try expectTargets()
    // Of each two columns, features, targets or ones, the product is at most that of their lengths.
    let room = 1 + (centre == nil ? 1e-9 : 1e-3)
    let (means, shift, products) = (sums.doubles, centre?.doubles, correlations.doubles)
    var place = 0
    for i in 0..<order {
      var value = 0.0
      gram.copyDoubles(place..<place + 1, into: &value)
      guard value >= 0 else { throw fail("entry (\(i), \(i)) of tensor \"gram\" is \(value)") }
      place += order - i
      let (c, n) = (shift?[i] ?? 0, Double(samples))
      let length = max(0, value + c * (2 * means[i] + n * c)).squareRoot() * room
      guard abs(means[i] + n * c) <= length * n.squareRoot() else {
        throw fail("entry \(i) of tensor \"sums\" is larger than \"gram\" allows")
      }
      for k in 0..<outputs
      where !(abs(products[i * outputs + k]) <= length * squares[k].squareRoot()) {
        throw fail(
          "entry (\(i), \(k)) of tensor \"correlations\" is larger than \"gram\" and \"squares\" allow"
        )
      }
    }
  }

  /// Throws unless the sums of targets and of their squares can be, for classes unless they follow from `counts`.
  private func expectTargets() throws {
    let n = Double(samples)
    for c in 0..<outputs where !(abs(targetSums[c]) <= (1 + 1e-9) * (n * squares[c]).squareRoot()) {
      throw Failure.data(
        "\(name) holds no sums over samples: entry \(c) of tensor \"target_sums\" is larger than \"squares\" allows"
      )
    }
    guard let counts else { return }
    let values = try common.targetValues(outputs: outputs, loss: .squared)
    for c in 0..<outputs {
      let (sum, square) = values.sums(counts, output: c, of: outputs)
      guard abs(sum - targetSums[c]) <= 1e-9 * (n * square).squareRoot(),
        abs(square - squares[c]) <= 1e-9 * square
      else {
        throw Failure.data(
          "\(name) holds no sums over samples: tensors \"target_sums\" and \"squares\" are not those of \"counts\""
        )
      }
    }
  }

  /// The design that metadata and tensors tell, with R and d.
  private static func design(
    of bundle: Bundle, order q: Int
  ) throws -> (FeatureDesign, regions: Int, dimension: Int) {
    let activation = try bundle.read(.activation)
    let regions = try bundle.read(.regions)
    let name = try bundle.read(.design)
    func expect(_ width: Int?) throws {
      guard regions > 0, let width, width.multipliedReportingOverflow(by: regions) == (q, false)
      else {
        throw Failure.data(
          "metadata \"regions\" of \(bundle.name) is \(regions), and its features do not make the \(q) of tensor \"sums\""
        )
      }
    }
    switch (name, activation) {
    case (.polynomial, .polynomial(let polynomial)):
      let whitening = try bundle.require(.whitening)
      let m = whitening.shape[0]
      guard whitening.shape == [m, m], m > 1 else {
        throw Failure.data(
          "tensor \"whitening\" of \(bundle.name) is \(whitening.summary), expected F64 [d+1, d+1]")
      }
      try whitening.expectWhitening("whitening", of: bundle.name)
      try expect(m * (m + 1) / 2)
      return (.polynomial(polynomial, whitening: whitening), regions, m - 1)
    case (.gated, .gatedReLU):
      let d = try bundle.require(.gates).shape[1]
      let gates = try GateTensors(bundle, dimension: d)
      try expect(gates.count * d)
      return (.gated(gates), regions, d)
    case (.linear, .linear):
      try expect(regions > 0 ? q / regions : 0)
      return (.linear, regions, q / regions)
    default:
      throw Failure.data(
        "metadata \"activation\" of \(bundle.name) is \(quoted(activation.text)), which is not that of the design "
          + name.text)
    }
  }
}

extension Tensor {
  /// The size of the entries of T and of T⁻¹, beyond which products with both underflow or overflow.
  package static let whiteningRange = 0x1p-250...0x1p250

  /// Throws `Failure.data` unless this T is finite and its largest entry is of a size that products bear.
  package func expectWhitening(_ key: String, of name: String) throws {
    try expectFinite(key, of: name)
    let largest = doubles.reduce(0) { max($0, abs($1)) }
    guard Tensor.whiteningRange.contains(largest) else {
      throw Failure.data(
        "the largest entry of tensor \(quoted(key)) of \(name) is \(largest): features so whitened underflow or overflow"
      )
    }
  }
}

extension Bundle {
  /// The single number, above 0, of a tensor I64 [1].
  package func count(_ key: TensorKey) throws -> Int {
    let value = try require(key, shape: [1]).withElements(of: Int64.self) { $0[0] }
    guard value > 0, value < 1 << 53 else {
      throw Failure.data("tensor \(quoted(key.name)) of \(name) holds \(value), expected above 0")
    }
    return Int(value)
  }

  /// The tensor `counts`, which adds up to `samples`; nil if it is missing.
  fileprivate func classCounts(samples: Int, outputs: Int) throws -> [Int]? {
    guard let tensor = try optional(.counts) else { return nil }
    let values = tensor.withElements(of: Int64.self) { Array($0) }
    let classes = try classNames()?.count ?? values.count
    guard values.count == classes, outputs == classes || (outputs == 1 && classes == 2) else {
      throw Failure.data(
        "tensor \"counts\" of \(name) is \(tensor.summary), but there are \(classes) classes and \(outputs) outputs"
      )
    }
    let sum = values.reduce(0) { $0 &+ $1 }
    guard values.allSatisfy({ $0 >= 0 }), sum == Int64(samples) else {
      throw Failure.data(
        "tensor \"counts\" of \(name) adds up to \(sum), but tensor \"samples\" says \(samples)")
    }
    return values.map(Int.init)
  }

  /// The bundle but for the tensors that are sums.
  package var withoutSums: Bundle {
    var result = self
    for key in StatisticsTensors.summed { result[key] = nil }
    return result
  }
}

extension Bundle {
  /// What the samples of this bundle are held as: moments, patches, or images to be cut.
  package var sampleProduct: String? {
    switch kind {
    case .moments: "moments"
    case .dataset, .arrangements: self[.x] == nil ? "deferred" : "dataset"
    default: nil
    }
  }

  /// The type of the features, as patchify would write them again.
  package var sampleType: String? {
    (self[.moments] ?? self[.x])?.type.rawValue ?? metadata["dtype"]
  }

  /// Throws `Failure.data` unless `samples` were made in the same way as those of these sums.
  package func expectSamples(_ samples: Bundle) throws {
    func fail(_ what: String) -> Failure {
      .data(
        "\(what) of \(samples.name) is not that of \(name): make it with patchify --like, or tensor --like"
      )
    }
    let keys = FittedStatistics.keys + [.pool]
    for key in keys
    where samples[key]?.shape != self[key]?.shape || samples[key]?.doubles != self[key]?.doubles {
      throw fail("tensor \(quoted(key.name))")
    }
    for key in Preparation.choices + ["channels", "height", "width"]
    where samples.metadata[key] != metadata[key] {
      throw fail("metadata \(quoted(key))")
    }
  }
}

/// The recipes of bundles that were added up as one: the first, then those lines of the others that are not there yet but
/// for the samples that they choose. Nil if there are none.
package func mergedRecipe(_ recipes: [String]) -> String? {
  var lines: [Substring] = []
  var seen = Set<String>()
  for recipe in recipes {
    let own = recipe.split(separator: "\n")
    let isFirst = lines.isEmpty
    // A line may stand twice within one recipe.
    lines += own.filter { isFirst || !seen.contains(withoutSamples($0)) }
    seen.formUnion(own.map(withoutSamples))
  }
  return lines.isEmpty ? nil : lines.joined(separator: "\n")
}

/// A line of a recipe without the options that choose samples.
private func withoutSamples(_ line: Substring) -> String {
  var words = line.split(separator: " ", omittingEmptySubsequences: false)
  for option in ["--range", "--rows", "--seed"] {
    while let place = words.firstIndex(where: { $0 == option }) {
      words.removeSubrange(place..<min(words.count, place + 2))
    }
  }
  return words.joined(separator: " ")
}
