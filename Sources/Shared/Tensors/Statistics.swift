/// Properties of a tensor's elements, which `tensor show` prints.
package struct Statistics {
  /// The smallest and the largest finite element as text that reads back exactly; `nil` if there is none.
  package private(set) var minimum: String?
  package private(set) var maximum: String?
  /// The mean of the finite elements; `nil` if there is none.
  package private(set) var mean: Double?
  /// How many elements are NaN or infinite.
  package private(set) var nonFinite = 0

  package init(of tensor: Tensor) {
    var low = Double.infinity
    var high = -Double.infinity
    var sum = 0.0
    Statistics.forEachBlock(of: tensor) { block in
      for value in block {
        // Only NaN and the infinities differ from 0 after they are subtracted from themselves.
        if value - value != 0 {
          nonFinite += 1
        } else {
          low = Swift.min(low, value)
          high = Swift.max(high, value)
          sum += value
        }
      }
    }
    let finite = tensor.count - nonFinite
    guard finite > 0 else { return }
    if !sum.isFinite {
      // The sum overflowed; the mean cannot.
      sum = 0
      Statistics.forEachBlock(of: tensor) { block in
        for value in block where value - value == 0 { sum += value / Double(finite) }
      }
      mean = Swift.min(Swift.max(sum, low), high)
    } else {
      mean = Swift.min(Swift.max(sum / Double(finite), low), high)
    }
    switch tensor.type {
    // Doubles cannot hold all values of these types.
    case .i64: (minimum, maximum) = Statistics.range(of: tensor, Int64.self)
    case .u64: (minimum, maximum) = Statistics.range(of: tensor, UInt64.self)
    case let type where !type.isFloatingPoint:
      (minimum, maximum) = ("\(Int(low))", "\(Int(high))")
    // The shortest text that the type itself reads back.
    case .f16: (minimum, maximum) = ("\(Float16(low))", "\(Float16(high))")
    case .f32, .bf16: (minimum, maximum) = ("\(Float(low))", "\(Float(high))")
    default: (minimum, maximum) = ("\(low)", "\(high)")
    }
  }

  private static func range<T: Element & FixedWidthInteger>(
    of tensor: Tensor, _: T.Type
  ) -> (String, String) {
    tensor.withElements(of: T.self) { ("\($0.min()!)", "\($0.max()!)") }
  }

  private static func forEachBlock(
    of tensor: Tensor, _ body: (UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 4096) { block in
      var position = 0
      while position < tensor.count {
        let end = Swift.min(position + block.count, tensor.count)
        tensor.copyDoubles(position..<end, into: block.baseAddress!)
        body(UnsafeMutableBufferPointer(rebasing: block[..<(end - position)]))
        position = end
      }
    }
  }
}
