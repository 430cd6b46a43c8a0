import Schema

/// The hidden layer between the products of patches and filters: activation and average pooling, and its
/// derivative.
///
/// Products are patches × m, the K patches of a sample region by region; pooled values are samples × Rm.
struct PooledActivation: Sendable {
  let activation: Activation
  /// m.
  let neurons: Int
  /// P_r.
  let regionSizes: [Int]
  /// The thresholds of gated neurons, m numbers.
  let thresholds: [Float]

  /// h_r ← (1/P_r) Σ_{k in r} σ(t_k). `gates` are the products with the gates of gated neurons.
  func pool(
    _ products: UnsafePointer<Float>, gates: UnsafePointer<Float>?, samples: Int,
    into pooled: UnsafeMutablePointer<Float>
  ) {
    let m = neurons
    var (t, s, h) = (products, gates, pooled)
    for _ in 0..<samples {
      for size in regionSizes {
        for j in 0..<m { h[j] = 0 }
        for _ in 0..<size {
          switch activation {
          // Both values are loaded first: a load under a condition keeps a loop from vector registers.
          case .relu:
            for j in 0..<m {
              let value = t[j]
              h[j] += value > 0 ? value : 0
            }
          case .quantized: preconditionFailure("signs have no gradient")
          case .linear, .circular: for j in 0..<m { h[j] += t[j] }
          case .polynomial(let sigma):
            let (a, b) = (Float(sigma.a), Float(sigma.b))
            for j in 0..<m { h[j] += (a * t[j] + b) * t[j] }
          case .gatedReLU:
            guard let gate = s else { break }
            thresholds.withUnsafeBufferPointer { limit in
              for j in 0..<m {
                let value = t[j]
                h[j] += gate[j] >= limit[j] ? value : 0
              }
            }
            s = gate + m
          }
          t += m
        }
        let scale = 1 / Float(size)
        var constant: Float = 0
        if case .polynomial(let sigma) = activation { constant = Float(sigma.c) }
        if scale != 1 || constant != 0 { for j in 0..<m { h[j] = scale * h[j] + constant } }
        h += m
      }
    }
  }

  /// t_k ← (1/P_r) g_r σ'(t_k) for the derivatives g by the pooled values.
  func differentiate(
    _ products: UnsafeMutablePointer<Float>, gates: UnsafePointer<Float>?, samples: Int,
    by pooled: UnsafeMutablePointer<Float>
  ) {
    let m = neurons
    var (t, s, g) = (products, gates, pooled)
    for _ in 0..<samples {
      for size in regionSizes {
        let scale = 1 / Float(size)
        if scale != 1 { for j in 0..<m { g[j] *= scale } }
        for _ in 0..<size {
          switch activation {
          case .relu:
            for j in 0..<m {
              let slope = g[j]
              t[j] = t[j] > 0 ? slope : 0
            }
          case .quantized: preconditionFailure("signs have no gradient")
          case .linear, .circular: for j in 0..<m { t[j] = g[j] }
          case .polynomial(let sigma):
            let (a, b) = (Float(2 * sigma.a), Float(sigma.b))
            for j in 0..<m { t[j] = (a * t[j] + b) * g[j] }
          case .gatedReLU:
            guard let gate = s else { break }
            thresholds.withUnsafeBufferPointer { limit in
              for j in 0..<m {
                let slope = g[j]
                t[j] = gate[j] >= limit[j] ? slope : 0
              }
            }
            s = gate + m
          }
          t += m
        }
        g += m
      }
    }
  }
}
