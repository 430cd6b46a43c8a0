import LinearAlgebra

/// ‖w‖₂: the group lasso's (Yuan & Lin 2006).
package final class GroupNorm: Regularizer {
  package let size: Int
  package let isSeparable: Bool

  package init(size: Int, isSeparable: Bool) {
    self.size = size
    self.isSeparable = isSeparable
  }

  package func value(_ w: UnsafePointer<Double>) -> Double { norm(size, w) }
  package func dualNorm(_ t: UnsafePointer<Double>) -> Double { norm(size, t) }
  package func neurons(_ w: UnsafePointer<Double>) -> Int { norm(size, w) > 0 ? 1 : 0 }
  package func copy() -> any Regularizer { self }

  package func prox(
    _ s: UnsafePointer<Double>, threshold: Double, into z: UnsafeMutablePointer<Double>
  ) -> (value: Double, neurons: Int) {
    let length = norm(size, s)
    let share = length > threshold ? 1 - threshold / length : 0
    for k in 0..<size { z[k] = share * s[k] }
    return (share * length, share > 0 ? 1 : 0)
  }
}
