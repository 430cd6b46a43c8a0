import Glibc
import LinearAlgebra
import Tensors

/// A precision that a kernel's factor can have.
protocol KernelScalar: BinaryFloatingPoint {
  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Self>, _ opA: Operation, lda: Int,
    _ b: UnsafePointer<Self>, _ opB: Operation, ldb: Int, _ c: UnsafeMutablePointer<Self>, ldc: Int)
  static func factor(_ n: Int, _ a: UnsafeMutablePointer<Self>, lda: Int) -> Bool
  static func solve(
    _ n: Int, _ factor: UnsafePointer<Self>, lda: Int, _ b: UnsafeMutablePointer<Self>, count: Int)
  static func solveTriangle(
    _ n: Int, _ factor: UnsafePointer<Self>, lda: Int, _ b: UnsafeMutablePointer<Self>, count: Int)
}

extension Double: KernelScalar {
  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Double>, _ opA: Operation, lda: Int,
    _ b: UnsafePointer<Double>, _ opB: Operation, ldb: Int, _ c: UnsafeMutablePointer<Double>,
    ldc: Int
  ) {
    gemm(m, n, k, a, opA, lda: lda, b, opB, ldb: ldb, c, ldc: ldc)
  }

  static func factor(_ n: Int, _ a: UnsafeMutablePointer<Double>, lda: Int) -> Bool {
    choleskyLower(n, a, lda: lda)
  }

  static func solve(
    _ n: Int, _ factor: UnsafePointer<Double>, lda: Int, _ b: UnsafeMutablePointer<Double>,
    count: Int
  ) {
    choleskySolve(n, factor, lda: lda, b, count: count)
  }

  static func solveTriangle(
    _ n: Int, _ factor: UnsafePointer<Double>, lda: Int, _ b: UnsafeMutablePointer<Double>,
    count: Int
  ) {
    triangularSolveRows(n, factor, lda: lda, b, count: count)
  }
}

extension Float: KernelScalar {
  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ opA: Operation, lda: Int,
    _ b: UnsafePointer<Float>, _ opB: Operation, ldb: Int, _ c: UnsafeMutablePointer<Float>,
    ldc: Int
  ) {
    gemm(m, n, k, a, opA, lda: lda, b, opB, ldb: ldb, c, ldc: ldc)
  }

  static func factor(_ n: Int, _ a: UnsafeMutablePointer<Float>, lda: Int) -> Bool {
    choleskyLower(n, a, lda: lda)
  }

  static func solve(
    _ n: Int, _ factor: UnsafePointer<Float>, lda: Int, _ b: UnsafeMutablePointer<Float>, count: Int
  ) {
    choleskySolve(n, factor, lda: lda, b, count: count)
  }

  static func solveTriangle(
    _ n: Int, _ factor: UnsafePointer<Float>, lda: Int, _ b: UnsafeMutablePointer<Float>, count: Int
  ) {
    triangularSolveRows(n, factor, lda: lda, b, count: count)
  }
}

/// Memory for scalars of either precision, zero at first.
final class Storage<Scalar> {
  let base: UnsafeMutablePointer<Scalar>
  let count: Int

  init(_ count: Int) {
    let size = max(1, count) * MemoryLayout<Scalar>.stride
    guard let memory = calloc(size, 1) else { fatalError("no memory for \(size) bytes") }
    adviseLargePages(memory, size)
    base = memory.bindMemory(to: Scalar.self, capacity: max(1, count))
    self.count = count
  }

  deinit { free(base) }
}
