import Glibc

/// Bytes of this machine's memory.
package let machineMemory =
  Double(sysconf(Int32(_SC_PHYS_PAGES))) * Double(sysconf(Int32(_SC_PAGESIZE)))

/// Throws `Failure.data` where `bytes` are more than this machine's memory; `what` needs them.
package func expectMemory(_ bytes: Double, for what: @autoclosure () -> String) throws {
  guard bytes <= machineMemory else {
    func gigabytes(_ bytes: Double) -> Int {
      Int(clamping: Int64(exactly: (bytes / 1e9).rounded(.up)) ?? .max)
    }
    throw Failure.data(
      "\(what()) would need about \(gigabytes(bytes)) GB of memory, and there are \(gigabytes(machineMemory))"
    )
  }
}
