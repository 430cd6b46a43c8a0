/// If a product x · g is nearer to its threshold than this, relative to ‖x‖ ‖g‖ + |t|, rounding decides on which side
/// it is.
@inlinable package var tieWidth: Double { 1e-12 }

/// x · g for a comparison with a threshold t: the rounded product `value`, unless it is so near to t that rounding
/// would decide, differently from one blocking of a product of matrices to another. It is then summed as in twice the
/// precision. `scale` is ‖x‖ ‖g‖ + |t|.
@inline(__always)
package func comparableProduct(
  _ value: Double, to threshold: Double, scale: Double, _ n: Int, _ x: UnsafePointer<Double>,
  _ g: UnsafePointer<Double>
) -> Double {
  guard abs(value - threshold) <= tieWidth * scale else { return value }
  return accurateDot(n, x, g)
}

/// x · y as if summed in twice the precision and rounded once.
package func accurateDot(
  _ n: Int, _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>
) -> Double {
  var sum = CompensatedSum()
  for k in 0..<n { sum.add(x[k], times: y[k]) }
  return sum.value
}

/// Σ_i a_i (x · w_i)₊ of the neurons `hidden` (w, m × d) with the output weights `output` (a), for a comparison with 0 where
/// rounding would decide: each product and the sum as in twice the precision. `products` are the rounded x · w_i, `stride`
/// apart: those that are negative beyond rounding need not be summed again. `lengths` are ‖w_i‖, and `length` is ‖x‖.
package func accurateOutput(
  _ m: Int, _ d: Int, _ x: UnsafePointer<Double>, length: Double,
  hidden: UnsafePointer<Double>, lengths: UnsafePointer<Double>, output: UnsafePointer<Double>,
  products: UnsafePointer<Double>, stride: Int
) -> Double {
  var sum = CompensatedSum()
  for i in 0..<m
  where output[i] != 0 && !(products[i * stride] < -tieWidth * length * lengths[i]) {
    let product = accurateDot(d, x, hidden + i * d)
    if product > 0 { sum.add(output[i], times: product) }
  }
  return sum.value
}
