import Foundation
import Tensors
import Testing

/// Gated networks of three layers: gates that are half-spaces multiplied by second-layer units.
@Suite struct ThreeLayersTests {
  /// 40 samples of 3 features and a constant, two targets, and product gates for them.
  private static let data = """
    set -e
    awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
      BEGIN { s = 4711
        for (i = 0; i < 40; ++i) { a = r(); b = r(); c = r()
          printf "%.9f,%.9f,%.9f,%.9f,%.9f\\n", a, b, c, a * b + 0.2 * r(), c - a + 0.2 * r() } }' >table
    tensor from-csv table --targets 4,5 --bias -o plain
    arrangements --quiet --sample 30 --depth 2 --width 3 --threshold 0.2 --open plain -o data
    """

  private func folder(_ script: String = "") throws -> Folder {
    let folder = try Folder()
    let run = try Tools.shell("\(Self.data)\n\(script)", in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    return folder
  }

  private static func rows(_ text: String) -> [String: String] {
    text.split(separator: "\n").map { $0.split(separator: "\t", maxSplits: 1).map(String.init) }
      .reduce(into: [:]) { $0[$1[0]] = $1.last }
  }

  /// Product gates by loops over the tensors of a bundle.
  private struct Gates {
    let (d, g, t, unit, w, a): (Int, [Double], [Double], [Int], [Double], [Double])
    let width: Int

    init(_ bundle: Bundle, _ name: String, _ thresholds: String) throws {
      let gates = try #require(bundle.tensors[name])
      (d, g) = (gates.shape[1], gates.doubles)
      t = try #require(bundle.tensors[thresholds]).doubles
      unit = try #require(bundle.tensors["\(name).unit"]).doubles.map { Int($0) }
      let hidden = try #require(bundle.tensors["\(name).hidden"])
      w = hidden.doubles
      width = hidden.shape[1]
      let output = try #require(bundle.tensors["\(name).output"])
      a = output.doubles
      #expect(hidden.shape == [output.shape[0], output.shape[1], d] && t.count == gates.shape[0])
      #expect(unit.count == t.count && Set(unit) == Set(0..<output.shape[0]))
    }

    private func product(_ x: ArraySlice<Double>, _ weights: [Double], _ place: Int) -> Double {
      zip(x, weights[place * d..<(place + 1) * d]).reduce(0) { $0 + $1.0 * $1.1 }
    }

    func isActive(_ i: Int, _ x: ArraySlice<Double>) -> Bool {
      guard product(x, g, i) >= t[i] else { return false }
      let k = unit[i]
      return (0..<width).reduce(0.0) {
        $0 + a[k * width + $1] * max(0, product(x, w, k * width + $1))
      } >= 0
    }
  }

  private static func rows(of bundle: Bundle) throws -> [ArraySlice<Double>] {
    let x = try #require(bundle.tensors["x"])
    let d = x.shape.last!
    return (0..<x.count / d).map { x.doubles[$0 * d..<($0 + 1) * d] }
  }

  @Test func patternsAreThoseOfHalfSpacesAndUnits() throws {
    let folder = try folder()
    let bundle = try folder.read("data")
    let gates = try Gates(bundle, "gates", "thresholds")
    let patterns = try #require(bundle.tensors["patterns"])
    let bits = patterns.withElements(of: UInt8.self) { Array($0) }
    let rows = try Self.rows(of: bundle)
    var seen: Set<[Bool]> = []
    for i in gates.t.indices {
      let own = rows.map { gates.isActive(i, $0) }
      for j in rows.indices {
        #expect(own[j] == (bits[i * patterns.shape[1] + j / 8] >> UInt8(j % 8) & 1 == 1))
      }
      #expect(seen.insert(own).inserted)
    }
    // The open gate comes first, and its unit has zeros.
    #expect(seen.contains(rows.map { _ in true }) && gates.g.prefix(4).allSatisfy { $0 == 0 })
    #expect(gates.width == 3 && bundle.metadata["bound"] == nil)
    // Three gates in turn share a unit, as far as they are kept.
    #expect(zip(gates.unit.dropFirst(), gates.unit.dropFirst(2)).allSatisfy { $0 <= $1 })
    let again = try Tools.shell(
      """
      arrangements --quiet --sample 30 --depth 2 --width 3 --threshold 0.2 --open --threads 1 plain -o again &&
        cmp data again && arrangements --quiet --sample 30 --depth 2 --seed 1 plain -o other &&
        arrangements --quiet --sample 30 --depth 2 --sampler samples plain -o rows &&
        arrangements --quiet --sample 12 --depth 2 --sampler k-means plain -o centroids
      """, in: folder)
    #expect(again.status == 0, "\(again.errors)")
    #expect(
      try folder.read("other").tensors["gates.hidden"]?.doubles
        != bundle.tensors["gates.hidden"]?.doubles)
    // Units of centroids have filters that are centroids.
    let centroids = try folder.read("centroids")
    let own = try #require(centroids.tensors["gates.hidden"])
    #expect(own.shape[1] == 5)
  }

  /// Objective and bound of the solution by loops: an optimum that nobody but this test proves.
  @Test func theSolutionIsOptimal() throws {
    let folder = try folder(
      "solve --quiet --activation gated-relu --beta 0.1 --gap 1e-6 data -o solution; recover solution -o network"
    )
    let (bundle, solution) = (try folder.read("data"), try folder.read("solution"))
    let gates = try Gates(bundle, "gates", "thresholds")
    let rows = try Self.rows(of: bundle)
    let y = try #require(bundle.tensors["targets"]).doubles
    let nu = try #require(solution.tensors["dual"]).doubles
    let masks = gates.t.indices.map { i in rows.map { gates.isActive(i, $0) } }
    var (largest, lower) = (0.0, 0.0)
    for c in 0..<2 {
      for mask in masks {
        let sum = (0..<4).map { k in
          rows.indices.reduce(0.0) { total, j in
            mask[j] ? total + nu[j * 2 + c] * rows[j][rows[j].startIndex + k] : total
          }
        }
        largest = max(largest, sum.reduce(0) { $0 + $1 * $1 }.squareRoot())
      }
      for j in rows.indices {
        lower += nu[j * 2 + c] * y[j * 2 + c] - 0.5 * nu[j * 2 + c] * nu[j * 2 + c]
      }
    }
    #expect(largest <= 0.1 * (1 + 1e-9))
    // The network's outputs and norm, its gates being its own.
    let network = try folder.read("network")
    let own = try Gates(network, "hidden.gate", "hidden.threshold")
    let u = try #require(network.tensors["hidden.weight"])
    let a = try #require(network.tensors["output.weight"]).doubles
    let m = u.shape[0]
    var upper = 0.0
    for value in u.doubles + a { upper += 0.05 * value * value }
    for (j, x) in rows.enumerated() {
      for c in 0..<2 {
        let output = (0..<m).reduce(0.0) { sum, k in
          own.isActive(k, x)
            ? sum + a[c * m + k]
              * zip(x, u.doubles[k * 4..<k * 4 + 4]).reduce(0) { $0 + $1.0 * $1.1 }
            : sum
        }
        upper += 0.5 * (output - y[j * 2 + c]) * (output - y[j * 2 + c])
      }
    }
    #expect(upper - lower <= 1.1e-6 * upper && upper >= lower - 1e-12)
    let run = try Tools.shell("evaluate --data data --certify solution network", in: folder)
    let report = Self.rows(run.text)
    #expect(run.status == 0 && report["certificate"] == "gates", "\(run.errors)")
    #expect(abs(try #require(report["objective"].flatMap { Double($0) }) - upper) < 1e-9 * upper)
    #expect(abs(try #require(report["dual_objective"].flatMap { Double($0) }) - lower) < 1e-9)
  }

  /// Loss + (β/3) Σ (‖W_k‖³ + ‖a_k‖³ + |o_k|³) of the network of three layers by loops.
  @Test func threeLayersHaveTheObjectiveOfTheProgram() throws {
    let folder = try folder(
      "solve --quiet --activation gated-relu --beta 0.1 --gap 1e-6 data -o solution; recover --depth 3 solution -o network"
    )
    let run = try Tools.shell("evaluate --data data --certify solution network", in: folder)
    let report = Self.rows(run.text)
    #expect(run.status == 0 && report["layers"] == "3", "\(run.errors)")
    let (bundle, network) = (try folder.read("data"), try folder.read("network"))
    let gates = try Gates(network, "hidden.gate", "hidden.threshold")
    let w = try #require(network.tensors["hidden.weight"]).doubles
    let a = try #require(network.tensors["middle.weight"]).doubles
    let o = try #require(network.tensors["output.weight"]).doubles
    let group = try #require(network.tensors["hidden.group"]).doubles.map { Int($0) }
    let m = group.count
    var objective = 0.0
    for k in Set(group) {
      let own = group.indices.filter { group[$0] == k }
      #expect(Set(own.map { gates.unit[$0] }).count == 1)
      let hidden = own.reduce(0.0) { sum, j in w[j * 4..<j * 4 + 4].reduce(sum) { $0 + $1 * $1 } }
      let middle = own.reduce(0.0) { $0 + a[$1] * a[$1] }
      let output = (0..<2).reduce(0.0) { max($0, abs(o[$1 * m + own[0]])) }
      for length in [hidden.squareRoot(), middle.squareRoot(), output] {
        objective += 0.1 / 3 * length * length * length
      }
    }
    let y = try #require(bundle.tensors["targets"]).doubles
    for (i, x) in try Self.rows(of: bundle).enumerated() {
      for c in 0..<2 {
        let output = (0..<m).reduce(0.0) { sum, j in
          gates.isActive(j, x)
            ? sum + o[c * m + j] * a[j]
              * zip(x, w[j * 4..<j * 4 + 4]).reduce(0) { $0 + $1.0 * $1.1 } : sum
        }
        objective += 0.5 * (output - y[i * 2 + c]) * (output - y[i * 2 + c])
      }
    }
    #expect(
      abs(try #require(report["objective"].flatMap { Double($0) }) - objective) < 1e-9 * objective)
    #expect(try #require(report["imbalance"].flatMap { Double($0) }) < 1e-12)
    // What is no such network is refused, and one that is out of balance is not certified.
    for (change, part) in [
      ({ $0.tensors["middle.weight"] = nil }, "middle.weight"),
      ({ $0.metadata["layers"] = "4" }, "middle.weight"),
      ({ $0.tensors["hidden.group"] = nil }, "hidden.group"),
      ({ $0.tensors["hidden.group"] = Tensor(group.map { _ in Int32(0) }) }, "several units"),
      (
        {
          $0.tensors["output.weight"] = Tensor(o.map { 2 * $0 }, shape: [2, m])
          $0.tensors["middle.weight"] = Tensor(a.map { 0.5 * $0 }, shape: [1, m])
        }, "layers of a unit"
      ),
    ] as [((inout Bundle) -> Void, String)] {
      var other = network
      change(&other)
      try folder.write(other, "other")
      let run = try Tools.shell("evaluate --data data --certify solution other", in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
    }
  }

  /// Whatever gated networks do, they do over product gates.
  @Test func everyRoadIsOpen() throws {
    let folder = try folder(
      """
      tensor slice --rows 0:20 plain -o held
      cifar-extract --quiet --synthetic 40 --resize 8x8 --classes 0,1 -o images
      patchify --quiet --size 3 --stride 1 --pool 2 --whiten 0.1 --components 4 --bias --defer images -o patches
      patchify --quiet --size 4 --stride 2 --bias --defer images -o wide
      arrangements --quiet --sample 12 --depth 2 --threshold 0.2 patches -o first
      arrangements --quiet --sample 8 --depth 2 --width 2 --open wide -o second
      """)
    let run = try Tools.shell(
      """
      set -e
      solve --quiet --activation gated-relu --path 3 --validation held --path-output path data -o chosen
      recover path/3 -o network; evaluate --data data --certify path/3 network >report
      solve --quiet --activation gated-relu --beta 0.2 --warm-start path/3 data -o warm
      solve --quiet --activation gated-relu --path 3 --folds 3 data -o folds
      recover --data data --minimal warm -o few; evaluate --data data --certify warm few >>report
      recover --data data --unique warm >unique
      arrangements --quiet --from network --open plain -o listed
      solve --quiet --activation gated-relu --group pattern --beta 0.1 listed -o same
      solve --quiet --activation gated-relu --norm nuclear --beta 0.1 data -o nuclear
      for data in first second; do
        solve --quiet --activation gated-relu --group pattern --beta 0.3 --gap 1e-5 $data -o s
        recover s -o n; evaluate --data $data --certify s n >>report
      done
      solve --quiet --activation gated-relu --beta 0.3 --gap 1e-5 --with second first -o joint
      recover joint -o net; evaluate --data first --with second --certify joint net >>report
      gram first -o sums; solve --quiet --beta 0.3 --gap 1e-5 sums -o s; recover s -o n
      evaluate --data sums --certify s n >>report; evaluate --data first --certify s n --tally tally >/dev/null
      evaluate --data tally --certify s n >>report
      solve --quiet --activation gated-relu --beta 0.3 second | recover -o wide.net
      patchify --quiet --after wide.net --size 2 --bias images -o stage
      patchify --quiet --after wide.net --directions 1 --size 2 --bias --defer images -o stage2
      arrangements --quiet --sample 5 --depth 2 stage -o gates
      solve --quiet --activation gated-relu --beta 0.3 gates -o s; recover --unit s -o n
      evaluate --data gates --certify s n >>report
      grep -c '^certificate	gates' report
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.text == "8\n", "\(run.text)")
  }

  /// The hidden layer over product gates, by loops over its image.
  @Test func aFurtherStageSeesTheUnits() throws {
    let folder = try folder(
      """
      solve --quiet --activation gated-relu --beta 0.1 data | recover -o network
      patchify --quiet --after network plain -o stage
      """)
    let (network, stage) = (try folder.read("network"), try folder.read("stage"))
    let gates = try Gates(network, "hidden.gate", "hidden.threshold")
    let u = try #require(network.tensors["hidden.weight"])
    let outputs = try #require(stage.tensors["x"]).doubles
    let rows = try Self.rows(of: folder.read("plain"))
    let layer = try #require(stage.tensors["after.1.hidden.weight"])
    let m = layer.shape[0]
    for (i, x) in rows.enumerated() {
      for j in 0..<m {
        let k = (0..<u.shape[0]).first {
          u.doubles[$0 * 4..<$0 * 4 + 4].elementsEqual(layer.doubles[j * 4..<j * 4 + 4])
        }!
        let value =
          gates.isActive(k, x)
          ? zip(x, layer.doubles[j * 4..<j * 4 + 4]).reduce(0) { $0 + $1.0 * $1.1 } : 0
        #expect(abs(outputs[i * (outputs.count / rows.count) + j] - value) < 1e-12)
      }
    }
  }

  @Test(arguments: [
    ("arrangements --sample 3 --depth 3 plain", 2, "--depth is 3"),
    ("arrangements --sample 3 --width 3 plain", 2, "--width is for --depth 2"),
    ("arrangements --spike-free --depth 2 plain", 2, "--depth is for --sample"),
    ("arrangements --from network --depth 2 plain", 2, "--depth is for --sample"),
    ("solve --activation relu --beta 1 data", 1, "product gates"),
    ("solve --activation relu --norm nuclear --beta 1 data", 1, "product gates"),
    ("solve --activation gated-relu --batch-norm before --beta 1 data", 1, "product gates"),
    ("solve --activation gated-relu --batch-norm after --beta 1 data", 1, "product gates"),
    ("baseline --activation gated-relu --epochs 1 data", 1, "product gates"),
    ("recover --depth 4 solution", 2, "3 for gated-relu"),
    ("recover --depth 3 grouped", 1, "--depth 3"),
    ("recover --depth 3 plain.solution", 2, "3 for gated-relu"),
    ("patchify --after network --responses plain", 1, "--responses"),
  ])
  func whatMakesNoSenseIsRefused(_ line: String, _ status: Int, _ part: String) throws {
    let folder = try folder(
      """
      solve --quiet --activation gated-relu --beta 1 data -o solution; recover solution -o network
      solve --quiet --activation gated-relu --group pattern --beta 1 data -o grouped
      arrangements --quiet --sample 3 plain | solve --quiet --activation gated-relu --beta 1 -o plain.solution
      """)
    let run = try Tools.shell("\(line) -o out", in: folder)
    #expect(Int(run.status) == status && run.errors.contains(part), "\(run.errors)")
    #expect(!folder.files.contains("out"))
  }

  /// Tensors of units that do not fit.
  @Test func unitsThatDoNotFitAreRefused() throws {
    let folder = try folder()
    let data = try folder.read("data")
    let count = try #require(data.tensors["gates"]).shape[0]
    for (part, change) in [
      ("gates.hidden", { $0.tensors["gates.hidden"] = nil }),
      ("gates.output", { $0.tensors["gates.output"] = nil }),
      ("gates.unit", { $0.tensors["gates.unit"] = nil }),
      ("there are", { $0.tensors["gates.unit"] = Tensor([Int32](repeating: 99, count: count)) }),
      ("there are", { $0.tensors["gates.unit"] = Tensor([Int32](repeating: -1, count: count)) }),
      ("expected I32 [\(count)]", { $0.tensors["gates.unit"] = Tensor([Int32(0)]) }),
      ("expected F64 [S, M, 4]", { $0.tensors["gates.hidden"] = Tensor([1.0], shape: [1, 1, 1]) }),
      (
        "gates.output",
        { $0.tensors["gates.output"] = Tensor([1.0], shape: [1, 1]) }
      ),
      (
        "not finite",
        {
          let old = $0.tensors["gates.hidden"]!
          $0.tensors["gates.hidden"] = Tensor(
            old.doubles.map { _ in Double.nan }, shape: old.shape)
        }
      ),
    ] as [(String, (inout Bundle) -> Void)] {
      var other = data
      change(&other)
      try folder.write(other, "other")
      let run = try Tools.shell(
        "solve --activation gated-relu --beta 1 other -o solution", in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
      #expect(!folder.files.contains("solution"))
    }
  }
}
