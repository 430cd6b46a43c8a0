import LinearAlgebra
import Schema

/// What certifies the points of a search for squared loss: the samples, or sums over them.
protocol PolynomialWitness {
  /// A dual point, feasible beyond what the search promised, and its value: ν (n × C), or its coefficients U (Q × C) of
  /// ν = Y − F U.
  func certifiedDual(
    _ results: [ClassResult], beta: Double, _ effort: CertificateEffort, judge: Judge
  ) -> (dual: Matrix, value: Double)

  /// ŷ (n × C, without rows if there are no samples) and ½‖ŷ − y‖².
  func evaluated(_ blocks: [ConeBlocks], judge: Judge) -> (predictions: Matrix, loss: Double)
}

/// The samples themselves, which are read once for each product.
struct SampleWitness: PolynomialWitness {
  let program: PolynomialProgram
  let model: PolynomialModel
  /// n × C.
  let targets: Matrix

  func evaluated(_ blocks: [ConeBlocks], judge: Judge) -> (predictions: Matrix, loss: Double) {
    let predictions = model.predictions(blocks, on: model.data)
    return (predictions, SquaredLoss().value(predictions, targets))
  }

  /// ν (n × C), feasible on the data themselves, and its value.
  ///
  /// Starts with η = G⁻¹(R − γ) and ν = y − F η; then ν += F G⁻¹(γ − Fᵀν), until the constraints exceed β by rounding
  /// at most, or the corrections of `effort` are used up; the rest is scaled away.
  func certifiedDual(
    _ results: [ClassResult], beta: Double, _ effort: CertificateEffort, judge: Judge
  ) -> (dual: Matrix, value: Double) {
    let map = program.map
    let gram = program.gram
    let n = gram.order
    let classes = program.classes
    let change = Matrix(classes, n)
    for c in 0..<classes {
      for i in 0..<n { change[c, i] = gram.correlations[c, i] - results[c].gamma.base[i] }
    }
    gram.solve(change.base, count: classes)
    let dual = Matrix(copying: targets)
    subtract(predictions(parameters: change, sign: -1), from: dual)
    var largest = [Double](repeating: .infinity, count: classes)
    for attempt in 0...effort.corrections {
      let vectors = model.dualVectors(dual)
      for c in 0..<classes { largest[c] = judge.constraint(raw: vectors.row(c)) }
      if attempt == effort.corrections || largest.allSatisfy({ $0 <= beta * (1 + 1e-9) }) { break }
      map.whiten.applyInParallel(classes * map.regions, vectors.base)
      for c in 0..<classes {
        gram.basis.project(vectors.row(c), into: change.row(c))
        for i in 0..<n { change[c, i] = results[c].gamma.base[i] - change[c, i] }
      }
      gram.solve(change.base, count: classes)
      subtract(predictions(parameters: change, sign: 1), from: dual)
    }
    var value = 0.0
    for c in 0..<classes {
      var square = 0.0
      for i in 0..<dual.rows { square += dual[i, c] * dual[i, c] }
      // Another program may compute Σ ν Φ in another order: leave room for the rounding of such a sum.
      let unit = max(1e-14, 0x1p-52 * Double(dual.rows).squareRoot())
      let bound = largest[c] + unit * (square * map.meanSquare).squareRoot()
      let factor = bound > beta ? beta / bound : 1
      for i in 0..<dual.rows {
        dual[i, c] *= factor
        value += dual[i, c] * (targets[i, c] - 0.5 * dual[i, c])
      }
    }
    return (dual, value)
  }

  private func subtract(_ x: Matrix, from y: Matrix) { axpy(y.count, -1, x.base, y.base) }

  /// sign · −F η for whitened parameters η (C × r), the part subtracted from ν.
  private func predictions(parameters eta: Matrix, sign: Double) -> Matrix {
    let map = program.map
    let packed = Matrix(program.classes, map.count)
    for c in 0..<program.classes { program.gram.basis.expand(eta.row(c), into: packed.row(c)) }
    map.unwhitenVariable.applyInParallel(program.classes * map.regions, packed.base)
    scale(packed.count, -sign, packed.base)
    return model.predictions(packed: packed)
  }
}
