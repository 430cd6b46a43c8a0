import Glibc

/// Asks for large pages behind a big allocation: to fill it then costs a five-hundredth of the page faults. If the
/// system has none, nothing changes.
package func adviseLargePages(_ base: UnsafeMutableRawPointer, _ count: Int) {
  let page = 2 << 20
  guard count >= 2 * page else { return }
  let start = (Int(bitPattern: base) + page - 1) / page * page
  let end = (Int(bitPattern: base) + count) / page * page
  madvise(UnsafeMutableRawPointer(bitPattern: start), end - start, Int32(MADV_HUGEPAGE))
}
