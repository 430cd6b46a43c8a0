import Foundation
import Schema
import Tensors
import Testing

/// What `solve` is asked for: a network, a loss, and what β multiplies, on data of a shape.
private struct Cell {
  var networks: Networks
  var loss: String
  /// `nil` where the option is not given.
  var norm: String?
  var group: String?
  /// Four patches in two pooling regions, or one patch.
  var isConvolutional: Bool
  /// C.
  var outputs: Int

  static let all: [Cell] = Networks.allCases.flatMap { networks in
    ["squared", "logistic", "hinge", "huber", "cross-entropy", "quantile-0.3"].flatMap { loss in
      [nil, "group", "nuclear"].flatMap { norm in
        [nil, "class", "pattern"].flatMap { group in
          [false, true].flatMap { isConvolutional in
            [1, 3].map {
              Cell(
                networks: networks, loss: loss, norm: norm, group: group,
                isConvolutional: isConvolutional, outputs: $0)
            }
          }
        }
      }
    }
  }

  var options: String {
    let norm = norm.map { " --norm \($0)" } ?? ""
    let group = group.map { " --group \($0)" } ?? ""
    return "--activation \(networks.activation) --loss \(loss)\(norm)\(group)"
  }

  /// The same for cells that ask for the same program in other words: what is not said has its default, with one
  /// output all groups are the same, and all norms of weights that are one row.
  var program: String {
    let norm = isRow && networks.hasLengths ? "length" : norm ?? networks.norms[0]
    let group = outputs == 1 || (isRow && networks != .linear) ? "one" : impliedGroup
    return "\(networks) \(data) \(loss) \(norm) \(group)"
  }

  private var impliedGroup: String {
    group ?? (networks.hasGates && norm == "nuclear" ? "pattern" : networks.groups[0])
  }

  /// Whether the weights of a group are one row.
  var isRow: Bool { !isConvolutional && (outputs == 1 || impliedGroup == "class") }

  /// The file of its data.
  var data: String {
    let targets =
      switch loss {
      case "logistic", "hinge": "signs"
      case "cross-entropy": "shares"
      default: "values"
      }
    return Cell.data(networks.list, isConvolutional, targets, outputs)
  }

  static func data(_ list: String, _ isConvolutional: Bool, _ targets: String, _ outputs: Int)
    -> String
  {
    "\(list)-\(isConvolutional ? 4 : 1)-\(targets)-\(outputs)"
  }
}

private enum Networks: String, CaseIterable {
  case relu
  case gated = "gated-relu"
  /// Gated networks, and ReLU ones, over product gates.
  case products
  case reluProducts
  case linear
  case circular = "linear --circular"
  case squares = "1,0,0"
  case polynomial = "0.09,0.5,0.47"

  /// The option of --activation.
  var activation: String {
    switch self {
    case .products: Networks.gated.rawValue
    case .reluProducts: Networks.relu.rawValue
    default: rawValue
    }
  }

  var hasProducts: Bool { self == .products || self == .reluProducts }
  var hasGates: Bool { self == .relu || self == .gated || hasProducts }
  /// What its data list.
  var list: String { hasProducts ? "products" : hasGates ? "gates" : "plain" }

  /// The norms that they have.
  var norms: [String] {
    switch self {
    case .squares, .polynomial: ["group"]
    case .relu, .gated, .products, .reluProducts: ["group", "nuclear"]
    case .linear, .circular: ["nuclear"]
    }
  }

  /// The groups that they have where there are several outputs.
  var groups: [String] {
    switch self {
    case .relu, .gated, .circular, .products, .reluProducts: ["class", "pattern"]
    case .linear: ["pattern"]
    case .squares, .polynomial: ["class"]
    }
  }

  /// Whether weights that are one row have the same length and nuclear norm in them.
  var hasLengths: Bool { hasGates || self == .linear }
}

private enum Expectation {
  case solved
  var isSolved: Bool { if case .solved = self { true } else { false } }
  /// With this exit code, and a message that has this part.
  case refused(Int32, String)
}

/// What is refused: a norm or a group that the networks do not have, unless it says the same as one that they have;
/// cross-entropy of one output; circular networks of several patches.
private func expected(_ cell: Cell) -> Expectation {
  let networks = cell.networks
  func refusedNorm() -> Expectation { .refused(2, "--norm \(cell.norm ?? "") is not for ") }
  let hasNorm = cell.norm.map { networks.norms.contains($0) } ?? true
  // No data make sense of these, and none are read.
  if !hasNorm, !networks.hasLengths { return refusedNorm() }
  if networks == .reluProducts { return .refused(1, "has product gates") }
  if cell.loss == "cross-entropy", cell.outputs == 1 { return .refused(1, "one column") }
  if networks == .relu, cell.norm == "nuclear", cell.isConvolutional, cell.group == "class",
    cell.outputs > 1
  {
    return .refused(2, "--norm nuclear with --group class is not for ")
  }
  if let group = cell.group, cell.outputs > 1, !networks.groups.contains(group) {
    return .refused(2, "--group \(group) is not for ")
  }
  if !hasNorm, !cell.isRow { return refusedNorm() }
  if networks == .circular, cell.isConvolutional { return .refused(1, "4 patches a sample") }
  return .solved
}

/// Writes the data of all cells, a dozen samples of three features.
private func writeData(_ folder: Folder) throws {
  let (n, d, count) = (12, 3, 5)
  for isConvolutional in [false, true] {
    let patches = isConvolutional ? 4 : 1
    var random = RandomSource(seed: 12, stream: isConvolutional ? 1 : 0)
    let x = (0..<n * patches * d).map { _ in random.gaussian() }
    let gates = (0..<count * d).map { _ in random.gaussian() }
    let stride = (n * patches + 7) / 8
    var bits = [UInt8](repeating: 0, count: count * stride)
    for i in 0..<count {
      for j in 0..<n * patches {
        let product = (0..<d).reduce(0.0) { $0 + x[j * d + $1] * gates[i * d + $1] }
        if product >= 0 { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
      }
    }
    var tensors = ["x": Tensor(x, shape: [n, patches, d])]
    if isConvolutional { tensors["pool"] = Tensor([0, 0, 1, 1] as [Int32]) }
    let listed = [
      "gates": Tensor(gates, shape: [count, d]), "patterns": Tensor(bits, shape: [count, stride]),
    ]
    // The half-spaces, multiplied by those where a linear function is not above 0: units of one neuron with the weight −1.
    let turned = (0..<count * stride).map { i in
      let (row, byte) = (i / stride, i % stride)
      return bits[i] & ~bits[(row + 1) % count * stride + byte]
    }
    let products = [
      "gates": Tensor(gates, shape: [count, d]),
      "patterns": Tensor(turned, shape: [count, stride]),
      "gates.unit": Tensor((0..<count).map { Int32(($0 + 1) % count) }),
      "gates.hidden": Tensor(gates, shape: [count, 1, d]),
      "gates.output": Tensor([Double](repeating: -1, count: count), shape: [count, 1]),
    ]
    for outputs in [1, 3] {
      let values = (0..<n * outputs).map { _ in random.gaussian() }
      let kinds = [
        "values": values, "signs": values.map { $0 < 0 ? -1 : 1 },
        "shares": values.indices.map { $0 % outputs == $0 / outputs % outputs ? 1.0 : 0 },
      ]
      for (kind, values) in kinds {
        tensors["targets"] = Tensor(values, shape: [n, outputs])
        try folder.write(
          Bundle(kind: .dataset, tensors: tensors, metadata: [:]),
          Cell.data("plain", isConvolutional, kind, outputs))
        for (list, gates) in [("gates", listed), ("products", products)] {
          try folder.write(
            Bundle(
              kind: .arrangements, tensors: tensors.merging(gates) { $1 },
              metadata: ["exact": "false"]),
            Cell.data(list, isConvolutional, kind, outputs))
        }
      }
    }
  }
}

/// The whole table of what `solve` may be asked for: every cell is trained and certified, or refused.
@Suite struct CombinationTests {
  @Test func everyCombinationIsCertifiedOrRefused() throws {
    let folder = try Folder()
    try writeData(folder)
    let cells = Cell.all
    // The first cell of each program is certified; the others must have its solution.
    var first: [String: Int] = [:]
    for (id, cell) in cells.enumerated() where expected(cell).isSolved && first[cell.program] == nil
    {
      first[cell.program] = id
    }
    let certified = Set(first.values)
    let list = cells.enumerated().map {
      "\($0) \(certified.contains($0) ? "yes" : "no") \($1.data) \($1.options)\n"
    }.joined()
    try Data(list.utf8).write(to: folder.url("cells"))
    // One shell for all: a process of ours for each of them takes as long as what it runs.
    let run = try Tools.shell(
      """
      work() {
        while read -r id certifies data options; do
          solve --quiet --threads 1 --beta 0.1 --gap 1e-5 $options -o $id.s $data >$id.out 2>$id.err
          status=$?
          if [ $status = 0 ] && [ $certifies = yes ]; then
            recover --quiet --threads 1 $id.s -o $id.n 2>>$id.err &&
              evaluate --threads 1 --data $data --certify $id.s --beta 0.1 $id.n >$id.report 2>>$id.err
            echo $id $status $?
          else
            echo $id $status 0
          fi
        done
      }
      awk 'NR % 2' cells | work >first & awk 'NR % 2 == 0' cells | work >second; wait; cat first second
      """, in: folder)
    let results = run.text.split(separator: "\n").map { $0.split(separator: " ").map { Int($0)! } }
    #expect(results.count == 1728 && cells.count == 1728)
    let files = Set(folder.files)
    var solved = 0
    for result in results {
      let cell = cells[result[0]]
      let isFirst = certified.contains(result[0])
      solved += expected(cell).isSolved ? 1 : 0
      try check(cell, result, isFirst ? nil : first[cell.program], folder, files: files)
    }
    print(
      "\(solved) cells are solved, \(certified.count) programs; \(cells.count - solved) are refused"
    )
  }

  /// Checks cell `result[0]`, of which solve ended with the exit code `result[1]`, and the proof with `result[2]`; `same` is
  /// the cell whose program it has too.
  private func check(
    _ cell: Cell, _ result: [Int], _ same: Int?, _ folder: Folder, files: Set<String>
  ) throws {
    let (id, status, verdict) = (result[0], result[1], result[2])
    let what = "\(cell.options) (\(cell.data))"
    func text(_ suffix: String) throws -> String {
      try String(contentsOf: folder.url("\(id).\(suffix)"), encoding: .utf8)
    }
    let errors = try text("err")
    #expect(try text("out").isEmpty, "\(what)")
    switch expected(cell) {
    case .refused(let code, let part):
      #expect(status == Int(code) && errors.contains(part), "\(what): \(status), \(errors)")
      #expect(errors.hasPrefix("solve: ") && errors.split(separator: "\n").count == 1)
      #expect(!files.contains("\(id).s"), "\(what)")
    case .solved:
      guard status == 0, verdict == 0, errors == "" else {
        Issue.record("\(what): \(status), \(verdict): \(errors)")
        return
      }
      if let same {
        let (mine, theirs) = (try folder.read("\(id).s"), try folder.read("\(same).s"))
        #expect(
          mine.tensors.mapValues(\.doubles) == theirs.tensors.mapValues(\.doubles), "\(what)")
      } else {
        let gap = try text("report").split(separator: "\n")
          .first { $0.hasPrefix("relative_gap\t") }
          .flatMap { Double($0.split(separator: "\t")[1]) }
        #expect((gap ?? 1) <= 1e-5, "\(what)")
      }
    }
  }
}
