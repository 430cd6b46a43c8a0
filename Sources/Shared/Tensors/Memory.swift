import Glibc

/// The bytes of this machine's memory.
package let machineMemory =
  Double(sysconf(Int32(_SC_PHYS_PAGES))) * Double(sysconf(Int32(_SC_PAGESIZE)))

/// How many bytes this process may still have: no more than the machine's, and no more than `ulimit -v` leaves of its
/// address space. Memory that other processes hold does not count.
package var memoryLimit: Double {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
    Double(limit.rlim_cur) < machineMemory
  else { return machineMemory }
  return max(0, Double(limit.rlim_cur) - addressSpace)
}

/// How many bytes of address space this process has now; 0 if the system does not say.
private var addressSpace: Double {
  let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return 0 }
  defer { close(descriptor) }
  let digits = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { buffer in
    let count = max(0, read(descriptor, buffer.baseAddress, buffer.count))
    return String(decoding: buffer.prefix(count).prefix { $0 != 0x20 }, as: UTF8.self)
  }
  return Double(Int(digits) ?? 0) * Double(sysconf(Int32(_SC_PAGESIZE)))
}

/// Throws `Failure.data` if `bytes`, which `what` needs, are more than this process may have.
package func expectMemory(_ bytes: Double, for what: @autoclosure () -> String) throws {
  let limit = memoryLimit
  guard bytes <= limit else {
    // GB for a machine's memory; a limit may be less than one GB.
    let (unit, name) = limit < 2e9 ? (1e6, "MB") : (1e9, "GB")
    func text(_ bytes: Double) -> String {
      "\(Int(clamping: Int64(exactly: (bytes / unit).rounded(.up)) ?? .max))"
    }
    throw Failure.data(
      "\(what()) would need about \(text(bytes)) \(name) of memory, and there are \(text(limit))")
  }
}
