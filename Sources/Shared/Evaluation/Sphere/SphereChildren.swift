/// A new ray m = f r_a + g r_b of length 1 on the edge between two rays.
struct SphereMiddle {
  var a: Int
  var b: Int
  var f: Double
  var g: Double
}

/// A child while it is written.
private struct SphereChild {
  typealias Numbers = UnsafeMutablePointer<Double>
  var numbers: Numbers
  /// The ray whose place m takes.
  var replaced: Int
  var kept: UnsafeMutablePointer<Int32>
  var settled: UnsafeMutablePointer<Int32>
  var keptCount = 0
  var settledCount = 0
}

extension SphereLane {
  /// A row counts as settled if its products of one sign are below this, relative to those of the other. Bounds are
  /// valid whatever it is: P keeps a settled row's positive parts at the rays, and N is at least a row's linear
  /// function and at least zero.
  private static let settledShare = 1e-13

  /// How much of each ray the point of a child's first tangent has, to be inside.
  static let share = 0.02

  /// Writes both children of a cone; m is in the scratch. The far one, without b, goes behind the parent and is written
  /// first, then the near one, without a, over the parent.
  func writeChildren(_ parent: SphereCone, _ middle: SphereMiddle) {
    let (r, numbers) = (layout.rank, memory + parent.start)
    let size = layout.size(positives: parent.positives, negatives: parent.negatives)
    var near = SphereChild(
      numbers: numbers, replaced: middle.a, kept: scratch.kept, settled: scratch.settled)
    var far = SphereChild(
      numbers: numbers + size, replaced: middle.b, kept: scratch.otherKept,
      settled: scratch.otherSettled)
    far.numbers.update(from: numbers, count: layout.guess)
    let columns = numbers + layout.rows
    let negatives = columns + r &* SphereKernel.padded(parent.positives)
    let mixed = sieve(columns, parent.positives, middle, &near, &far)
    writeRays(near, far, middle, mixed)
    writeGuesses(near, far, middle)
    settlePositives(columns, parent.positives, far)
    settlePositives(columns, parent.positives, near)
    let farEnd = gather(columns, parent.positives, far, into: far.numbers + layout.rows)
    let nearEnd = gather(columns, parent.positives, near, into: near.numbers + layout.rows)
    var nearCone = SphereCone(
      start: parent.start, positives: near.keptCount, negatives: 0, depth: parent.depth + 1,
      bound: parent.bound)
    var farCone = nearCone
    (farCone.start, farCone.positives) = (parent.start + size, far.keptCount)
    _ = sieve(negatives, parent.negatives, middle, &near, &far)
    settleNegatives(negatives, parent.negatives, far)
    settleNegatives(negatives, parent.negatives, near)
    _ = gather(negatives, parent.negatives, far, into: farEnd)
    _ = gather(negatives, parent.negatives, near, into: nearEnd)
    (nearCone.negatives, farCone.negatives) = (near.keptCount, far.keptCount)
    push(nearCone)
    push(farCone)
  }

  /// The numbers of ray m in the children. `mixed` is the part of P that is not linear on the parent.
  private func writeRays(
    _ near: SphereChild, _ far: SphereChild, _ middle: SphereMiddle, _ mixed: Double
  ) {
    let numbers = near.numbers
    let (positive, negative) = (numbers + layout.positiveLinear, numbers + layout.negativeLinear)
    let positiveLinear = middle.f * positive[middle.a] + middle.g * positive[middle.b]
    let negativeLinear = middle.f * negative[middle.a] + middle.g * negative[middle.b]
    write(near)
    write(far)
    func write(_ child: SphereChild) {
      let k = child.replaced
      (child.numbers + layout.rays + k &* layout.rank).update(from: scratch.ray, count: layout.rank)
      child.numbers[layout.values + k] = positiveLinear + mixed
      child.numbers[layout.positiveLinear + k] = positiveLinear
      child.numbers[layout.negativeLinear + k] = negativeLinear
    }
  }

  /// The bundle's point in terms of the children's rays. It is in one of them; the other takes what it can.
  private func writeGuesses(_ near: SphereChild, _ far: SphereChild, _ middle: SphereMiddle) {
    let (r, c) = (layout.rank, bundle.c)
    var sum = 0.0
    for k in 0..<r { sum += max(0, c[k]) }
    let scale = sum > 0 && sum.isFinite ? 1 / sum : 0
    let (a, b) = (max(0, c[middle.a]) * scale, max(0, c[middle.b]) * scale)
    let m = min(a / middle.f, b / middle.g)
    let (nearGuess, farGuess) = (near.numbers + layout.guess, far.numbers + layout.guess)
    for k in 0..<r {
      let value = Self.share + max(0, c[k]) * scale
      nearGuess[k] = value
      farGuess[k] = value
    }
    nearGuess[middle.a] = Self.share + m
    nearGuess[middle.b] = Self.share + max(0, b - middle.g * m)
    farGuess[middle.b] = Self.share + m
    farGuess[middle.a] = Self.share + max(0, a - middle.f * m)
  }

  /// The products with m, into the scratch, and which rows are mixed in each child. Returns the sum of the positive
  /// parts of the products.
  private func sieve(
    _ columns: Numbers, _ count: Int, _ middle: SphereMiddle, _ near: inout SphereChild,
    _ far: inout SphereChild
  ) -> Double {
    let (r, length, scratch) = (layout.rank, SphereKernel.padded(count), scratch)
    let (first, second) = (columns + middle.a &* length, columns + middle.b &* length)
    let sum = SphereKernel.mix(
      middle.f, first, middle.g, second, length: length, into: scratch.middle)
    var shared = 0
    for k in 0..<r where k != middle.a && k != middle.b {
      scratch.columns[shared] = columns + k &* length
      shared &+= 1
    }
    scratch.columns[shared] = scratch.middle
    let (least, largest) = (scratch.least, scratch.largest)
    SphereKernel.extremes(
      scratch.columns, shared &+ 1, length: length, least: least, largest: largest)
    near.keptCount = Self.sift(second, least, largest, count, near.kept, near.settled)
    far.keptCount = Self.sift(first, least, largest, count, far.kept, far.settled)
    near.settledCount = count &- near.keptCount
    far.settledCount = count &- far.keptCount
    return sum
  }

  /// Lists the rows that are mixed, given one column and the extremes of the others. Returns how many.
  private static func sift(
    _ column: Numbers, _ least: Numbers, _ largest: Numbers, _ count: Int,
    _ kept: UnsafeMutablePointer<Int32>,
    _ settled: UnsafeMutablePointer<Int32>
  ) -> Int {
    var mixed = 0
    for i in 0..<count {
      let low = min(least[i], column[i])
      let high = max(largest[i], column[i])
      let row = Int32(truncatingIfNeeded: i)
      kept[mixed] = row
      settled[i &- mixed] = row
      mixed &+= low < -settledShare * high && high > -settledShare * low ? 1 : 0
    }
    return mixed
  }

  /// The columns of the products of a child's mixed rows. Returns their end.
  private func gather(_ columns: Numbers, _ count: Int, _ child: SphereChild, into target: Numbers)
    -> Numbers
  {
    let length = SphereKernel.padded(count)
    let next = SphereKernel.padded(child.keptCount)
    for k in 0..<layout.rank {
      let source = k == child.replaced ? scratch.middle : columns + k &* length
      SphereKernel.gather(
        source, child.kept, child.keptCount, length: next, into: target + k &* next)
    }
    return target + layout.rank &* next
  }

  /// Adds the rows that have become settled to P's values at the rays of a child: a convex function is at most that.
  private func settlePositives(_ columns: Numbers, _ count: Int, _ child: SphereChild) {
    guard child.settledCount > 0 else { return }
    let length = SphereKernel.padded(count)
    let linear = child.numbers + layout.positiveLinear
    for k in 0..<layout.rank {
      let column = k == child.replaced ? scratch.middle : columns + k &* length
      var sum = 0.0
      for j in 0..<child.settledCount { sum += max(0, column[Int(child.settled[j])]) }
      linear[k] += sum
    }
  }

  /// Adds the rows that have become settled to the linear part of N in a child: their linear functions where these are
  /// positive, else zero. N is at least either.
  private func settleNegatives(_ columns: Numbers, _ count: Int, _ child: SphereChild) {
    let length = SphereKernel.padded(count)
    let linear = child.numbers + layout.negativeLinear
    for j in 0..<child.settledCount {
      let row = Int(child.settled[j])
      let part = child.replaced == 0 ? scratch.middle : columns
      // All its products have one sign but for tiny ones.
      var sum = part[row]
      for k in 1..<max(1, layout.rank) {
        sum += (k == child.replaced ? scratch.middle : columns + k &* length)[row]
      }
      guard sum > 0 else { continue }
      for k in 0..<layout.rank {
        linear[k] += (k == child.replaced ? scratch.middle : columns + k &* length)[row]
      }
    }
  }
}
