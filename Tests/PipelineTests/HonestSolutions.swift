import Foundation
import Tensors
import Testing

/// A solution as solve writes it, its network and its training data: what `evaluate --certify` must accept.
struct HonestCase: CustomTestStringConvertible {
  let name: String
  /// A shell script that writes `data`, `solution` and `network`.
  let script: String

  var testDescription: String { name }

  init(_ name: String, data: String, solve: String) {
    self.name = name
    script = """
      set -e
      \(HonestCase.numbers)
      \(data)
      solve --quiet \(solve) data -o solution
      recover --quiet solution -o network
      """
  }

  /// Tables of 24 rows, the same on every machine: `regression` (3 features, 2 targets), `signs` (3 features, ±1),
  /// `classes` (3 features, three classes).
  private static let numbers = """
    awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
      BEGIN { s = 4711
        for (i = 0; i < 24; ++i) {
          a = r(); b = r(); c = r(); e = r(); f = r()
          printf "%.9f,%.9f,%.9f,%.9f,%.9f\\n", a, b, c, a * b + 0.3 * e, c - a + 0.3 * f > "regression"
          sign = (a - c + 0.7 * e > 0) ? 1 : -1; class = (e > 0.3) ? "x" : ((a > b) ? "y" : "z")
          printf "%.9f,%.9f,%.9f,%d\\n", a, b, c, sign > "signs"
          printf "%.9f,%.9f,%.9f,%s\\n", a, b, c, class > "classes"
        } }'
    """

  private static let losses = [
    "squared", "logistic", "hinge", "huber", "cross-entropy", "quantile-0.7",
  ]

  /// Every activation and norm with every loss that fits it.
  static let all: [HonestCase] = losses.flatMap { loss -> [HonestCase] in
    let table: String
    switch loss {
    case "squared", "huber", "quantile-0.7": table = "tensor from-csv regression --targets 4,5"
    case "cross-entropy": table = "tensor from-csv classes --labels 4"
    default: table = "tensor from-csv signs --targets 4"
    }
    let images =
      "cifar-extract --synthetic 30 --resize 6x6 --classes 0,1"
      + (loss == "cross-entropy" ? ",2" : "")
    let patches =
      "\(images) | patchify --quiet --size 3 --stride 3 --pool 2 --whiten 0.1 --components 4 --bias"
    let options = "--loss \(loss) --gap 1e-5"
    var cases = [
      HonestCase(
        "relu, \(loss)", data: "\(table) | arrangements --quiet --sample 12 -o data",
        solve: "--activation relu --beta 0.2 \(options)"),
      HonestCase(
        "relu over all patterns, \(loss)",
        data: "\(table) | arrangements --quiet --exact -o data",
        solve: "--activation relu --beta 0.2 \(options)"),
      HonestCase(
        "relu over the patterns of a truncation, \(loss)",
        data: "\(table) | arrangements --quiet --exact --rank 2 -o data",
        solve: "--activation relu --beta 0.2 \(options)"),
      HonestCase(
        "gated-relu, \(loss)", data: "\(table) | arrangements --quiet --sample 12 -o data",
        solve: "--activation gated-relu --beta 0.2 \(options)"),
      HonestCase(
        "gated-relu, product gates, \(loss)",
        data: "\(table) | arrangements --quiet --sample 24 --depth 2 --width 3 -o data",
        solve: "--activation gated-relu --beta 0.2 \(options)"),
      HonestCase(
        "convolutional gated-relu, product gates, \(loss)",
        data:
          "\(patches) | arrangements --quiet --sample 8 --depth 2 --width 2 --threshold 0.3 --open -o data",
        solve: "--activation gated-relu --group pattern --beta 0.5 \(options)"),
      HonestCase(
        "polynomial, \(loss)", data: "\(table) -o data",
        solve: "--activation 0.09,0.5,0.47 --beta 0.1 \(options)"),
      HonestCase(
        "linear, \(loss)", data: "\(table) -o data",
        solve: "--activation linear --beta 0.2 \(options)"),
      HonestCase(
        "circular, \(loss)", data: "\(table) -o data",
        solve: "--activation linear --circular --beta 0.2 \(options)"),
      HonestCase(
        "convolutional gated-relu, \(loss)",
        data: "\(patches) | arrangements --quiet --sample 6 --threshold 0.3 -o data",
        solve: "--activation gated-relu --group pattern --beta 0.5 \(options)"),
      HonestCase(
        "gated-relu, nuclear norm, \(loss)",
        data: "\(table) | arrangements --quiet --sample 12 -o data",
        solve: "--activation gated-relu --norm nuclear --beta 0.2 \(options)"),
      HonestCase(
        "convolutional gated-relu, nuclear norm, \(loss)",
        data: "\(patches) | arrangements --quiet --sample 6 --threshold 0.3 -o data",
        solve: "--activation gated-relu --norm nuclear --beta 0.5 \(options)"),
      HonestCase(
        "convolutional gated-relu, nuclear norm a class, \(loss)",
        data: "\(patches) | arrangements --quiet --sample 6 --threshold 0.3 -o data",
        solve: "--activation gated-relu --norm nuclear --group class --beta 0.5 \(options)"),
      HonestCase(
        "convolutional relu, \(loss)",
        data: "\(patches) | arrangements --quiet --sample 6 -o data",
        solve: "--activation relu --beta 0.5 \(options)"),
    ]
    cases.append(
      HonestCase(
        "relu over all patterns, proved, \(loss)", data: "\(table) -o data",
        solve: "--activation relu --beta 0.2 \(options)"))
    if ["squared", "hinge"].contains(loss) {
      let goal = loss == "squared" ? "--interpolate" : "--margin"
      cases += ["relu", "gated-relu"].map { activation in
        HonestCase(
          "\(activation) \(goal)",
          data: "tensor from-csv signs --targets 4 | arrangements --quiet --exact -o data",
          solve: "--activation \(activation) \(goal) --gap 1e-5")
      }
    }
    let weighted = "tensor from-csv classes --labels 4"
    cases += [
      HonestCase(
        "gated-relu with class weights, \(loss)",
        data: "\(weighted) | arrangements --quiet --sample 12 -o data",
        solve: "--activation gated-relu --beta 0.2 --class-weights 0.5,2,3 \(options)"),
      HonestCase(
        "polynomial with class weights, \(loss)", data: "\(weighted) -o data",
        solve: "--activation 0.09,0.5,0.47 --beta 0.1 --class-weights balanced \(options)"),
    ]
    for (activation, place) in [
      ("relu", "before"), ("gated-relu", "before"), ("gated-relu", "after"), ("relu", "after"),
    ]
    where loss != "quantile-0.7" && (loss == "squared" || (activation, place) != ("relu", "after"))
    {
      cases.append(
        HonestCase(
          "\(activation), batch normalisation \(place), \(loss)",
          data: "\(table) | arrangements --quiet --sample 12 -o data",
          solve: "--activation \(activation) --batch-norm \(place) --beta 0.2 \(options)"))
    }
    if ["squared", "huber", "cross-entropy"].contains(loss) {
      cases.append(
        HonestCase(
          "relu, weight decay on both layers, \(loss)",
          data: "\(table) | arrangements --quiet --sample 12 -o data",
          solve: "--activation relu --norm nuclear --beta 0.2 \(options)"))
      cases.append(
        HonestCase(
          "convolutional relu, weight decay on both layers, \(loss)",
          data:
            "cifar-extract --synthetic 10 --resize 6x6 --classes 0,1,2 | patchify --quiet --size 3 --stride 3 --pool 2 "
            + "--whiten 0.1 --components 2 --bias | arrangements --quiet --sample 8 -o data",
          solve: "--activation relu --norm nuclear --beta 0.2 \(options)"))
    }
    if loss == "squared" {
      let single = "awk -F, '{ print $1 \",\" $4 }' regression | tensor from-csv --targets 2"
      cases += [
        HonestCase(
          "quantised", data: "\(table) -o data",
          solve: "--activation quantized --relaxation --beta 0.2 \(options)"),
        HonestCase(
          "free biases", data: "\(single) -o data",
          solve: "--activation relu --free-bias --beta 0.2 \(options)"),
        HonestCase(
          "relu, six samples of many features, proved",
          data:
            "cifar-extract --synthetic 30 --seed 3 --resize 6x6 --classes 0,1 | patchify --quiet --flatten --bias -o data",
          solve: "--activation relu --beta 0.05 \(options)"),
        HonestCase(
          "standardised, relu",
          data: "\(table) | tensor standardize | arrangements --quiet --sample 12 -o data",
          solve: "--activation relu --beta 0.2 \(options)"),
        HonestCase(
          "deferred gated-relu",
          data: "\(patches) --defer | arrangements --quiet --sample 6 -o data",
          solve: "--activation gated-relu --beta 0.5 \(options)"),
        HonestCase(
          "deferred gated-relu, product gates",
          data:
            "\(patches) --defer | arrangements --quiet --sample 9 --depth 2 --width 3 --open -o data",
          solve: "--activation gated-relu --beta 0.5 \(options)"),
        HonestCase(
          "polynomial over moments", data: "\(patches) --moments -o data",
          solve: "--activation 0.09,0.5,0.47 --beta 0.1 \(options)"),
      ]
    }
    return cases
  }

  func make() throws -> Folder {
    let folder = try Folder()
    let run = try Tools.shell(script, in: folder)
    #expect(run.status == 0, "\(name): \(run.errors)")
    return folder
  }
}
