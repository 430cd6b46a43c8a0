import LinearAlgebra
import Schema

/// The function of a trained network. Each kind of network is one type.
package protocol NetworkFunction: Sendable {
  var kind: Activation { get }
  /// C.
  var outputs: Int { get }
  /// m.
  var neurons: Int { get }
  /// The penalty that β multiplies in the training objective.
  var penalty: Double { get }
  /// m × d: the filters that a picture shows.
  var filters: Matrix { get }
  /// C × m.
  var outputWeight: Matrix { get }
  /// Throws if the network cannot be applied to these samples.
  func check(against examples: Examples) throws
  /// The n × C outputs; `check` must have passed.
  func values(on examples: Examples) throws -> Matrix
  /// The ways, apart from its outputs, in which the network is not that of the solution that it is said to be recovered
  /// from: norm, groups and gates. The samples are those of the solution.
  func objections(to solution: any Solution, on examples: Examples) throws -> [String]
  /// The network as a function of the sums over the patches that each of `gates` takes in each region (over all patches
  /// if `gates` is `nil`): gates × R × d rows, a column for each output. `nil` if it is no such function.
  func pooledWeights(_ patches: PatchFeatures, over gates: Gates?) -> Matrix?
  /// Adds to the report what only networks of this kind have.
  func describe(in report: inout Report)
}

extension NetworkFunction {
  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    []
  }
  package func pooledWeights(_ patches: PatchFeatures, over gates: Gates?) -> Matrix? { nil }
  package func describe(in report: inout Report) {}
}
