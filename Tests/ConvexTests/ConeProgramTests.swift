import Testing

@testable import Convex

/// Small programs over the orthant and second-order cones with known solutions.
@Suite struct ConeProgramTests {
  private func length(_ v: [Double]) -> Double { v.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// max c · v with ‖v‖ ≤ t ≤ 1 is ‖c‖, and the multiplier of t ≤ 1 is so too.
  @Test func aLinearFunctionOnTheBall() throws {
    var program = ConeProgram(variables: 4)
    program.add([(0, 1)], atMost: 1)
    program.addCone(head: 0, tail: 1..<4)
    let c = [1.0, -2, 2]
    for k in 0..<3 { program.linear[1 + k] = -c[k] }
    let point = try #require(program.solve())
    #expect(abs(program.value(point.x) + 3) < 1e-8 && abs(point.z[0] - 3) < 1e-8)
    for k in 0..<3 { #expect(abs(point.x[1 + k] - c[k] / 3) < 1e-7) }
  }

  /// The projection on the orthant.
  @Test func aQuadraticFunctionOnTheOrthant() throws {
    var program = ConeProgram(variables: 3)
    let target = [-1.0, 2, 0.5]
    program.quadratic = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    for k in 0..<3 {
      program.linear[k] = -target[k]
      program.add([(k, -1)], atMost: 0)
    }
    let point = try #require(program.solve())
    for k in 0..<3 { #expect(abs(point.x[k] - max(0, target[k])) < 1e-7) }
    #expect(abs(point.z[0] - 1) < 1e-7)
  }

  /// min ½ ‖v − a‖² + β ‖v‖ shrinks a by β; with β above ‖a‖ it is 0.
  @Test(arguments: [0.5, 2.0, 6.0]) func shrinkage(_ beta: Double) throws {
    var program = ConeProgram(variables: 3)
    let a = [3.0, -4]
    program.quadratic = [0, 0, 0, 0, 1, 0, 0, 0, 1]
    program.linear = [beta, -a[0], -a[1]]
    program.addCone(head: 0, tail: 1..<3)
    let point = try #require(program.solve())
    let factor = max(0, 1 - beta / length(a))
    for k in 0..<2 { #expect(abs(point.x[1 + k] - factor * a[k]) < 1e-5) }
  }
}
