extension SphereLane {
  /// Vertex `index` of a regular simplex with its r + 1 vertices on the unit sphere: their products are -1/r.
  private func writeVertex(_ index: Int, into ray: Numbers) {
    let r = layout.rank
    // Coordinate k is what is left of the length of vertex k, and the same negative share of it for all later ones.
    var left = 1.0
    for k in 0..<r {
      if index < k {
        ray[k] = 0
      } else if index == k {
        ray[k] = left.squareRoot()
      } else {
        let share = -left.squareRoot() / Double(r - k)
        ray[k] = share
        left -= share * share
      }
      if index == k { left = 0 }
    }
  }

  /// Pushes one of the r + 1 cones of the simplex's vertices but one, which cover the space. False if there is no room.
  func pushRoot(without omitted: Int, bound: Double) -> Bool {
    let r = layout.rank
    let positives = problem.kinks.count { $0.weight > 0 }
    let negatives = problem.kinks.count - positives
    let size = layout.size(positives: positives, negatives: negatives)
    guard openCount == 0, reserve(size) else { return false }
    memory.update(repeating: 0, count: size)
    let (length, otherLength) = (SphereKernel.padded(positives), SphereKernel.padded(negatives))
    for k in 0..<r {
      let ray = memory + layout.rays + k * r
      writeVertex(k < omitted ? k : k + 1, into: ray)
      let column = memory + layout.rows + k * length
      let otherColumn = memory + layout.rows + r * length + k * otherLength
      var (place, otherPlace) = (0, 0)
      for kink in problem.kinks {
        let product = kink.weight * SphereKernel.dot(problem.rows.normals + kink.plane * r, ray, r)
        if kink.weight > 0 {
          column[place] = product
          place += 1
        } else {
          otherColumn[otherPlace] = -product
          otherPlace += 1
        }
      }
      // What merging made linear counts as a settled part of P.
      let linear = (0..<r).reduce(0) { $0 + problem.linear[$1] * ray[$1] }
      memory[layout.positiveLinear + k] = linear
      memory[layout.values + k] = linear + (0..<positives).reduce(0) { $0 + max(0, column[$1]) }
      memory[layout.guess + k] = 1
    }
    push(SphereCone(start: 0, positives: positives, negatives: negatives, depth: 0, bound: bound))
    return true
  }
}
