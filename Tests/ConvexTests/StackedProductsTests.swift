import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Products of several outputs at once, against those of one output after the other.
@Suite struct StackedProductsTests {
  @Test(arguments: [(5, 3, 12, 2), (1300, 6, 30, 3), (700, 9, 400, 4)])
  func productsAreThoseOfEachOutput(n: Int, d: Int, count: Int, outputs: Int) {
    var source = RandomSource(seed: 9)
    let products = self.products(n, d, count, &source)
    let list = (0..<products.count).filter { $0 % 5 != 2 }.reversed().map { $0 }
    let nu = source.matrix(outputs, n)
    let eta = (0..<products.count).map { _ in source.uniform() }
    func matrices(_ columns: Int) -> [Matrix] {
      (0..<outputs).map { _ in Matrix(list.count, columns) }
    }
    let (t, u, expectedT, expectedU) = (matrices(d), matrices(n), matrices(d), matrices(n))
    let (sum, expectedSum) = (Matrix(outputs, n), Matrix(outputs, n))
    sum.fill(1)
    expectedSum.fill(1)
    products.stacked.correlations(nu, list, into: t)
    products.stacked.images(t, list, into: u, eta: eta, addingTo: sum)
    for c in 0..<outputs {
      products.correlations(nu.row(c), list, into: expectedT[c])
      products.images(expectedT[c], list, into: expectedU[c])
      for (row, i) in list.enumerated() {
        axpy(n, eta[i], expectedU[c].row(row), expectedSum.row(c))
      }
      #expect(distance(t[c], expectedT[c]) <= 1e-10 * norm(t[c].count, t[c].base))
      #expect(distance(u[c], expectedU[c]) <= 1e-10 * norm(u[c].count, u[c].base))
    }
    #expect(distance(sum, expectedSum) < 1e-10 * norm(sum.count, sum.base))
  }

  @Test(arguments: [0, 0.4, 0.9, 1])
  func normsAreThoseOfTheDefinition(zeros: Double) {
    var source = RandomSource(seed: 10)
    for (n, d, count) in [(6, 3, 5), (1100, 5, 290)] {
      let products = self.products(n, d, count, &source)
      let list = (0..<products.count).filter { $0 % 7 != 2 }
      let nu = source.matrix(3, n)
      for k in 0..<nu.count where source.uniform() < zeros { nu.base[k] = 0 }
      let norms = products.norms(nu, list)
      var squares = [Double](repeating: 0, count: list.count)
      let t = Matrix(list.count, d)
      for c in 0..<3 {
        products.correlations(nu.row(c), list, into: t)
        for k in list.indices { squares[k] += dot(d, t.row(k), t.row(k)) }
      }
      for k in list.indices {
        #expect(abs(norms[k] - squares[k].squareRoot()) <= 1e-11 * Double(n))
      }
    }
  }

  private func products(
    _ n: Int, _ d: Int, _ count: Int, _ source: inout RandomSource
  ) -> PatternProducts {
    let stride = Patterns.stride(n)
    let bytes = (0..<count * stride).map { _ in UInt8(source.uniform() * 256) }
    let patterns = Patterns(Tensor(bytes, shape: [count, stride]), rows: n)
    return PatternProducts(
      source.matrix(n, d), patterns, members: (0..<count).filter { $0 % 4 != 3 })
  }

  private func distance(_ a: Matrix, _ b: Matrix) -> Double {
    (0..<a.count).reduce(0) { max($0, abs(a.base[$1] - b.base[$1])) }
  }
}
