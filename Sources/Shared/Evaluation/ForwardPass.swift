import LinearAlgebra

/// The neurons that look at one pooling region.
struct NeuronGroup: Sendable {
  /// m_r × d.
  let filters: Matrix
  /// C × m_r.
  let outputWeight: Matrix
  /// Where the neurons are active, if that is not for their activation to say.
  let gates: Gates?

  /// The neurons `members` of the whole layers.
  init(_ layers: NetworkLayers, _ members: [Int], gates: Gates? = nil) {
    filters = Matrix(members.count, layers.filters.columns)
    outputWeight = Matrix(layers.outputs, members.count)
    for (j, member) in members.enumerated() {
      filters.row(j).update(from: layers.filters.row(member), count: filters.columns)
      for c in 0..<layers.outputs { outputWeight[c, j] = layers.outputWeight[c, member] }
    }
    self.gates = gates?.selecting(members)
  }
}

/// The network as it is defined, patch by patch: n × C outputs, or `nil` where a patch is not finite.
/// `groups` holds the neurons of each pooling region.
func forwardPass(
  _ patches: PatchFeatures, _ groups: [NeuronGroup], _ activation: any Activation, outputs: Int
) -> Matrix? {
  let d = patches.dimension
  let result = Matrix(patches.count, outputs)
  let widest = zip(groups, patches.regionSizes).map { $0.filters.rows * $1 }.max() ?? 0
  let neurons = groups.map(\.filters.rows).max() ?? 0
  // Blocks of some 4 MB of patches and products.
  let rows = max(1, min(256, (1 << 19) / (patches.patchCount * d + widest)))
  let parts = max(1, min(Threads.count, patches.count / 16))
  var finite = [Bool](repeating: true, count: parts)
  finite.withUnsafeMutableBufferPointer { finite in
    nonisolated(unsafe) let finite = finite
    Threads.perform(parts) { part in
      let x = Matrix(rows * patches.patchCount, d)
      let products = Matrix(rows, widest)
      let gateProducts = Matrix(groups.contains { $0.gates != nil } ? rows : 0, widest)
      let pooled = Matrix(rows, neurons)
      let end = patches.count * (part + 1) / parts
      for start in stride(from: patches.count * part / parts, to: end, by: rows) {
        let n = min(rows, end - start)
        guard patches.read(start..<start + n, into: x.base) else {
          finite[part] = false
          return
        }
        for (region, group) in groups.enumerated() where group.filters.rows > 0 {
          let (m, size) = (group.filters.rows, patches.regionSizes[region])
          // T = X_r U_rᵀ
          let block = x.row(n * patches.regionStarts[region])
          gemm(
            n * size, m, d, block, .plain, group.filters.base, .transposed, ldb: d, products.base)
          group.gates?.mask(products.base, block, rows: n * size, room: gateProducts.base)
          for i in 0..<n {
            let sums = pooled.base + i * m
            activation.sum(products.base + i * size * m, patches: size, neurons: m, into: sums)
            scale(m, 1 / Double(size), sums)
          }
          // Ŷ ← Ŷ + pooled A_rᵀ
          gemm(
            n, outputs, m, pooled.base, .plain, group.outputWeight.base, .transposed, ldb: m,
            beta: 1,
            result.row(start))
        }
      }
    }
  }
  return finite.contains(false) ? nil : result
}
