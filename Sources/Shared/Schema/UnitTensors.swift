import Tensors

extension MetadataKey where Value == Int {
  /// M, the largest number of neurons of the first layer that lead to one of the second.
  package static var unitWidth: Self { Self(name: "unit_width") }
  /// 2 of arrangements whose patterns are those of the first layer of networks of three layers.
  package static var depth: Self { Self(name: "depth") }
}

extension TensorKey {
  /// The neurons of the second layer, by the samples where they are on and the sign of their output weight.
  package static let layersUnit = TensorKey("layers.unit", .i32, shapes: "[K]")
  /// Of each weight v of the first layer: the neuron of the second that it leads to, its sign, and v.
  package static let layersOwner = TensorKey("layers.owner", .i32, shapes: "[A]")
  package static let layersSign = TensorKey("layers.sign", .i32, shapes: "[A]")
  package static let layersWeight = TensorKey("layers.weight", .f64, shapes: "[A, d]")
  /// The multipliers λ that bound the prices of all neurons of the second layer, and those for some sets of patterns.
  package static let layersMultipliers = TensorKey("layers.multipliers", .f64, shapes: "[B, n]")
  package static let layersExceptions = TensorKey("layers.exceptions", .i32, shapes: "[E, M+1]")
  package static let layersExceptionMultipliers = TensorKey(
    "layers.exception_multipliers", .f64, shapes: "[E, n]")

  /// Those of a solution of three layers.
  package static let ofLayers: [TensorKey] = [
    .layersUnit, .layersOwner, .layersSign, .layersWeight, .layersMultipliers, .layersExceptions,
    .layersExceptionMultipliers,
  ]
}

/// A set of samples where a neuron of the second layer is on, and the sign of its output weight, as a number of 0 …
/// 2(2^n − 1) − 1: bit i of number / 2 + 1 is 1 if sample i is in the set, and the sign is − if the number is odd.
package struct SampleSet: Hashable, Sendable {
  package let number: Int

  package init(_ number: Int) { self.number = number }

  /// The most samples that there may be.
  package static let mostSamples = 12

  /// 2(2^n − 1).
  package static func count(samples n: Int) -> Int { 2 * ((1 << n) - 1) }

  package func contains(_ sample: Int) -> Bool { (number / 2 + 1) >> sample & 1 == 1 }
  package var sign: Double { number % 2 == 0 ? 1 : -1 }
}

/// The primal point of a ReLU program of three layers as its bundle holds it: Σ_k o_k D'_k Σ_j s_j D_j X v_j.
package struct UnitTensors: Sendable {
  /// The K neurons of the second layer.
  package let units: [SampleSet]
  /// Of each of A weights its unit, its sign, and the row of the data's patterns.
  package let owner: [Int]
  package let sign: [Double]
  package let index: [Int]
  /// v, F64 [A, d].
  package let weights: Tensor
  /// The gates that attain the patterns `index`.
  package let gates: GateTensors
  /// M.
  package let width: Int

  /// Reads those of a solution for n = `samples`. Throws `Failure.data` if they do not fit each other.
  package init(_ bundle: Bundle, samples: Int) throws {
    func numbers(_ key: TensorKey, count: Int? = nil) throws -> [Int] {
      let tensor = try bundle.require(key)
      return try bundle.require(key, shape: [count ?? tensor.count])
        .withElements(of: Int32.self) { $0.map(Int.init) }
    }
    guard samples <= SampleSet.mostSamples else {
      throw Failure.data(
        "\(bundle.name) has three layers and \(samples) samples, expected at most \(SampleSet.mostSamples)"
      )
    }
    let sets = try numbers(.layersUnit)
    let limit = SampleSet.count(samples: samples)
    if let bad = sets.first(where: { !(0..<limit).contains($0) }) {
      throw Failure.data(
        "tensor \"layers.unit\" of \(bundle.name) holds \(bad), expected 0 to \(limit - 1)")
    }
    units = sets.map { SampleSet($0) }
    weights = try bundle.require(.layersWeight)
    try weights.expectFinite("layers.weight", of: bundle.name)
    let (count, d) = (weights.shape[0], weights.shape[1])
    (owner, index) = (
      try numbers(.layersOwner, count: count), try numbers(.index, count: count)
    )
    sign = try numbers(.layersSign, count: count).map(Double.init)
    guard owner.allSatisfy({ sets.indices.contains($0) }), sign.allSatisfy({ abs($0) == 1 }),
      zip(owner, owner.dropFirst()).allSatisfy({ $0 <= $1 })
    else {
      throw Failure.data(
        "tensors \"layers.owner\" and \"layers.sign\" of \(bundle.name) should hold units, ascending, and signs 1 and -1"
      )
    }
    gates = try GateTensors(bundle, count: count, dimension: d)
    width = try bundle.read(.unitWidth)
    guard width > 0 else {
      throw Failure.data("metadata \"unit_width\" of \(bundle.name) is \(width), expected above 0")
    }
  }

  /// The places of the weights of unit k.
  package func members(of unit: Int) -> [Int] { owner.indices.filter { owner[$0] == unit } }
}
