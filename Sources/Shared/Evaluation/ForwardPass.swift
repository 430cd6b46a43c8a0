import LinearAlgebra

/// The neurons that look at one pooling region.
struct NeuronGroup: Sendable {
  /// m_r × d.
  let filters: Matrix
  /// C × m_r.
  let outputWeight: Matrix
  /// The half-spaces in which the neurons are active, unless the activation decides that.
  let gates: NeuronGates?

  /// The neurons `members` of the whole layers.
  init(_ layers: NetworkLayers, _ members: [Int], gates: NeuronGates? = nil) {
    filters = Matrix(members.count, layers.filters.columns)
    outputWeight = Matrix(layers.outputs, members.count)
    for (j, member) in members.enumerated() {
      filters.row(j).update(from: layers.filters.row(member), count: filters.columns)
      for c in 0..<layers.outputs { outputWeight[c, j] = layers.outputWeight[c, member] }
    }
    self.gates = gates?.selecting(members)
  }
}

/// The network as it is defined, patch by patch: n × C outputs, or `nil` if a patch is not finite. `groups` holds the
/// neurons of each pooling region.
func forwardPass(
  _ patches: PatchFeatures, _ groups: [NeuronGroup], _ activation: any NeuronFunction, outputs: Int
) -> Matrix? {
  let d = patches.dimension
  let result = Matrix(patches.count, outputs)
  let widest = zip(groups, patches.pooling.sizes).map { $0.filters.rows * $1 }.max() ?? 0
  let neurons = groups.map(\.filters.rows).max() ?? 0
  // Blocks of some 4 MB of patches and products.
  let rows = max(1, min(256, (1 << 19) / (patches.patchCount * d + widest)))
  let parts = max(1, min(Threads.count, patches.count / 16))
  var finite = [Bool](repeating: true, count: parts)
  finite.withUnsafeMutableBufferPointer { finite in
    nonisolated(unsafe) let finite = finite
    Threads.perform(parts) { part in
      let reader = patches.reader()
      let x = Matrix(rows * patches.patchCount, d)
      let products = Matrix(rows, widest)
      let masks = groups.indices.map { region in
        Matrix(
          groups[region].gates?.distinct.vectors.rows ?? 0, rows * patches.pooling.sizes[region])
      }
      let pooled = Matrix(rows, neurons)
      let end = patches.count * (part + 1) / parts
      for start in stride(from: patches.count * part / parts, to: end, by: rows) {
        let n = min(rows, end - start)
        guard reader.readRegions(start..<start + n, into: x.base) else {
          finite[part] = false
          return
        }
        for (region, group) in groups.enumerated() where group.filters.rows > 0 {
          let (m, size) = (group.filters.rows, patches.pooling.sizes[region])
          // T = X_r U_rᵀ
          let block = x.row(n * patches.pooling.starts[region])
          gemm(
            n * size, m, d, block, .plain, group.filters.base, .transposed, ldb: d, products.base)
          if let gates = group.gates {
            gates.distinct.masks(block, rows: n * size, into: masks[region])
            clear(products.base, masks[region], gates.index, rows: n * size)
          }
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

/// products_ij ← 0 if row i is not active for the gate of neuron j: mask `index`_j.
private func clear(
  _ products: UnsafeMutablePointer<Double>, _ masks: Matrix, _ index: [Int], rows: Int
) {
  let m = index.count
  index.withUnsafeBufferPointer { index in
    for i in 0..<rows {
      let target = products + i * m
      for j in 0..<m where masks[index[j], i] == 0 { target[j] = 0 }
    }
  }
}

/// The outputs of a network that is linear in sums over the patches of each pattern and region, by `weights` (patterns
/// × R × d rows, a column for each output), or `nil` if a patch is not finite.
func pooledForwardPass(
  _ patches: PatchFeatures, _ active: ActivePatches, _ weights: Matrix, outputs: Int
) -> Matrix? {
  let n = patches.count
  let result = Matrix(n, outputs)
  let row = patches.pooling.sizes.count * patches.dimension
  // Ranges of patterns whose sums over a sample are some 8 MB.
  let size = max(1, (1 << 20) / row)
  let parts = max(1, min(Threads.count, n / 4))
  var finite = [Bool](repeating: true, count: parts)
  finite.withUnsafeMutableBufferPointer { finite in
    nonisolated(unsafe) let finite = finite
    for first in stride(from: 0, to: active.count, by: size) {
      let some = active.selecting(first..<min(active.count, first + size))
      Threads.perform(parts) { part in
        let features = PooledFeatures(patches, some)
        let end = n * (part + 1) / parts
        for start in stride(from: n * part / parts, to: end, by: features.limit) {
          let samples = start..<min(end, start + features.limit)
          guard features.update(samples) else {
            finite[part] = false
            return
          }
          // Ŷ ← Ŷ + F W
          gemm(
            samples.count, outputs, features.width, features.sums.base, .plain,
            weights.row(first * row), .plain, beta: 1, result.row(start))
        }
      }
    }
  }
  return finite.contains(false) ? nil : result
}
