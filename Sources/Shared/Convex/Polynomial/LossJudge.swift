import LinearAlgebra

/// Feasible blocks of all classes, and Σ (z₄ + z₄').
struct FeasibleBlocks {
  var blocks: [ConeBlocks]
  var regularizer = 0.0
}

/// The best points of a polynomial program with any loss, which may couple the classes; targets n × C.
typealias PolynomialIncumbent = Incumbent<FeasibleBlocks>

/// Evaluates the points of a program with any loss.
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

  /// Makes blocks feasible and offers them; returns their objective.
  @discardableResult
  func offer(_ blocks: [ConeBlocks], to best: PolynomialIncumbent) -> Double {
    Threads.perform(judges.count) { worker in
      for c in stride(from: worker, to: blocks.count, by: self.judges.count) {
        self.judges[worker].makeFeasible(blocks[c])
      }
    }
    let (primal, regularizer) = objective(blocks, beta: best.beta)
    best.offer(primal: primal, predictions: predictions) {
      $0 = FeasibleBlocks(
        blocks: blocks.map { Matrix(copying: $0) }, regularizer: regularizer)
    }
    return primal
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

  /// The number of neurons in the blocks.
  func rank(_ blocks: [ConeBlocks]) -> Int { blocks.reduce(0) { $0 + judges[0].rank($1) } }

  /// The largest eigenvalue of a block.
  func largestEigenvalue(_ block: ConeBlocks) -> Double { judges[0].largestEigenvalue(block) }
}
