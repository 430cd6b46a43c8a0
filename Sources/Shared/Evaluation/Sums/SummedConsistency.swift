import Glibc
import LinearAlgebra
import Schema
import Tensors

/// What all sums over samples fulfil, whatever the samples are. Sums that do not are no data: a program made of them may
/// have no least value, so that nothing could be proved about it.
extension JudgedSums {
  /// The largest Q for which FᵀF is factored. For more features only its entries are looked at.
  private static let largestFactor = 4096

  /// Throws `Failure.data` unless FᵀF can be a product of a matrix with its transpose: no entry is larger than the diagonal
  /// allows, and (for up to 4,096 features) no eigenvalue is below 0, but for what rounding explains.
  func expectProduct() throws {
    let (q, unit) = (sums.order, sums.roundingUnit)
    let triangle = SymmetricTriangle(sums.gram, order: q)
    let lengths = (0..<q).map { triangle.diagonal($0).squareRoot() }
    let workers = max(1, min(Threads.count, q / 64))
    // The entry that each thread found, counted from 1.
    let found = Matrix(workers, 2)
    Threads.perform(workers) { worker in
      let row = Matrix(1, q)
      for i in stride(from: worker, to: q, by: workers) {
        triangle.copyRow(i, into: row.base)
        for j in i..<q where !(abs(row.base[j - i]) <= (1 + unit) * lengths[i] * lengths[j]) {
          (found[worker, 0], found[worker, 1]) = (Double(i + 1), Double(j + 1))
        }
      }
    }
    for worker in 0..<workers where found[worker, 0] > 0 {
      throw Failure.data(
        "tensor \"gram\" of \(name) holds no sums over samples: entry (\(Int(found[worker, 0]) - 1), "
          + "\(Int(found[worker, 1]) - 1)) is larger than its diagonal allows")
    }
    guard q <= JudgedSums.largestFactor else { return }
    let factor = triangle.full()
    for i in 0..<q {
      for j in 0..<q {
        factor[i, j] =
          i == j
          ? 1 + unit * Double(q)
          : lengths[i] * lengths[j] > 0
            ? factor[i, j] / lengths[i] / lengths[j] : 0
      }
    }
    guard choleskyLower(q, factor.base) else {
      throw Failure.data(
        "tensor \"gram\" of \(name) holds no sums over samples: it has an eigenvalue below 0")
    }
  }
}

extension StatisticsTensors {
  /// By how much of ‖x_i‖ ‖x_j‖ a product x_iᵀx_j may be rounded, summed in blocks and then block by block (Higham
  /// 2002, section 3.1).
  var roundingUnit: Double {
    Double(StatisticsTensors.blockRows + blocks) * (gram.type == .f32 ? 0x1p-24 : 0x1p-53)
  }
}
