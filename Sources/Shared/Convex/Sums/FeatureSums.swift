import LinearAlgebra

/// Sums over samples with features F (n × Q) and targets Y (n × C): FᵀF, FᵀY, Fᵀ1. Rows are added in blocks; each worker
/// has sums of its own, for its own thread.
package final class FeatureSums {
  private let order: Int
  private let outputs: Int
  fileprivate let parts: [Part]

  /// The sums of one worker: the upper triangle of FᵀF, FᵀY as C × Q, and Fᵀ1.
  fileprivate struct Part {
    let gram, right, sums: Matrix
  }

  /// How many workers there should be: as the sums take memory, there are few. If there are many threads, they work
  /// inside BLAS instead.
  package static var workers: Int { Threads.count <= 3 ? Threads.count : 1 }

  /// Zeros, for Q = `order` and C = `outputs`.
  package init(order: Int, outputs: Int, workers: Int) {
    (self.order, self.outputs) = (order, outputs)
    parts = (0..<workers).map { _ in
      Part(gram: Matrix(order, order), right: Matrix(outputs, order), sums: Matrix(1, order))
    }
  }

  /// Adds `count` rows of Q features and of C targets. With `counting` also Fᵀ1.
  package func add(
    _ count: Int, _ features: UnsafePointer<Double>, targets y: UnsafePointer<Double>, worker: Int,
    counting ones: UnsafePointer<Double>? = nil
  ) {
    let part = parts[worker]
    // G ← G + FᵀF, R ← R + YᵀF
    syrkUpper(order, count, features, beta: 1, part.gram.base)
    if outputs == 1 {
      gemv(count, order, features, .transposed, y, beta: 1, part.right.base)
    } else {
      gemm(
        outputs, order, count, y, .transposed, features, .plain, beta: 1, part.right.base)
    }
    if let ones { gemv(count, order, features, .transposed, ones, beta: 1, part.sums.base) }
  }

  /// The upper triangle of FᵀF (Q × Q) and FᵀY as C × Q, which are used up.
  package func total() -> (gram: Matrix, right: Matrix) {
    let first = parts[0]
    for part in parts.dropFirst() {
      for i in 0..<order { axpy(order, 1, part.gram.row(i), first.gram.row(i)) }
      axpy(first.right.count, 1, part.right.base, first.right.base)
      axpy(order, 1, part.sums.base, first.sums.base)
    }
    return (first.gram, first.right)
  }

  /// Fᵀ1, after `total`.
  package var featureSums: Matrix { parts[0].sums }
}

extension FeatureSums {
  /// Whether Fᵀ1 is finite so far, which a number that is not finite makes it not.
  package var isFinite: Bool { parts.allSatisfy { $0.sums.isFinite } }
}
