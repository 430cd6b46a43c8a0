import Foundation
import Schema
import Tensors
import Testing

/// Cases in which double precision, not a forger, would make a certificate false.
@Suite struct PrecisionTests {
  /// Equal targets of two outputs: merged neurons have two output weights.
  private func merged() throws -> Folder {
    let folder = try Folder()
    var (x, y): ([Double], [Double]) = ([], [])
    for i in 0..<12 {
      let t = Double(i)
      x += [sin(3.7 * t), cos(2.3 * t), sin(1 + t * t)]
      y += [cos(5.1 * t), cos(5.1 * t)]
    }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: ["x": Tensor(x, shape: [12, 3]), "targets": Tensor(y, shape: [12, 2])]), "data")
    return folder
  }

  @Test(arguments: ["relu", "gated-relu"])
  func aGroupOfOneNeuronHasTheNormOfItsWeights(_ activation: String) throws {
    let folder = try merged()
    let made = try Tools.shell(
      """
      arrangements --quiet --exact data -o list && solve --activation \(activation) --beta 0.3 list -o solution \
        && recover solution -o network
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    var network = try folder.read("network")
    let hidden = try #require(network.tensors["hidden.weight"])
    let (m, d) = (hidden.shape[0], hidden.shape[1])
    let output = try #require(network.tensors["output.weight"])
    var (u, a) = (hidden.doubles, output.doubles)
    for j in 0..<m {
      let length = (0..<d).reduce(0) { $0 + u[j * d + $1] * u[j * d + $1] }.squareRoot()
      let factor = (max(abs(a[j]), abs(a[m + j])) / length).squareRoot()
      for k in 0..<d { u[j * d + k] *= factor }
      for c in 0..<2 { a[c * m + j] /= factor }
    }
    network.tensors["hidden.weight"] = Tensor(u, shape: hidden.shape)
    network.tensors["output.weight"] = Tensor(a, shape: output.shape)
    network.tensors["hidden.group"] = Tensor((0..<m).map { Int32($0) })
    try folder.write(network, "forged")
    let run = try Tools.run(
      "evaluate", ["--data", "list", "--certify", "solution", "forged"], in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("the network's objective"), "\(run.errors)")
  }

  /// A product whose terms are all 0 is on the boundary without any rounding: the gate is open there.
  @Test func aGateOnTheDataIsOpen() throws {
    let folder = try Folder()
    try folder.write(
      Bundle(
        kind: .arrangements,
        tensors: [
          "x": Tensor([1.0, 0, 2, 0, -1, 0, 3, 0], shape: [4, 2]),
          "targets": Tensor([1.0, 2, 3, -1], shape: [4]),
          "gates": Tensor([0.0, 1], shape: [1, 2]),
          "patterns": Tensor([UInt8(0)], shape: [1, 1]),
        ], metadata: ["exact": "false"]), "data")
    let run = try Tools.shell(
      """
      solve --activation gated-relu --beta 0.01 data -o solution && recover solution \
        | evaluate --data data --certify solution
      """, in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("does not attain pattern 0"), "\(run.errors)")
  }

  /// Rows that differ by less than rounding lets a count see, and a β so small that the difference matters.
  @Test func aListIsNotCompleteIfWhatItNeglectsMatters() throws {
    let folder = try Folder()
    let t = (0..<12).map { -1 + 2 * Double($0) / 11 }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: [
          "x": Tensor(t.flatMap { [1 + 1e-13 * $0, 1 - 1e-13 * $0] }, shape: [12, 2]),
          "targets": Tensor(t.map(abs), shape: [12]),
        ]), "data")
    let run = try Tools.shell(
      """
      arrangements --quiet --exact data -o list && solve --activation relu --beta 1e-9 --gap 1e-3 list -o solution \
        && tensor show solution
      """, in: folder)
    #expect(run.text.contains("patterns") && !run.text.contains("global"), "\(run.text)")
    let tiny = try Tools.shell(
      "solve --activation relu --beta 1e-15 --gap 1e-3 list -o tiny && tensor show tiny",
      in: folder)
    #expect(!tiny.text.contains("status            optimal"), "\(tiny.text)")
  }

  /// Moments that cancel to less than their rounding: the zero network is not optimal, though S computes as 0.
  @Test func featuresThatCancelProveNothing() throws {
    let folder = try Folder()
    let unit = Double.ulpOfOne
    let y = [1.3278, 1.1322, 7.5062, 8.3020]
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: [
          "x": Tensor([2.0, 1, 0, -2].map { 1 + $0 * unit }, shape: [4, 1]), "targets": Tensor(y),
        ]), "data")
    let value = "\(0.5 * y.reduce(0) { $0 + $1 * $1 })"
    try folder.write(
      Bundle(
        kind: .solution,
        tensors: [
          "z": Tensor(type: .f64, shape: [1, 1, 2, 2, 2]), "dual": Tensor(y, shape: [4, 1]),
          "predictions": Tensor(type: .f64, shape: [4, 1]),
        ],
        metadata: [
          "activation": "0.3,0,-0.3", "loss": "squared", "beta": "1.195e-15", "status": "optimal",
          "gap": "1e-9", "certificate": "global", "primal_objective": value,
          "dual_objective": value, "relative_gap": "0", "iterations": "1",
        ]), "solution")
    let run = try Tools.shell(
      "recover solution -o network && evaluate --data data --certify solution network", in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("beta is too small beside these data"), "\(run.errors)")
  }

  /// Numbers whose squares are 0 in double precision prove nothing: the zero network is not optimal here.
  @Test(
    arguments: [
      (1e-100, 1e-100, "cat", "--activation linear"),
      (1e-170, 1, "arrangements --quiet --sample 5", "--activation gated-relu --norm nuclear"),
      (1e-100, 1e-100, "arrangements --quiet --exact", "--activation relu --norm nuclear"),
    ] as [(Double, Double, String, String)])
  func squaresThatUnderflowProveNothing(
    _ features: Double, _ targets: Double, _ list: String, _ options: String
  ) throws {
    let folder = try Folder()
    var (x, y): ([Double], [Double]) = ([], [])
    for k in 0..<36 { x.append(features * sin(3.7 * Double(k) + 0.1 * Double(k * k))) }
    for k in 0..<24 { y.append(targets * cos(2.3 * Double(k * k) + 1)) }
    try folder.write(
      Bundle(
        kind: .dataset,
        tensors: ["x": Tensor(x, shape: [12, 3]), "targets": Tensor(y, shape: [12, 2])]), "data")
    let run = try Tools.shell(
      """
      \(list) <data >list && solve --quiet \(options) --beta \(0.01 * features * targets) list -o solution &&
        recover --quiet solution -o network && evaluate --quiet --data list --certify solution network
      """, in: folder)
    #expect(run.status == 1 && run.errors.contains("squares"), "\(run.text) \(run.errors)")
  }
}
