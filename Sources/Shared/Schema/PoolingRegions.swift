import Tensors

/// How the K patches of a sample fall into R pooling regions, over each of which features are averaged.
package struct PoolingRegions: Sendable {
  /// P_r, the patches of each region.
  package let sizes: [Int]
  /// The place at which each region begins if the patches come region by region; R + 1 numbers.
  package let starts: [Int]
  /// The numbers of the K patches in that order, those of a region ascending.
  package let order: [Int]

  /// Reads `pool`, I32 [K], the region of each of `patches` patches; without it there is one region. Throws
  /// `Failure.data` unless each region from 0 on has a patch.
  package init(_ bundle: Bundle, patches: Int) throws {
    let pool = try bundle.optional(.pool)
    guard pool == nil || pool!.count == patches else {
      throw Failure.data(
        "tensor \"pool\" of \(bundle.name) is \(pool!.summary), expected I32 [\(patches)], one region a patch"
      )
    }
    let region = pool?.doubles.map { Int($0) } ?? Array(repeating: 0, count: patches)
    if let bad = region.first(where: { $0 < 0 || $0 >= patches }) {
      throw Failure.data(
        "tensor \"pool\" of \(bundle.name) holds \(bad), expected regions from 0 to at most \(patches - 1)"
      )
    }
    var sizes = [Int](repeating: 0, count: (region.max() ?? 0) + 1)
    for r in region { sizes[r] += 1 }
    if let empty = sizes.firstIndex(of: 0) {
      throw Failure.data("tensor \"pool\" of \(bundle.name) has no patch in region \(empty)")
    }
    self.sizes = sizes
    starts = sizes.reduce(into: [0]) { $0.append($0.last! + $1) }
    order = region.indices.sorted { (region[$0], $0) < (region[$1], $1) }
  }
}
