import Glibc

/// `value` in six digits, as C's `%g` has it.
func sixDigits(_ value: Double) -> String {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { buffer in
    let length = withVaList([value]) { vsnprintf(buffer.baseAddress!, buffer.count, "%g", $0) }
    precondition(length > 0 && length < buffer.count, "%g took \(length) characters")
    return String(cString: buffer.baseAddress!)
  }
}
