import CBLAS
import Glibc

/// The choice of OpenBLAS's kernels.
///
/// OpenBLAS before 0.3.26 does not know recent processors and falls back to its Haswell kernels there,
/// although the wider AVX-512 ones run: half the speed. Its documented remedy is the environment
/// variable OPENBLAS_CORETYPE, which it reads while it is loaded; so we set the variable and have it
/// choose once more, before any of its routines ran. A user's own choice stays.
enum Kernels {
  static func choose() {
    guard getenv("OPENBLAS_CORETYPE") == nil, String(cString: openblas_get_corename()) == "Haswell",
      hasAVX512(),
      // Not part of the C interface, but of the library's symbols: without them all stays as it is.
      let quit = dlsym(nil, "gotoblas_dynamic_quit"),
      let start = dlsym(nil, "gotoblas_dynamic_init")
    else { return }
    typealias Function = @convention(c) () -> Void
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 1)
    unsafeBitCast(quit, to: Function.self)()
    unsafeBitCast(start, to: Function.self)()
    unsetenv("OPENBLAS_CORETYPE")
  }

  /// Whether the first processor's flags name all that the SkylakeX kernels use.
  private static func hasAVX512() -> Bool {
    let descriptor = open("/proc/cpuinfo", O_RDONLY)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 8192)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return false }
    let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
    guard let flags = lines.first(where: { $0.hasPrefix("flags") })?.split(separator: " ") else {
      return false
    }
    return ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"].allSatisfy {
      flags.contains(Substring($0))
    }
  }
}
