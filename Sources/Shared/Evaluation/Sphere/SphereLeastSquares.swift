/// The least-squares problems of a bundle, for a given support and given active tangents.
extension SphereBundle {
  /// Factors the rays of the support (modified Gram-Schmidt), and the images of the active tangents with them, from one
  /// place on: what is before has not changed. False if the rays are dependent in double precision.
  func factor(from start: Int) -> Bool {
    let r = rank
    for j in start..<max(start, supportCount) {
      let column = basis + j &* r
      let ray = rays + support[j] &* r
      for i in 0..<r { column[i] = ray[i] }
      for l in 0..<j {
        let earlier = basis + l &* r
        let product = SphereKernel.dot(earlier, column, r)
        triangle[l &* r &+ j] = product
        for i in 0..<r { column[i] -= product * earlier[i] }
      }
      let norm = SphereKernel.dot(column, column, r).squareRoot()
      guard norm > 1e-14 else { return false }
      let inverse = 1 / norm
      inverses[j] = inverse
      for i in 0..<r { column[i] *= inverse }
    }
    for a in 0..<activeCount { substitute(active[a], from: start) }
    return true
  }

  /// The image of one tangent: triangle^T y = g on the support.
  func substitute(_ tangent: Int, from start: Int) {
    let g = tangents + tangent &* rank
    let y = images + tangent &* rank
    for i in start..<max(start, supportCount) {
      var value = g[support[i]]
      for l in 0..<i { value -= triangle[l &* rank &+ i] * y[l] }
      y[i] = value * inverses[i]
    }
  }

  /// The weights of the active tangents with sum 1 and the multipliers off the support for which q is shortest, without
  /// regard to signs; c, p = Rc and the mixture's values there.
  func solve() -> Bool {
    let (r, s) = (rank, supportCount)
    guard combineImages() else { return false }
    for k in 0..<r {
      c[k] = 0
      point[k] = 0
      mixture[k] = 0
    }
    var i = s &- 1
    while i >= 0 {
      var value = image[i]
      for l in (i &+ 1)..<max(i &+ 1, s) { value -= triangle[i &* r &+ l] * c[support[l]] }
      value *= inverses[i]
      c[support[i]] = value
      let ray = rays + support[i] &* r
      for l in 0..<r { point[l] += value * ray[l] }
      i &-= 1
    }
    length = SphereKernel.dot(point, point, r).squareRoot()
    for a in 0..<activeCount {
      let g = tangents + active[a] &* r
      let weight = nextWeights[a]
      for k in 0..<r { mixture[k] += weight * g[k] }
    }
    if s < r {
      for k in 0..<r where isOff[k] { nextMultipliers[k] = product(k, point) - mixture[k] }
    }
    return true
  }

  /// The point of least length in the affine hull of the active images, and its weights. A last tangent that depends on
  /// the others is dropped.
  private func combineImages() -> Bool {
    let (r, s) = (rank, supportCount)
    let base = images + active[0] &* r
    for i in 0..<s { image[i] = base[i] }
    nextWeights[0] = 1
    if activeCount == 1 { return true }
    for a in 1..<activeCount {
      let column = differences + a &* r
      let y = images + active[a] &* r
      for i in 0..<s { column[i] = y[i] - base[i] }
      let before = SphereKernel.dot(column, column, s)
      for l in 1..<max(1, a) {
        let earlier = differences + l &* r
        let product = SphereKernel.dot(earlier, column, s)
        upper[l &* capacity &+ a] = product
        for i in 0..<s { column[i] -= product * earlier[i] }
      }
      let square = SphereKernel.dot(column, column, s)
      guard square > 1e-20 * before, before > 0 else {
        guard a == activeCount &- 1, weights[a] == 0 else { return false }
        drop(a)
        break
      }
      let inverse = 1 / square.squareRoot()
      upper[a &* capacity &+ a] = inverse
      for i in 0..<s { column[i] *= inverse }
      right[a] = -SphereKernel.dot(column, image, s)
      for i in 0..<s { image[i] += right[a] * column[i] }
    }
    var a = activeCount &- 1
    while a > 0 {
      var value = right[a]
      for l in (a &+ 1)..<max(a &+ 1, activeCount) {
        value -= upper[a &* capacity &+ l] * nextWeights[l]
      }
      nextWeights[a] = value * upper[a &* capacity &+ a]
      nextWeights[0] -= nextWeights[a]
      a &-= 1
    }
    return true
  }
}
