/// The Cholesky factor of a symmetric matrix, with a small multiple of its diagonal added where that is needed.
struct DenseFactor {
  private let count: Int
  private let matrix: [Double]
  private var lower: [Double]

  init?(_ matrix: [Double], _ count: Int) {
    (self.matrix, self.count) = (matrix, count)
    lower = []
    for ridge in [0, 1e-15, 1e-13, 1e-11] {
      if let factor = DenseFactor.factor(matrix, count, ridge) {
        lower = factor
        return
      }
    }
    return nil
  }

  private static func factor(_ matrix: [Double], _ n: Int, _ ridge: Double) -> [Double]? {
    var l = matrix
    return l.withUnsafeMutableBufferPointer { l -> Bool in
      for j in 0..<n {
        var d = l[j * n + j] * (1 + ridge)
        for k in 0..<j { d -= l[j * n + k] * l[j * n + k] }
        guard d > 0, d.isFinite else { return false }
        let root = d.squareRoot()
        l[j * n + j] = root
        for i in j + 1..<max(j + 1, n) {
          var sum = l[i * n + j]
          for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
          l[i * n + j] = sum / root
        }
      }
      return true
    } ? l : nil
  }

  private func substitute(_ right: [Double]) -> [Double] {
    var x = right
    let n = count
    for i in 0..<n {
      for k in 0..<i { x[i] -= lower[i * n + k] * x[k] }
      x[i] /= lower[i * n + i]
    }
    for i in (0..<n).reversed() {
      for k in i + 1..<max(i + 1, n) { x[i] -= lower[k * n + i] * x[k] }
      x[i] /= lower[i * n + i]
    }
    return x
  }

  /// With one step of refinement.
  func solve(_ right: [Double]) -> [Double] {
    var x = substitute(right)
    let rest = (0..<count).map { i in
      var sum = right[i]
      for k in 0..<count { sum -= matrix[i * count + k] * x[k] }
      return sum
    }
    let more = substitute(rest)
    for i in x.indices { x[i] += more[i] }
    return x
  }
}
