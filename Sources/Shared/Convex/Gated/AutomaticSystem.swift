import LinearAlgebra
import Tensors

/// The forms of the linear systems of η.
package enum GatedForm: String, CaseIterable, Sendable {
  /// Chosen by size.
  case automatic
  /// n × n, the kernel of the samples.
  case kernel
  /// A d × A d, the weights of the active patterns.
  case primal
  /// Conjugate gradients.
  case conjugateGradients = "conjugate-gradients"
}

/// Chooses at each η the form that suits n, d and the number of active members.
final class AutomaticSystem: EtaSystem {
  private let products: PatternProducts
  private let form: GatedForm
  private let kernelLimit: Int
  private lazy var kernel = KernelSystem(products, interruption: interruption)
  private lazy var primal = PrimalSystem(products, interruption: interruption)
  private let interruption: Interruption
  private lazy var iterative = NystromSystem(products, interruption: interruption)
  private var current: (any EtaSystem)?
  private var hasGivenUpIterating = false

  /// The largest orders whose factorisations take seconds.
  static let largestKernel = 15_000
  static let largestPrimal = 8_000
  /// The number of members that a step may involve, however few are active.
  private static let usualStep = 10
  /// The largest kernel that is factored if conjugate gradients make no progress.
  static let largestFallback = 30_000

  /// Beyond `kernelLimit` samples the kernel is not factored unless conjugate gradients have failed.
  init(
    _ products: PatternProducts, form: GatedForm,
    kernelLimit: Int = largestKernel, interruption: Interruption = Interruption()
  ) {
    self.products = products
    self.interruption = interruption
    self.form = form
    self.kernelLimit = kernelLimit
  }

  /// The form for `count` active members.
  private func choice(_ count: Int) -> any EtaSystem {
    let (n, order) = (products.samples, max(count, AutomaticSystem.usualStep) * products.dimension)
    switch form {
    case .kernel: return kernel
    case .primal: return primal
    case .conjugateGradients: return iterative
    case .automatic:
      // The Gram matrix of the weights has to be made, also for members that a step adds; the kernel's exists already.
      if order <= min(5 * n / 8, AutomaticSystem.largestPrimal) { return primal }
      let isKernel = n <= kernelLimit || hasGivenUpIterating
      return isKernel ? kernel : iterative
    }
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    // Some forms take time to set up.
    guard !interruption.isOutOfTime else { return false }
    let system = choice(active.count)
    current = system
    return system.factor(active, eta)
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) { current?.solve(nu) }

  func solve(rows nu: Matrix) { current?.solve(rows: nu) }

  func improve(_ nu: Matrix, toward right: Matrix, error: Double) {
    current?.improve(nu, toward: right, error: error)
  }

  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>
  ) {
    current?.hessian(working, directions: t, images: u, into: h)
  }

  func hessian(
    _ working: [Int], directions: [Matrix], images: [Matrix],
    into h: UnsafeMutablePointer<Double>, scratch: UnsafeMutablePointer<Double>
  ) {
    current?.hessian(working, directions: directions, images: images, into: h, scratch: scratch)
  }

  func increasePrecision() -> Bool {
    guard let current else { return false }
    if form == .automatic, current.isIterative,
      products.samples <= AutomaticSystem.largestFallback
    {
      hasGivenUpIterating = true
      return true
    }
    return current.increasePrecision()
  }

  var isIterative: Bool { current?.isIterative ?? false }
}
