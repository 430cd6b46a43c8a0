import Glibc

/// The reader that the environment variable READER names.
private let reader: Reader = {
  guard let name = getenv("READER"), let reader = Reader(rawValue: String(cString: name)) else {
    fatalError("READER must be one of \(Reader.allCases.map(\.rawValue))")
  }
  return reader
}()

/// What libFuzzer calls with each input. 0 keeps the input for the corpus if it reached new code.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  reader.accepts(UnsafeRawBufferPointer(start: bytes, count: count))
  return 0
}
