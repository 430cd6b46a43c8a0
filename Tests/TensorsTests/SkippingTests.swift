import Foundation
import Schema
import Tensors
import Testing

/// A bundle of two tensors, of which the first is passed over; from a file and through a pipe.
@Test(arguments: [0, 1, 7]) func skippingATensorFindsTheNext(missing: Int) throws {
  let path = NSTemporaryDirectory() + "skip-\(UUID().uuidString)"
  let pipe = path + ".pipe"
  defer {
    unlink(path)
    unlink(pipe)
  }
  let bundle = Tensors.Bundle(
    kind: .dataset,
    tensors: ["a": Tensor((0..<300_000).map { Double($0) }), "b": Tensor([1.0, 2])])
  let output = try Output(path: path)
  try bundle.write(to: output)
  try output.finish()
  let data = try Data(contentsOf: URL(fileURLWithPath: path)).dropLast(missing)
  try data.write(to: URL(fileURLWithPath: path))
  #expect(mkfifo(pipe, 0o600) == 0)
  let feeder = Thread { try? data.write(to: URL(fileURLWithPath: pipe)) }
  feeder.start()
  for source in [path, pipe] {
    let reader = try BundleReader(Input(path: source))
    try reader.skipTensor()
    #expect(reader.next?.name == "b")
    if missing == 0 {
      #expect(try reader.readTensor().doubles == [1, 2])
      try reader.finish()
    } else if source == path {
      let failure = #expect(throws: Failure.self) { try reader.skipTensor() }
      #expect(failure?.message.contains("\(16 - missing) of 16 bytes") == true)
    } else {
      #expect(throws: Failure.self) { try reader.skipTensor() }
    }
  }
}
