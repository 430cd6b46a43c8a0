import Convex
import LinearAlgebra
import Tensors

/// Sums over samples with features F (n × Q) and targets Y (n × C), to which blocks of rows are added.
protocol SampleSums: AnyObject {
  /// How many workers may add at once.
  var workers: Int { get }

  /// Adds `count` rows of Q features and of C targets; each worker has a thread of its own.
  func add(
    _ count: Int, _ features: UnsafePointer<Double>, targets: UnsafePointer<Double>, worker: Int)

  /// How many blocks were added.
  var blocks: Int { get }

  /// FᵀF (less the centre) as a triangle, FᵀY as C × Q, and Fᵀ1 (less n times the centre); they are used up.
  func total() -> (gram: SymmetricTriangle, right: Matrix, sums: Matrix)

  /// Whether all features so far were finite numbers, as Fᵀ1 shows.
  var isFinite: Bool { get }
}

/// Sums in double precision.
final class PlainSums: SampleSums {
  let workers: Int
  private let sums: FeatureSums
  private let ones: Matrix
  private var counts: [Int]

  var blocks: Int { counts.reduce(0, +) }
  var isFinite: Bool { sums.isFinite }

  init(order: Int, outputs: Int, workers: Int, blockRows: Int) {
    self.workers = workers
    sums = FeatureSums(order: order, outputs: outputs, workers: workers)
    ones = Matrix(1, blockRows)
    ones.fill(1)
    counts = Array(repeating: 0, count: workers)
  }

  func add(
    _ count: Int, _ features: UnsafePointer<Double>, targets: UnsafePointer<Double>, worker: Int
  ) {
    sums.add(count, features, targets: targets, worker: worker, counting: ones.base)
    counts.withUnsafeMutableBufferPointer { $0[worker] += 1 }
  }

  func total() -> (gram: SymmetricTriangle, right: Matrix, sums: Matrix) {
    let (gram, right) = sums.total()
    return (SymmetricTriangle(upperOf: gram), right, sums.featureSums)
  }
}

/// FᵀF in single precision, of features less a centre that is near their mean: it is by far their largest direction.
final class CentredSums: SampleSums {
  let workers = 1
  private let centre: Matrix
  private let rows: SingleMatrix
  private let gram: SingleMatrix
  private let (right, sums): (Matrix, Matrix)
  private let row: Matrix
  private(set) var blocks = 0

  var isFinite: Bool { sums.isFinite }

  /// `centre` has Q numbers.
  init(centre: Matrix, outputs: Int, blockRows: Int) {
    self.centre = centre
    let q = centre.columns
    rows = SingleMatrix(blockRows, q)
    gram = SingleMatrix(q, q)
    (right, sums, row) = (Matrix(outputs, q), Matrix(1, q), Matrix(1, q))
  }

  func add(
    _ count: Int, _ features: UnsafePointer<Double>, targets: UnsafePointer<Double>, worker: Int
  ) {
    let (q, outputs) = (centre.columns, right.rows)
    for i in 0..<count {
      let (source, target) = (features + i * q, rows.row(i))
      for j in 0..<q {
        row.base[j] = source[j] - centre.base[j]
        target[j] = Float(row.base[j])
      }
      axpy(q, 1, row.base, sums.base)
    }
    syrkUpper(q, count, rows.base, beta: 1, gram.base)
    gemm(outputs, q, count, targets, .transposed, features, .plain, beta: 1, right.base)
    blocks += 1
  }

  func total() -> (gram: SymmetricTriangle, right: Matrix, sums: Matrix) {
    (SymmetricTriangle(upperOf: gram), right, sums)
  }
}
