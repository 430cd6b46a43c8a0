import Glibc
import Tensors

extension CIFARFormat {
  /// The batch files of `paths`, in their order. A directory that holds batches, or the official archive's directory,
  /// stands for the batches of `split` (`nil`: of `train`); files and `-` stand for themselves.
  package func batches(
    in paths: [String], split: Split?, _ listener: Listener
  ) throws -> [String] {
    var batches: [String] = []
    var sawDirectory = false
    for path in paths {
      if path == "-" || !isDirectory(path) {
        batches.append(path)
      } else {
        sawDirectory = true
        batches += try files(of: path, split ?? .train)
      }
    }
    if let split, !sawDirectory {
      listener.warn(
        "--split \(split.rawValue) is for directories: the records are taken as they are")
    }
    return batches
  }

  private func files(of path: String, _ split: Split) throws -> [String] {
    let names = files(split)
    // The directory that has more of the files is the one that is meant; errors name the files it lacks.
    let candidates = [path, joined(path, directory)].map { candidate in
      (candidate, missing: names.filter { access(joined(candidate, $0), F_OK) != 0 })
    }
    let found = candidates[1].missing.count < candidates[0].missing.count ? 1 : 0
    let (directory, missing) = candidates[found]
    guard missing.count < names.count else {
      throw Failure.data(
        "\(path) holds neither \(names[0]) nor \(joined(self.directory, names[0]))")
    }
    guard missing.isEmpty else {
      throw Failure.data("\(directory) lacks \(missing.joined(separator: ", "))")
    }
    return names.map { joined(directory, $0) }
  }

  /// Reads the records of `batches`, one after another, and takes those that `selection` chooses.
  ///
  /// Every record is checked, whether it is taken or not. `index` counts over all batches.
  package func read(
    _ batches: [String], _ selection: Selection, _ listener: Listener
  ) throws -> ImageSet {
    var selector = try Selector(selection, among: classes)
    let taken = ImageBuilder(CIFARFormat.shape)
    let (size, counts) = (recordSize, labelCounts)
    let block = Bytes(uninitialized: 340 * size)
    var number = 0
    for batch in batches {
      if batch != "-" { try listener.found(batch) }
      let input = try Input(path: batch)
      if input.isTerminal {
        throw Failure.usage("expected records on standard input, not a terminal; --help shows how")
      }
      // A wrong size explains more than the labels of misread records would.
      if let bytes = fileSize(batch), bytes % size != 0 { throw wrongSize(batch, bytes) }
      let first = number
      while true {
        let got = try input.readFully(into: block.base, count: block.count)
        let (whole, rest) = got.quotientAndRemainder(dividingBy: size)
        guard rest == 0 else {
          throw wrongSize(input.name, (number - first + whole) * size + rest)
        }
        for i in 0..<whole {
          let record = UnsafeRawPointer(block.base) + i * size
          for (byte, count) in counts.enumerated() {
            let label = Int(record.load(fromByteOffset: byte, as: UInt8.self))
            guard label < count else { throw wrongLabel(label, byte, number - first, input.name) }
          }
          let label = Int(record.load(fromByteOffset: labelByte, as: UInt8.self))
          if let label = selector.take(label) {
            try taken.append(record + counts.count, label: label, index: number)
          }
          number += 1
        }
        if got < block.count { break }
        listener.progress("\(number) records read")
      }
      guard number > first else { throw Failure.data("\(input.name) is empty, expected records") }
    }
    return taken.finish(classes: selector.classes, keeping: try selector.finish(listener))
  }

  private func wrongLabel(_ label: Int, _ byte: Int, _ record: Int, _ name: String) -> Failure {
    let kind = labelCounts.count == 1 ? "" : byte == 0 ? "coarse " : "fine "
    return .data(
      "record \(record) of \(name) has the \(kind)label \(label), "
        + "expected 0 to \(labelCounts[byte] - 1)")
  }

  private func wrongSize(_ name: String, _ size: Int) -> Failure {
    var text =
      "\(name) has \(size) bytes, not a multiple of the \(recordSize) of a \(rawValue) record"
    for other in CIFARFormat.allCases where size > 0 && size % other.recordSize == 0 {
      text += ": perhaps it is --dataset \(other.rawValue)"
      break
    }
    return .data(text)
  }
}
