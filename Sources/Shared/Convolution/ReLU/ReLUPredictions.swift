import Convex
import LinearAlgebra
import Patches

extension ArrangementSolution {
  /// ŷ (n × C) of a convolutional ReLU network on the patches of `source`:
  /// Σ_i Σ_r (1/P_r) Σ_{k in r} (x_k·v_icr)₊ − (x_k·w_icr)₊.
  package func pooledReLUPredictions(on source: PatchSource) -> Matrix {
    let (outputs, d, regions) = (positive.count, source.dimension, source.regions)
    let result = Matrix(source.count, outputs)
    // The weights of each region, a row each, with the output and the sign.
    var banks: [(weights: Matrix, owners: [(output: Int, sign: Double)])] = []
    for r in 0..<regions {
      var rows: [UnsafeMutablePointer<Double>] = []
      var owners: [(Int, Double)] = []
      for c in 0..<outputs {
        for (sign, matrix) in [(1.0, positive[c]), (-1.0, negative[c])] {
          for a in index.indices {
            let row = matrix.row(a) + r * d
            guard norm(d, row) > 0 else { continue }
            rows.append(row)
            owners.append((c, sign))
          }
        }
      }
      let bank = Matrix(rows.count, d)
      for (k, row) in rows.enumerated() { bank.row(k).update(from: row, count: d) }
      banks.append((bank, owners))
    }
    let most = banks.map(\.weights.rows).max() ?? 0
    guard most > 0 else { return result }
    let patches = source.patchCount
    let size = max(1, 512 / patches)
    let blocks = (source.count + size - 1) / size
    let workers = max(1, min(Threads.count, blocks))
    Threads.perform(workers) { worker in
      let reader = source.reader()
      let block = Matrix(size * patches, d)
      let products = Matrix(source.regionSizes.max() ?? 0, most)
      for number in stride(from: worker, to: blocks, by: workers) {
        let range = number * size..<min(source.count, (number + 1) * size)
        reader.read(range, into: block.base)
        for (place, sample) in range.enumerated() {
          for r in 0..<regions {
            let (bank, owners) = banks[r]
            let count = source.regionSizes[r]
            gemm(
              count, bank.rows, d, block.row(place * patches + source.regionStarts[r]), .plain,
              bank.base, .transposed, products.base)
            for (k, owner) in owners.enumerated() {
              var sum = 0.0
              for p in 0..<count { sum += max(0, products.base[p * bank.rows + k]) }
              result[sample, owner.output] += owner.sign / Double(count) * sum
            }
          }
        }
      }
    }
    return result
  }
}
