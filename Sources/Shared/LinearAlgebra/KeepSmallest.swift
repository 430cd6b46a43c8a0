extension Array where Element == Int {
  /// Keeps the `limit` of these numbers whose keys are the smallest, in no particular order; of equal keys those of
  /// smaller numbers. Takes linear time on average (Hoare's selection).
  package mutating func keepSmallest(_ limit: Int, by keys: UnsafePointer<Double>) {
    guard count > limit else { return }
    guard limit > 0 else { return removeAll(keepingCapacity: true) }
    withUnsafeMutableBufferPointer { numbers in
      func isBefore(_ a: Int, _ b: Int) -> Bool { keys[a] == keys[b] ? a < b : keys[a] < keys[b] }
      var (low, high) = (0, numbers.count - 1)
      while low < high {
        let (a, b, c) = (numbers[low], numbers[(low + high) / 2], numbers[high])
        // The median of three.
        let pivot =
          isBefore(a, b)
          ? (isBefore(b, c) ? b : isBefore(a, c) ? c : a)
          : (isBefore(a, c) ? a : isBefore(b, c) ? c : b)
        var (i, j) = (low, high)
        while i <= j {
          while isBefore(numbers[i], pivot) { i += 1 }
          while isBefore(pivot, numbers[j]) { j -= 1 }
          if i <= j {
            numbers.swapAt(i, j)
            i += 1
            j -= 1
          }
        }
        if limit - 1 <= j {
          high = j
        } else if limit - 1 >= i {
          low = i
        } else {
          break
        }
      }
    }
    removeLast(count - limit)
  }
}
