import Glibc
import LinearAlgebra

extension ConeNewton {
  /// Finds the first ν; false if the numbers fail.
  func begin() -> Bool {
    guard
      let first = maximize(
        blocks, eta, from: current.nu, tolerance: 1e-3 * norm(n, current.nu))
    else { return false }
    current = first
    return true
  }

  /// f(η).
  private func objective(_ at: Evaluation, _ eta: [Double]) -> Double {
    -at.value + 0.5 * beta * beta * eta.reduce(0, +)
  }

  /// One step in η; `violators` (rows of pricing with their norms, the largest first) may enter. False if no step
  /// lowers f.
  func advance(
    violators: [(row: Int, norm: Double)], gap: Double
  ) -> Bool {
    iterations += 1
    mergeParallel()
    let (candidates, images) = gather(violators)
    let total = candidates.blocks.count
    guard total > 0, factor(current, blocks, eta) else { return false }
    triangularSolveRows(n, sum.factor, images.base, count: total)
    let hessian = Matrix(total, total)
    syrkRowsUpper(total, n, images.base, hessian.base)
    hessian.mirrorUpper()

    let norms = candidates.norms
    var step = [Double](repeating: 0, count: total)
    let lower = candidates.eta.map { -$0 }
    for isSecular in [true, false] {
      let right = norms.map {
        isSecular ? $0 * $0 * ($0 / beta - 1) : 0.5 * ($0 * $0 - beta * beta)
      }
      quadratic.minimize(total, hessian.base, right, lower: lower, into: &step)
      var decrease = 0.0
      for j in 0..<total { decrease += 0.5 * (norms[j] * norms[j] - beta * beta) * step[j] }
      guard decrease > 0 else { continue }
      if search(candidates, step, decrease, attempts: isSecular ? 3 : 20, gap: gap) { return true }
    }
    return false
  }

  /// Blocks that a step may change.
  private struct Candidates {
    var blocks: [ConeBlock]
    var norms: [Double]
    var eta: [Double]
  }

  /// The working blocks and the violators that may enter, with their images U, a row each.
  private func gather(_ violators: [(row: Int, norm: Double)]) -> (Candidates, Matrix) {
    var all = Candidates(blocks: blocks, norms: current.norms, eta: eta)
    let inside = Set(blocks)
    let limit = max(10, blocks.count / 2)
    var unit: [[Double]] = blocks.indices.map { self.unit(current.images.row($0)) }
    let points = Matrix(1, d)
    let image = Matrix(1, n)
    let entering = Matrix(limit, n)
    var count = 0
    for violator in violators where count < limit {
      let block = ConePricing.block(violator.row)
      guard !inside.contains(block) else { continue }
      let value = pricing.project([violator.row], into: points)[0]
      pricing.images(of: points, [block], into: image)
      let direction = self.unit(image.base)
      // A block with the same direction as one that has entered already adds nothing.
      if unit.contains(where: { dot(n, $0, direction) > 1 - 1e-8 }) { continue }
      unit.append(direction)
      entering.row(count).update(from: image.base, count: n)
      all.blocks.append(block)
      all.norms.append(value)
      all.eta.append(0)
      count += 1
    }
    let images = Matrix(all.blocks.count, n)
    images.base.update(from: current.images.base, count: blocks.count * n)
    if count > 0 { images.row(blocks.count).update(from: entering.base, count: count * n) }
    return (all, images)
  }

  /// Takes the longest of some steps along `step` that lowers f by as much as `decrease` promises; false if none does.
  private func search(
    _ candidates: Candidates, _ step: [Double], _ decrease: Double, attempts: Int, gap: Double
  ) -> Bool {
    let before = candidates.eta
    let value = objective(current, eta)
    let largest = before.max() ?? 0
    let size = norm(n, current.nu)
    let tolerance = max(1e-13 * norm(n, y), min(1e-3 * size, 1e-3 * gap * size))
    var t = 1.0
    for _ in 0..<attempts where proceed() {
      var moved = before.indices.map { max(0, before[$0] + t * step[$0]) }
      for j in before.indices {
        if t == 1, step[j] <= -before[j] * (1 - 1e-12) { moved[j] = 0 }
        moved[j] = min(moved[j], 20 * max(before[j], 0.1 * largest))
      }
      let kept = before.indices.filter { moved[$0] > 0 }
      let (blocks, eta) = (kept.map { candidates.blocks[$0] }, kept.map { moved[$0] })
      if let next = maximize(blocks, eta, from: current.nu, tolerance: tolerance) {
        let here = objective(next, eta)
        if here <= value - 1e-4 * t * decrease || abs(here - value) < 1e-11 * abs(value) {
          (self.blocks, self.eta, current) = (blocks, eta, next)
          return true
        }
      }
      t *= 0.3
    }
    return false
  }

  private func unit(_ image: UnsafePointer<Double>) -> [Double] {
    let length = max(norm(n, image), 1e-300)
    return (0..<n).map { image[$0] / length }
  }

  /// Neurons of neighbouring cones that lie on a common face are one neuron: their η add up.
  private func mergeParallel() {
    guard blocks.count > 1 else { return }
    let units = Matrix(blocks.count, n)
    var lengths: [Double] = []
    for j in blocks.indices {
      let length = max(norm(n, current.images.row(j)), 1e-300)
      lengths.append(length)
      for i in 0..<n { units[j, i] = current.images[j, i] / length }
    }
    let cosines = Matrix(blocks.count, blocks.count)
    syrkRowsUpper(blocks.count, n, units.base, cosines.base)
    var gone = Set<Int>()
    for a in blocks.indices where !gone.contains(a) {
      for b in blocks.indices where b > a && !gone.contains(b) && cosines[a, b] > 1 - 1e-12 {
        if abs(lengths[b] / lengths[a] - 1) < 1e-6 {
          eta[a] += eta[b]
          gone.insert(b)
        }
      }
    }
    guard !gone.isEmpty else { return }
    let kept = blocks.indices.filter { !gone.contains($0) }
    let cut = Evaluation(n, d, kept.count)
    (cut.nu, cut.value, cut.gradient, cut.outputs) = (
      current.nu, current.value, current.gradient, current.outputs
    )
    for (k, j) in kept.enumerated() {
      cut.points.row(k).update(from: current.points.row(j), count: d)
      cut.images.row(k).update(from: current.images.row(j), count: n)
    }
    cut.norms = kept.map { current.norms[$0] }
    cut.supports = kept.map { current.supports[$0] }
    blocks = kept.map { blocks[$0] }
    eta = kept.map { eta[$0] }
    current = cut
  }
}
