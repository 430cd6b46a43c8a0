import Foundation
import Tensors
import Testing

/// Networks of even activations a t² + c: at most d neurons for a class and region.
@Suite struct EvenActivationTests {
  /// 100 samples of ten features and a network of ten quadratic neurons.
  private static func planted(in folder: Folder) throws {
    var random = RandomSource(seed: 9)
    let filters = (0..<10).map { _ in (0..<10).map { _ in random.gaussian() } }
    let weights = (0..<10).map { $0 % 2 == 0 ? 0.1 : -0.1 }
    let rows = (0..<100).map { _ -> String in
      let x = (0..<10).map { _ in random.gaussian() }
      let y = zip(filters, weights).reduce(0.0) { sum, neuron in
        let t = zip(x, neuron.0).reduce(0) { $0 + $1.0 * $1.1 }
        return sum + neuron.1 * t * t
      }
      return (x + [y]).map { "\($0)" }.joined(separator: ",")
    }
    try Data((rows.joined(separator: "\n") + "\n").utf8).write(to: folder.url("planted.csv"))
  }

  @Test(arguments: [
    ("1,0,0", "squared", "0.01"), ("1,0,0", "squared", "1"), ("1,0,0", "huber", "0.1"),
    ("-0.5,0,1", "squared", "0.1"),
  ])
  func aNetworkHasNoMoreNeuronsThanFeatures(_ activation: String, _ loss: String, _ beta: String)
    throws
  {
    let folder = try Folder()
    try Self.planted(in: folder)
    let run = try Tools.shell(
      """
      set -e
      tensor from-csv --targets 11 planted.csv -o data
      solve --quiet --activation \(activation) --loss \(loss) --beta \(beta) --gap 1e-6 data -o solution
      recover solution -o network
      evaluate --data data --certify solution network
      """, in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let network = try folder.read("network")
    let shape = try #require(network.tensors["hidden.weight"]).shape
    #expect(shape[1] == 10 && shape[0] <= 10, "\(shape)")
    // A solution that another solver wrote, with the same outputs and a needless common part of both matrices.
    var solution = try folder.read("solution")
    let z = try #require(solution.tensors["z"])
    var values = z.doubles
    for half in 0..<2 {
      for i in 0..<10 { values[half * 121 + i * 11 + i] += 0.1 }
      values[half * 121 + 120] += 1
    }
    solution.tensors["z"] = z.replacing(values)
    try folder.write(solution, "other")
    let other = try Tools.run("recover", ["other", "-o", "same"], in: folder)
    #expect(other.status == 0, "\(other.errors)")
    let same = try folder.read("same")
    #expect(try #require(same.tensors["hidden.weight"]).shape == shape)
    let outputs = (
      try #require(network.tensors["output.weight"]).doubles,
      try #require(same.tensors["output.weight"]).doubles
    )
    #expect(zip(outputs.0, outputs.1).allSatisfy { abs($0 - $1) < 1e-9 * (1 + abs($0)) })
  }
}
