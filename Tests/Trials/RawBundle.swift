import Tensors

/// A bundle that nothing holds to the format: keys may repeat, sizes may be wrong.
struct RawBundle {
  struct RawTensor {
    var name: String
    var type: String
    var shape: [Int]
    var bytes: [UInt8]

    var element: ElementType? { ElementType(rawValue: type) }
    /// Elements that the shape has; 0 if they are too many to count, as an earlier mutation may have made them.
    var count: Int {
      var count = 1
      for length in shape {
        let (product, isTooLarge) = count.multipliedReportingOverflow(by: length)
        if isTooLarge { return 0 }
        count = product
      }
      return count
    }
  }

  var metadata: [(key: String, value: String)]
  var tensors: [RawTensor]

  var kind: String? { metadata.first { $0.key == "kind" }?.value }

  init(reading path: String) throws {
    let bundle = try Bundle(reading: Input(path: path))
    metadata = bundle.metadata.sorted { $0.key < $1.key }
    tensors = bundle.tensors.sorted { $0.key < $1.key }.map { name, tensor in
      RawTensor(
        name: name, type: tensor.type.rawValue, shape: tensor.shape,
        bytes: tensor.bytes.withBytes { Array($0) })
    }
  }

  /// The bundle's bytes, and where its data start.
  var encoded: (bytes: [UInt8], dataStart: Int) {
    let pairs = metadata.map { "\(quoted($0.key)):\(quoted($0.value))" }
    var members = ["\"__metadata__\":{\(pairs.joined(separator: ","))}"]
    var position = 0
    for tensor in tensors {
      let end = position + tensor.bytes.count
      members.append(
        "\(quoted(tensor.name)):{\"dtype\":\(quoted(tensor.type)),"
          + "\"shape\":[\(tensor.shape.map(String.init).joined(separator: ","))],"
          + "\"data_offsets\":[\(position),\(end)]}")
      position = end
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    return (length + header + tensors.flatMap(\.bytes), 8 + header.count)
  }
}
