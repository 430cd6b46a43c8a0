/// A simplicial cone of a proof and what is known in it, in one block of memory: the r rays, a row each, of length 1; P at
/// each ray, and the sums there of the settled rows, positive and negative; the point where the parent's bound was
/// attained, in coordinates of the rays; then the values at the rays of the rows that change sign in the cone (mixed
/// rows), in columns, first of those with a positive weight.
struct ProofCone {
  typealias Numbers = UnsafeMutablePointer<Double>

  let memory: Numbers
  let rank: Int
  /// Which of several proofs it belongs to.
  let proof: Int
  /// How many rows of positive and of negative weight change sign.
  let ups: Int
  let downs: Int
  /// No value in the cone exceeds it.
  var bound: Double

  init(rank: Int, proof: Int, ups: Int, downs: Int, bound: Double) {
    (self.rank, self.proof, self.ups, self.downs) = (rank, proof, ups, downs)
    self.bound = bound
    memory = .allocate(capacity: ProofCone.size(rank, ups, downs))
  }

  private static func size(_ rank: Int, _ ups: Int, _ downs: Int) -> Int {
    rank * (rank + 4 + RowLoops.padded(ups) + RowLoops.padded(downs))
  }

  func deallocate() { memory.deallocate() }

  var bytes: Int { 8 * ProofCone.size(rank, ups, downs) }
  /// What judging it costs, relative to one with few rows.
  var cost: Int { 1 + (ups + downs) / 64 }

  func ray(_ k: Int) -> Numbers { memory + k * rank }
  /// P at the rays.
  var p: Numbers { memory + rank * rank }
  /// The settled rows' sums at the rays.
  var upper: Numbers { p + rank }
  var lower: Numbers { upper + rank }
  /// The parent's point.
  var c: Numbers { lower + rank }
  /// The columns of mixed rows and their lengths.
  var upColumns: Numbers { c + rank }
  var upLength: Int { RowLoops.padded(ups) }
  var downColumns: Numbers { upColumns + rank * upLength }
  var downLength: Int { RowLoops.padded(downs) }
}
