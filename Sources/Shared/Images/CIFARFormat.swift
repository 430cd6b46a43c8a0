/// The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features
/// from tiny images", 2009): records without any header, a byte or two of labels and 32 × 32 pixels,
/// the red plane, then the green one, then the blue one.
package enum CIFARFormat: String, CaseIterable, Sendable {
  case cifar10 = "cifar-10"
  /// The 100 fine classes of CIFAR-100.
  case cifar100 = "cifar-100"
  /// The 20 coarse classes of CIFAR-100.
  case cifar100Coarse = "cifar-100-coarse"

  static let shape = ImageShape(channels: 3, height: 32, width: 32)

  /// The number of classes that each of a record's label bytes can name, in their order.
  package var labelCounts: [Int] { self == .cifar10 ? [10] : [20, 100] }

  /// The label byte that is the class.
  package var labelByte: Int { self == .cifar100 ? 1 : 0 }

  /// Bytes of a record.
  package var recordSize: Int { labelCounts.count + CIFARFormat.shape.count }

  /// The directory that the official archive unpacks to.
  var directory: String { self == .cifar10 ? "cifar-10-batches-bin" : "cifar-100-binary" }

  /// The files of a split, in their order.
  func files(_ split: Split) -> [String] {
    switch (self, split) {
    case (.cifar10, .train): (1...5).map { "data_batch_\($0).bin" }
    case (.cifar10, .test): ["test_batch.bin"]
    case (_, .train): ["train.bin"]
    case (_, .test): ["test.bin"]
    }
  }
}

/// The part of a data set: for training, or for the test.
package enum Split: String, CaseIterable, Sendable {
  case train, test
}
