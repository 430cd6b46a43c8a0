import LinearAlgebra

/// Sums over samples, as they stand in the program's Gram matrix: ν = y − F u with u = G⁻¹(R − γ) has Fᵀν = γ, and the
/// value ½yᵀy − ½uᵀGu.
struct SumWitness: PolynomialWitness {
  let program: PolynomialProgram

  func evaluated(_ blocks: [ConeBlocks], judge: Judge) -> (predictions: Matrix, loss: Double) {
    let loss = blocks.indices.reduce(0) { $0 + judge.objective($1, blocks[$1], beta: 0) }
    return (Matrix(0, blocks.count), loss)
  }

  /// Starts with u = G⁻¹(R − γ); then u −= G⁻¹(γ − Fᵀν) until the constraints exceed β by rounding at most, or the
  /// corrections of `effort` are used up. The rest is left to the certificate, which scales it away.
  func certifiedDual(
    _ results: [ClassResult], beta: Double, _ effort: CertificateEffort, judge: Judge
  ) -> (dual: Matrix, value: Double) {
    let (gram, classes) = (program.gram, program.classes)
    let n = gram.order
    let coefficients = Matrix(program.map.count, classes)
    let room = Matrix(4, n)
    let (u, image, sums, change) = (room.row(0), room.row(1), room.row(2), room.row(3))
    let packed = Matrix(1, program.map.count)
    var value = 0.0
    for c in 0..<classes {
      let (right, gamma) = (gram.correlations.row(c), results[c].gamma.base)
      for i in 0..<n { u[i] = right[i] - gamma[i] }
      gram.solve(u)
      var largest = 0.0
      for attempt in 0...effort.corrections {
        // Fᵀν = R − G u
        gram.multiply(u, into: image)
        for i in 0..<n { sums[i] = right[i] - image[i] }
        largest = judge.constraint(sums)
        if attempt == effort.corrections || largest <= beta * (1 + 1e-9) { break }
        for i in 0..<n { change[i] = gamma[i] - sums[i] }
        gram.solve(change)
        axpy(n, -1, change, u)
      }
      let square = gram.squares[c]
      let (fit, curvature) = (dot(n, u, right), dot(n, u, image))
      let factor = largest > beta ? beta / largest : 1
      // s νᵀy − ½ s² ‖ν‖²
      value += factor * (square - fit) - 0.5 * factor * factor * (square - 2 * fit + curvature)
      gram.basis.expand(u, into: packed.base)
      for i in 0..<program.map.count { coefficients[i, c] = packed.base[i] }
    }
    return (coefficients, value)
  }
}
