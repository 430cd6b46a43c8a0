import Tensors

/// A bundle that a certificate rests on.
enum Witness: String, CaseIterable {
  case solution, network, data
}

/// A change of one tensor or one metadata value that makes a claim false.
struct Falsification {
  let name: String
  let witness: Witness
  /// One of these stands in the message that refuses it.
  let expected: [String]
  /// Returns `false` if the bundle has nothing to change so.
  let apply: (inout Tensors.Bundle) -> Bool

  static func tensor(
    _ witness: Witness, _ tensor: String, _ change: String, expect expected: String...,
    by edit: @escaping (inout [Double]) -> Bool
  ) -> Falsification {
    Falsification(
      name: "\(tensor) of the \(witness.rawValue) \(change)", witness: witness, expected: expected
    ) { bundle in
      guard let old = bundle.tensors[tensor] else { return false }
      var values = old.doubles
      guard edit(&values) else { return false }
      let changed = old.replacing(values)
      // Whole numbers may not have changed.
      guard zip(changed.doubles, old.doubles).contains(where: { !($0 == $1) }) else { return false }
      bundle.tensors[tensor] = changed
      return true
    }
  }

  static func metadata(
    _ witness: Witness, _ key: String, _ value: String, expect expected: String...,
    if applies: @escaping (Tensors.Bundle) -> Bool = { _ in true }
  ) -> Falsification {
    Falsification(
      name: "\(key) of the \(witness.rawValue) is \(value)", witness: witness, expected: expected
    ) { bundle in
      guard applies(bundle), bundle.metadata[key] != value else { return false }
      bundle.metadata[key] = value
      return true
    }
  }

  /// Takes a tensor of the patches' step away.
  private static func without(_ witness: Witness, _ tensor: String) -> Falsification {
    Falsification(
      name: "\(tensor) of the \(witness.rawValue) is missing", witness: witness,
      expected: ["\"\(tensor)\""]
    ) { $0.tensors.removeValue(forKey: tensor) != nil }
  }

  /// Adds a tensor of another program's weights.
  private static func foreign(_ witness: Witness, _ tensor: String, _ expected: String)
    -> Falsification
  {
    Falsification(
      name: "the \(witness.rawValue) has a \(tensor)", witness: witness, expected: [expected]
    ) { bundle in
      guard bundle.tensors[tensor] == nil else { return false }
      bundle.tensors[tensor] = Tensor([1.0], shape: [1, 1])
      return true
    }
  }

  /// Adds metadata that are not for the program.
  private static func foreign(_ witness: Witness, _ key: String, is value: String)
    -> Falsification
  {
    metadata(
      witness, key, value, expect: "\"\(key)\"", "norm.factor", "batch_samples", "hidden.bias",
      "does not use", "regions or groups",
      if: { $0.metadata[key] == nil })
  }

  /// Multiplies the number that metadata `key` hold.
  static func metadata(
    _ witness: Witness, _ key: String, times factor: Double, expect expected: String...
  ) -> Falsification {
    Falsification(
      name: "\(key) of the \(witness.rawValue) times \(factor)", witness: witness,
      expected: expected
    ) { bundle in
      guard let value = bundle.metadata[key].flatMap({ Double($0) }), value != 0 else {
        return false
      }
      bundle.metadata[key] = "\(value * factor)"
      return true
    }
  }

  static var all: [Falsification] { points + claims + networks + samples }

  /// The tensors of primal points, and those that tell what they are of.
  private static let variables = [
    "v", "w", "z", "neurons.hidden", "neurons.output", "hidden.left", "hidden.right",
    "output.weight", "spline.knot", "spline.side", "spline.weight", "spline.intercept",
    "norm.center", "norm.factor", "norm.mean", "norm.deviation",
  ]

  /// Of the primal and the dual point.
  private static var points: [Falsification] {
    var result: [Falsification] = []
    for name in variables + ["predictions", "dual"] {
      let words =
        name == "dual"
        ? ["dual_", "relative_gap"]
        : ["primal_", "the predictions", "recovery_error", "symmetric", "\"\(name)\""]
      func add(_ change: String, _ edit: @escaping (inout [Double]) -> Bool) {
        let base = tensor(.solution, name, change, expect: "", by: edit)
        result.append(
          Falsification(
            name: base.name, witness: .solution,
            expected: words + ["not finite", "overflow", "larger than", "is above"],
            apply: base.apply))
      }
      add("with one entry changed") { values in
        guard let k = values.largest else { return false }
        values[k] *= 1.001
        return true
      }
      add("scaled") { values in
        guard values.contains(where: { $0 != 0 }) else { return false }
        for k in values.indices { values[k] *= 1.01 }
        return true
      }
      // The factor's sign says nothing.
      if name != "norm.factor" {
        add("negated") { values in
          guard values.contains(where: { $0 != 0 }) else { return false }
          for k in values.indices { values[k] = -values[k] }
          return true
        }
      }
      add("set to 0") { values in
        guard values.contains(where: { $0 != 0 }) else { return false }
        for k in values.indices { values[k] = 0 }
        return true
      }
      add("with a huge entry") { values in
        guard !values.isEmpty else { return false }
        values[0] = 1e15
        return true
      }
      add("with NaN") { values in
        guard !values.isEmpty else { return false }
        values[values.count / 2] = .nan
        return true
      }
    }
    result += [
      tensor(.solution, "gates", "negated", expect: "does not attain", "hidden.gate", by: .negate),
      tensor(.solution, "gates", "set to 0", expect: "does not attain", "hidden.gate", by: .clear),
      tensor(.solution, "thresholds", "raised", expect: "does not attain", "hidden.gate") {
        values in
        guard !values.isEmpty else { return false }
        for k in values.indices { values[k] += 1 }
        return true
      },
      tensor(
        .solution, "gates.hidden", "negated", expect: "does not attain", "hidden.gate", by: .negate),
      tensor(
        .solution, "gates.output", "negated", expect: "does not attain", "hidden.gate", by: .negate),
      tensor(.solution, "gates.unit", "moved", expect: "units", by: .raise),
      tensor(
        .solution, "index", "moved", expect: "the predictions", "\"index\"", "does not attain",
        by: .raise),
      tensor(
        .solution, "spline.output", "moved", expect: "the predictions", "\"spline.output\"",
        by: .raise),
      foreign(.solution, "v", "does not use"), foreign(.solution, "z", "does not use"),
      foreign(.solution, "spline.knot", "does not use"),
      foreign(.solution, "norm.factor", "does not use"),
      foreign(.network, "hidden.left", "does not use"),
      foreign(.network, "norm.weight", "does not use"),
      tensor(.solution, "mean", "moved", expect: "\"mean\"", by: .raise),
      tensor(.solution, "whiten", "scaled", expect: "\"whiten\"", by: .double),
      tensor(.solution, "shift", "moved", expect: "\"shift\"", by: .raise),
      tensor(.solution, "divisor", "scaled", expect: "\"divisor\"", by: .double),
      tensor(.solution, "divisor", "negated", expect: "\"divisor\"", by: .negate),
      tensor(.solution, "target_shift", "moved", expect: "\"target_shift\"", by: .raise),
      tensor(.solution, "target_divisor", "negated", expect: "\"target_divisor\"", by: .negate),
    ]
    return result
  }

  /// Of what metadata say.
  private static var claims: [Falsification] {
    [
      metadata(.solution, "kind", "network", expect: "kind"),
      metadata(.solution, "activation", "0.1,0.5,0.47", expect: "activation", "no tensor \"z\""),
      metadata(.solution, "activation", "relu", expect: "activation", "no tensor"),
      metadata(.solution, "activation", "gated-relu", expect: "activation", "\"v\"", "no tensor"),
      metadata(.solution, "loss", "squared", expect: "loss"),
      metadata(.solution, "loss", "huber", expect: "loss", "targets"),
      metadata(.solution, "norm", "nuclear", expect: "norm") { $0.metadata["norm"] == "group" },
      metadata(.solution, "norm", "group", expect: "norm") { $0.metadata["norm"] == "nuclear" },
      metadata(.solution, "group", "pattern", expect: "group", "primal_", "dual_") {
        $0.metadata["group"] == "class" && $0.metadata["activation"] != "linear"
      },
      metadata(.solution, "group", "class", expect: "group", "primal_", "dual_") {
        $0.metadata["group"] == "pattern"
      },
      metadata(.solution, "batch_norm", "before", expect: "\"norm.mean\"") {
        $0.metadata["batch_norm"] == "after"
      },
      metadata(.solution, "batch_norm", "after", expect: "\"norm.center\"") {
        $0.metadata["batch_norm"] == "before"
      },
      foreign(.solution, "norm", is: "nuclear"), foreign(.solution, "group", is: "pattern"),
      foreign(.solution, "scaling", is: "unit"), foreign(.solution, "batch_norm", is: "before"),
      foreign(.solution, "free_bias", is: "true"), foreign(.network, "norm", is: "nuclear"),
      foreign(.network, "group", is: "pattern"), foreign(.network, "batch_norm", is: "after"),
      foreign(.network, "free_bias", is: "true"),
      metadata(.solution, "beta", times: 1.01, expect: "\"beta\"", "primal_objective"),
      metadata(.solution, "beta", times: 0.9, expect: "\"beta\"", "dual_infeasibility"),
      metadata(.solution, "targets", "-1,2", expect: "targets"),
      metadata(.solution, "classes", "p,q,r", expect: "classes") { $0.metadata["classes"] != nil },
      metadata(.solution, "class_weights", "[1.0,1.0,1.0]", expect: "class_weights") {
        $0.metadata["class_weights"] != nil
      },
      metadata(.solution, "class_weights", "[1.0,2.0]", expect: "class_weights"),
      metadata(.solution, "status", "good", expect: "status"),
      metadata(.solution, "gap", "1e-14", expect: "was asked for") {
        $0.metadata["status"] == "optimal" && Double($0.metadata["relative_gap"]!)! > 1e-14
      },
      metadata(.solution, "gap", "0", expect: "gap"),
      metadata(.solution, "gap", "inf", expect: "gap"),
      metadata(.solution, "primal_objective", times: 1 - 1e-7, expect: "primal_objective"),
      metadata(.solution, "primal_objective", times: 1 + 1e-7, expect: "primal_objective"),
      metadata(.solution, "primal_objective", "inf", expect: "primal_objective"),
      metadata(.solution, "dual_objective", times: 1 + 1e-7, expect: "dual_objective"),
      metadata(.solution, "dual_objective", times: 1 - 1e-7, expect: "dual_objective"),
      metadata(.solution, "dual_objective", "nan", expect: "dual_objective"),
      metadata(.solution, "relative_gap", "-1e-12", expect: "below 0"),
      metadata(.solution, "relative_gap", "0.5", expect: "relative_gap"),
      metadata(.solution, "relative_gap", "nan", expect: "relative_gap"),
      metadata(
        .solution, "global_dual_objective", times: 1.001, expect: "global_dual_objective is"),
      metadata(
        .solution, "global_dual_objective", times: 0.999, expect: "global_dual_objective is"),
      metadata(.solution, "global_dual_objective", "nan", expect: "global_dual_objective"),
      metadata(.solution, "global_dual_objective", "0.001", expect: "global_dual_objective"),
      metadata(.solution, "certificate", "global", expect: "certificate is", "are all there are"),
      metadata(.solution, "certificate", "gates", expect: "certificate is"),
      metadata(.solution, "certificate", "all", expect: "certificate"),
      metadata(.solution, "exact", "true", expect: "are all there are") {
        $0.metadata["activation"] == "relu" && $0.metadata["certificate"] == "patterns"
      },
      metadata(.solution, "exact", "true", expect: "\"exact\"") {
        $0.metadata["activation"] == "gated-relu"
      },
      metadata(.solution, "contrast", "0.5", expect: "\"contrast\"") { $0.metadata["size"] != nil },
      metadata(.solution, "mirror", "true", expect: "\"mirror\"") { $0.metadata["size"] != nil },
      metadata(.solution, "size", "2", expect: "\"size\"") { $0.metadata["size"] != nil },
      metadata(.solution, "pool", "1", expect: "\"pool\"") { $0.metadata["pool"] != nil },
    ]
  }

  /// Of the network.
  private static var networks: [Falsification] {
    [
      metadata(.network, "activation", "linear", expect: "activation", "hidden.gate"),
      metadata(.network, "loss", "logistic", expect: "loss", "targets"),
      metadata(.network, "norm", "group", expect: "norm", "hidden.group") {
        $0.metadata["norm"] == "nuclear"
      },
      metadata(.network, "norm", "nuclear", expect: "norm") { $0.metadata["norm"] == "group" },
      metadata(.network, "group", "pattern", expect: "group") { $0.metadata["group"] == "class" },
      metadata(.network, "group", "class", expect: "group") { $0.metadata["group"] == "pattern" },
      metadata(.network, "beta", "1e-9", expect: "beta"),
      metadata(.network, "class_weights", "[1.0,1.5]", expect: "class_weights"),
      metadata(.network, "targets", "-1,2", expect: "targets"),
      metadata(.network, "scaling", "unit", expect: "scaling") { $0.metadata["norm"] != nil },
      metadata(.network, "contrast", "0.5", expect: "\"contrast\"") { $0.metadata["size"] != nil },
      without(.network, "whiten"), without(.solution, "mean"),
      without(.network, "shift"), without(.solution, "divisor"),
      tensor(.network, "shift", "moved", expect: "\"shift\"", by: .raise),
      tensor(.network, "divisor", "scaled", expect: "\"divisor\"", by: .double),
      tensor(.data, "shift", "moved", expect: "\"shift\"", by: .raise),
      without(.network, "target_shift"), without(.solution, "target_divisor"),
      tensor(.network, "target_shift", "moved", expect: "\"target_shift\"", by: .raise),
      tensor(.network, "target_divisor", "scaled", expect: "\"target_divisor\"", by: .double),
      tensor(.data, "target_divisor", "scaled", expect: "\"target_divisor\"", by: .double),
      metadata(.network, "stride", "1", expect: "\"stride\"") { $0.metadata["stride"] != nil },
      tensor(
        .network, "hidden.weight", "with one entry changed", expect: "recovery_error", "length"
      ) { values in
        guard let k = values.largest else { return false }
        values[k] *= 1.001
        return true
      },
      tensor(.network, "output.weight", "scaled", expect: "recovery_error", by: .double),
      tensor(
        .network, "hidden.gate", "negated", expect: "hidden.gate", "recovery_error", by: .negate),
      tensor(
        .network, "hidden.threshold", "raised", expect: "hidden.gate", "recovery_error", by: .raise),
      tensor(
        .network, "hidden.gate.hidden", "negated", expect: "hidden.gate", "recovery_error",
        by: .negate),
      tensor(
        .network, "hidden.gate.output", "negated", expect: "hidden.gate", "recovery_error",
        by: .negate),
      tensor(.network, "hidden.gate.unit", "moved", expect: "units", by: .raise),
      tensor(.network, "hidden.region", "moved", expect: "region", "recovery_error", by: .raise),
      tensor(
        .network, "hidden.group", "set to 0", expect: "hidden.group", "different patterns",
        by: .clear),
      tensor(.network, "norm.weight", "scaled", expect: "recovery_error", by: .double),
      tensor(.network, "norm.bias", "raised", expect: "recovery_error", by: .raise),
      tensor(.network, "norm.mean", "moved", expect: "norm.mean", by: .raise),
      tensor(.network, "norm.deviation", "scaled", expect: "norm.deviation", by: .double),
      tensor(.network, "norm.deviation", "negated", expect: "norm.deviation", by: .negate),
      metadata(.network, "batch_norm", "before", expect: "batch_norm") {
        $0.metadata["batch_norm"] == "after"
      },
      metadata(.network, "batch_norm", "after", expect: "batch_norm") {
        $0.metadata["batch_norm"] == "before"
      },
      metadata(.network, "batch_samples", times: 0.5, expect: "batch_samples"),
      unbalanced, cancelling, oneGroup, groupsOfOne,
    ]
  }

  /// The same outputs at a higher price.
  private static var unbalanced: Falsification {
    Falsification(
      name: "hidden weights times 100, output weights by 100", witness: .network,
      expected: ["the network's objective", "length"]
    ) { bundle in
      guard let hidden = bundle.tensors["hidden.weight"], hidden.count > 0,
        let output = bundle.tensors["output.weight"]
      else { return false }
      bundle.tensors["hidden.weight"] = hidden.replacing(hidden.doubles.map { $0 * 100 })
      bundle.tensors["output.weight"] = output.replacing(output.doubles.map { $0 / 100 })
      return true
    }
  }

  /// Two copies of the first neuron whose outputs cancel.
  private static var cancelling: Falsification {
    Falsification(
      name: "two neurons that cancel", witness: .network,
      expected: ["the network's objective", "hidden.group"]
    ) { bundle in
      guard let hidden = bundle.tensors["hidden.weight"], hidden.shape[0] > 0,
        let output = bundle.tensors["output.weight"]
      else { return false }
      let (m, d) = (hidden.shape[0], hidden.shape[1])
      func appended(_ name: String, _ width: Int, _ change: (Double, Int) -> Double = { x, _ in x })
      {
        guard let old = bundle.tensors[name] else { return }
        let first = Array(old.doubles.prefix(width))
        let values = old.doubles + (0..<2).flatMap { copy in first.map { change($0, copy) } }
        bundle.tensors[name] = old.replacing(values, shape: [m + 2] + old.shape.dropFirst())
      }
      appended("hidden.weight", d)
      appended("hidden.gate", d)
      appended("hidden.threshold", 1)
      appended("hidden.gate.unit", 1)
      appended("hidden.bias", 1)
      appended("hidden.region", 1)
      for name in ["norm.weight", "norm.bias", "norm.mean", "norm.deviation"] { appended(name, 1) }
      let last = bundle.tensors["hidden.group"]?.doubles.last ?? 0
      appended("hidden.group", 1) { _, copy in last + 1 + Double(copy) }
      let values = output.doubles
      bundle.tensors["output.weight"] = output.replacing(
        (0..<output.shape[0]).flatMap { c in
          let row = Array(values[c * m..<(c + 1) * m])
          let weight = row[0] == 0 ? 1 : row[0]
          return row + [weight, -weight]
        }, shape: [output.shape[0], m + 2])
      return true
    }
  }

  /// All neurons say that they share one group, whose output weight counts once.
  private static var oneGroup: Falsification {
    Falsification(
      name: "one group of all neurons", witness: .network,
      expected: ["hidden.group", "different patterns"]
    ) { bundle in
      guard let hidden = bundle.tensors["hidden.weight"], hidden.shape[0] > 1,
        bundle.metadata["norm"] == "group", bundle.tensors["hidden.group"] == nil
      else { return false }
      bundle.tensors["hidden.group"] = Tensor([Int32](repeating: 0, count: hidden.shape[0]))
      return true
    }
  }

  /// Every neuron has a group of its own, which would count only the largest of its output weights, and balances
  /// itself accordingly.
  private static var groupsOfOne: Falsification {
    Falsification(
      name: "groups of one neuron, balanced by the largest output weight", witness: .network,
      expected: ["the network's objective", "hidden.group"]
    ) { bundle in
      guard let hidden = bundle.tensors["hidden.weight"], bundle.metadata["norm"] == "group",
        let output = bundle.tensors["output.weight"], output.shape[0] > 1,
        bundle.tensors["hidden.group"] == nil
      else { return false }
      let (m, d, classes) = (hidden.shape[0], hidden.shape[1], output.shape[0])
      var (u, a) = (hidden.doubles, output.doubles)
      var isCheaper = false
      // Of a neuron that is next to nothing the objective does not tell.
      let most = a.reduce(0) { max($0, abs($1)) }
      for j in 0..<m {
        let length = (0..<d).reduce(0) { $0 + u[j * d + $1] * u[j * d + $1] }.squareRoot()
        let largest = (0..<classes).reduce(0) { max($0, abs(a[$1 * m + j])) }
        guard largest > 1e-3 * most,
          (0..<classes).count(where: { abs(a[$0 * m + j]) > 1e-3 * largest }) > 1
        else { continue }
        isCheaper = true
        let factor = (largest / length).squareRoot()
        for k in 0..<d { u[j * d + k] *= factor }
        for c in 0..<classes { a[c * m + j] /= factor }
      }
      bundle.tensors["hidden.weight"] = hidden.replacing(u)
      bundle.tensors["output.weight"] = output.replacing(a)
      bundle.tensors["hidden.group"] = Tensor((0..<m).map { Int32($0) })
      return isCheaper
    }
  }

  /// Of the training data.
  private static var samples: [Falsification] {
    [
      tensor(
        .data, "x", "with one entry changed",
        expect: "primal_", "dual_", "predictions", "recovery_error", "does not attain"
      ) { values in
        values[values.largest!] *= 1.01
        return true
      },
      tensor(.data, "moments", "scaled", expect: "primal_", "dual_", "predictions", by: .double),
      tensor(.data, "images", "inverted", expect: "primal_", "dual_", "predictions") { values in
        for k in values.indices { values[k] = 255 - values[k] }
        return true
      },
      tensor(.data, "targets", "negated", expect: "primal_objective", "dual_", by: .negate),
      tensor(.data, "labels", "exchanged", expect: "primal_objective", "dual_") { values in
        values.reverse()
        return values != values.reversed()
      },
      tensor(
        .data, "gates", "negated", expect: "does not attain", "hidden.gate", "gates", by: .negate),
      tensor(
        .data, "gates.hidden", "negated", expect: "does not attain", "hidden.gate", by: .negate),
      tensor(
        .data, "gates.output", "negated", expect: "does not attain", "hidden.gate", by: .negate),
      tensor(.data, "gates.unit", "moved", expect: "units", by: .raise),
      tensor(.data, "patterns", "with a bit flipped", expect: "does not attain", "predictions") {
        values in
        guard !values.isEmpty else { return false }
        values[values.count / 2] = Double(UInt8(values[values.count / 2]) ^ 1)
        return true
      },
      tensor(.data, "thresholds", "raised", expect: "does not attain", by: .raise),
      metadata(.data, "kind", "images", expect: "kind"),
      metadata(.data, "rank", "1", expect: "all those of a truncation") {
        $0.metadata["rank"] != nil
      },
      metadata(.data, "stride", "1", expect: "stride", "pool") { $0.metadata["stride"] != nil },
    ]
  }
}

extension Falsification {
  /// Simple edits of all entries.
  enum Edit {
    case negate, clear, raise, double
  }

  static func tensor(
    _ witness: Witness, _ tensor: String, _ change: String, expect expected: String...,
    by edit: Edit
  ) -> Falsification {
    let base = Falsification.tensor(witness, tensor, change, expect: "") { values in
      guard edit == .raise ? !values.isEmpty : values.contains(where: { $0 != 0 }) else {
        return false
      }
      for k in values.indices {
        switch edit {
        case .negate: values[k] = -values[k]
        case .clear: values[k] = 0
        case .raise: values[k] += 1
        case .double: values[k] *= 2
        }
      }
      return true
    }
    return Falsification(
      name: base.name, witness: witness, expected: expected, apply: base.apply)
  }
}

extension [Double] {
  /// The place of the largest entry; `nil` if all are 0.
  fileprivate var largest: Int? {
    indices.max { abs(self[$0]) < abs(self[$1]) }.flatMap { self[$0] == 0 ? nil : $0 }
  }
}

extension Tensor {
  /// The same type with other elements.
  func replacing(_ values: [Double], shape: [Int]? = nil) -> Tensor {
    let shape = shape ?? self.shape
    switch type {
    case .f64: return Tensor(values, shape: shape)
    case .f32: return Tensor(values.map { Float($0) }, shape: shape)
    case .i32: return Tensor(values.map { Int32($0) }, shape: shape)
    case .u8: return Tensor(values.map { UInt8($0) }, shape: shape)
    case .i8:
      return Tensor(values.map { Int8(max(-128, min(127, $0.isNaN ? 0 : $0))) }, shape: shape)
    default: preconditionFailure("no such tensor in these bundles")
    }
  }
}
