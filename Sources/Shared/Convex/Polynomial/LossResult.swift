import LinearAlgebra

/// The best primal and the best dual point so far, of any loss: its classes may touch.
struct LossResult {
  var blocks: [ConeBlocks]
  var primal: Double
  /// Σ (z₄ + z₄').
  var regularizer = 0.0
  /// ν (n × C), feasible, and its largest constraint.
  var dual: Matrix
  var constraint: Double
  var dualValue: Double

  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// Takes feasible blocks where their objective is less than what is there.
  mutating func offer(
    _ candidate: [ConeBlocks], _ value: (primal: Double, regularizer: Double)
  ) {
    guard value.primal < primal else { return }
    (primal, regularizer) = value
    blocks = candidate.map { Matrix(copying: $0) }
  }

  /// Takes the best multiple of `direction` that is feasible where it is better than what is there.
  mutating func offer(
    _ direction: Matrix, _ constraint: Double, _ targets: Matrix, _ loss: any Loss, beta: Double
  ) {
    guard constraint.isFinite else { return }
    let bound = constraint > 0 ? beta / constraint : .greatestFiniteMagnitude
    let factor = loss.scaling(direction, targets, bound: bound)
    let scaled = Matrix(copying: direction)
    scale(scaled.count, factor, scaled.base)
    let value = loss.dualValue(scaled, targets)
    guard value > dualValue else { return }
    (dual, dualValue, self.constraint) = (scaled, value, abs(factor) * constraint)
  }
}

/// Says what points of a program with any loss are worth.
final class LossJudge {
  private let program: PolynomialProgram
  private let products: FeatureProducts
  private let loss: any Loss
  private let targets: Matrix
  private let judges: [Judge]
  private let packed: Matrix
  private let predictions: Matrix

  init(_ program: PolynomialProgram, _ products: FeatureProducts, loss: any Loss, targets: Matrix) {
    self.program = program
    self.products = products
    self.loss = loss
    self.targets = targets
    judges = (0..<min(Threads.count, targets.columns)).map { _ in Judge(program) }
    packed = Matrix(targets.columns, program.map.count)
    predictions = Matrix(targets.rows, targets.columns)
  }

  /// The largest constraint of the classes' packed dual matrices (C × Q).
  func constraint(_ matrices: Matrix) -> Double {
    var largest = [Double](repeating: 0, count: matrices.rows)
    largest.withUnsafeMutableBufferPointer { largest in
      nonisolated(unsafe) let largest = largest
      Threads.perform(judges.count) { worker in
        for c in stride(from: worker, to: matrices.rows, by: self.judges.count) {
          largest[c] = self.judges[worker].constraint(raw: matrices.row(c))
        }
      }
    }
    return largest.max() ?? 0
  }

  /// Makes blocks feasible; their objective and Σ (z₄ + z₄').
  func makeFeasible(_ blocks: [ConeBlocks], beta: Double) -> (primal: Double, regularizer: Double) {
    Threads.perform(judges.count) { worker in
      for c in stride(from: worker, to: blocks.count, by: self.judges.count) {
        self.judges[worker].makeFeasible(blocks[c])
      }
    }
    return objective(blocks, beta: beta)
  }

  /// The objective of feasible blocks and Σ (z₄ + z₄').
  func objective(_ blocks: [ConeBlocks], beta: Double) -> (primal: Double, regularizer: Double) {
    var regularizer = 0.0
    let corner = program.order * program.order - 1
    for (c, block) in blocks.enumerated() {
      program.packDifference(block, into: packed.row(c))
      for b in 0..<block.rows { regularizer += block[b, corner] }
    }
    products.predictions(packed, into: predictions)
    return (loss.value(predictions, targets) + beta * regularizer, regularizer)
  }

  /// The neurons that blocks stand for.
  func rank(_ blocks: [ConeBlocks]) -> Int { blocks.reduce(0) { $0 + judges[0].rank($1) } }

  /// The largest eigenvalue of a block.
  func largestEigenvalue(_ block: ConeBlocks) -> Double { judges[0].largestEigenvalue(block) }
}
