import Tensors

extension Tensor {
  /// The rows of the last dimension, each replaced by what `body` makes of it, which has `width` numbers; F64.
  package func mappingRows(width: Int, _ body: ([Double]) -> [Double]) -> Tensor {
    let (old, all) = (shape.last!, doubles)
    var values: [Double] = []
    values.reserveCapacity(old == 0 ? 0 : all.count / old * width)
    for start in stride(from: 0, to: all.count, by: max(1, old)) {
      values += body(Array(all[start..<start + old]))
    }
    return Tensor(values, shape: shape.dropLast() + [width])
  }
}
