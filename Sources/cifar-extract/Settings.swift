import Command
import Images
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var selection = Selection()
  var split: Split?
  var format: RecordFormat?
  var pictures: String?
  var synthetic: Int?
  var size: (width: Int, height: Int)?
  var grayscale = false
  var flip = false
  var contactSheet: String?

  /// No records are read if the images come from elsewhere.
  var inputOperands: [String] {
    pictures != nil || synthetic != nil
      ? [] : common.operands.isEmpty ? ["-"] : common.operands
  }

  func validate() throws {
    let sources = [("--png", pictures != nil), ("--synthetic", synthetic != nil)].filter(\.1)
    if sources.count > 1 { throw Failure.usage("--png and --synthetic exclude each other") }
    if let (source, _) = sources.first {
      if let path = common.operands.first {
        throw Failure.usage("\(source) takes no records, but there is \(quoted(path))")
      }
      if format != nil { throw Failure.usage("--dataset does not go with \(source)") }
    }
    if case .idx(let dataset) = format, common.operands.count != 1 || common.operands == ["-"] {
      throw Failure.usage(
        "--dataset \(dataset.rawValue) needs one directory, which holds its files")
    }
    if let contactSheet {
      if contactSheet == "-" {
        throw Failure.usage("--contact-sheet needs a file: standard output is for the bundle")
      }
    }
  }
}

/// The kinds of files that images are read from.
enum RecordFormat {
  case cifar(CIFARFormat)
  case idx(IDXDataset)

  static let names = CIFARFormat.allCases.map(\.rawValue) + IDXDataset.allCases.map(\.rawValue)

  init?(_ name: String) {
    if let format = CIFARFormat(rawValue: name) {
      self = .cifar(format)
    } else if let dataset = IDXDataset(rawValue: name) {
      self = .idx(dataset)
    } else {
      return nil
    }
  }
}

extension Settings {
  /// Throws for a file to read that is also to be written: one of a directory, which is not on the command line.
  func refuseOutputs() -> (String) throws -> Void {
    let outputs = [("--contact-sheet", contactSheet), ("--output", common.output)].compactMap {
      option, path in path.flatMap { FileIdentity(of: $0) }.map { (option, $0) }
    }
    if outputs.isEmpty { return { _ in } }
    return { path in
      let identity = FileIdentity(of: path)
      for (option, output) in outputs
      where output == identity && !(option == "--output" && common.operands.contains(path)) {
        throw Failure.usage("\(option) and the input \(path) name the same file")
      }
    }
  }

  static var options: [Option<Settings>] {
    sourceOptions + selectionOptions + pictureOptions
  }

  /// The source of the images.
  private static var sourceOptions: [Option<Settings>] {
    [
      .value(
        "split", "train|test", \.split,
        """
        Read the training batches (default) or the test batch of a directory; of --png, the folder of \
        that name inside DIR; with --synthetic, draw other images for each.
        """, expected: "train, test", parse: { Split(rawValue: $0).map(Optional.some) }),
      .value(
        "dataset", "NAME", \.format,
        """
        What is read: records of cifar-10 (default), of cifar-100 with its 100 fine classes, or \
        of cifar-100-coarse with its 20 coarse ones; or a directory of the IDX files of fashion-mnist, packed \
        by gzip or not.
        """, words: RecordFormat.names, expected: RecordFormat.names.joined(separator: ", "),
        parse: { RecordFormat($0).map(Optional.some) }),
      .text(
        "png", "DIR", \.pictures,
        """
        Instead of records read PNG and JPEG files (.png, .jpg, .jpeg): a tree, one folder a class, or, without \
        labels, a folder that holds pictures and no folders; folders and files in the order of their names' \
        bytes, which are UTF-8. Files of other names are passed over with a warning.
        """, record: .placeholder),
      .integer(
        "synthetic", "N", \.synthetic,
        """
        Instead of reading make N labelled 32x32 images of ten classes of textures, seeded: \
        \(SyntheticTextures.classes.joined(separator: ", ")), in turn.
        """, minimum: 1),
    ]
  }

  /// The images to take.
  private static var selectionOptions: [Option<Settings>] {
    [
      .value(
        "classes", "LIST", \.selection.classes,
        """
        Take only these classes, by name or number, comma-separated; they become the labels 0, 1, … in \
        the order given. Of --png some may have no folder, and so no image.
        """, expected: "names or numbers, comma-separated", parse: parseClasses),
      .value(
        "range", "A:B", \.selection.range,
        """
        Of the images of the chosen classes take those in the places A (counted from 0) to before B; \
        A: and :B are open at one end.
        """, expected: "A:B with 0 <= A < B", parse: parseRange),
      .integer(
        "per-class", "N", \.selection.perClass,
        "Take the first N of each class; fewer are an error.", minimum: 1),
      .integer(
        "sample", "N", \.selection.sample,
        "Of what is left take N at random without replacement, in the order of the source.",
        minimum: 1
      ),
      .value(
        "seed", "N", \.selection.seed, "Seed of --sample and --synthetic (default 0).",
        expected: "a whole number", parse: { Int($0) }),
    ]
  }

  /// The changes to the images taken, and their picture.
  private static var pictureOptions: [Option<Settings>] {
    [
      .value(
        "resize", "WIDTHxHEIGHT", \.size,
        """
        Resize by averaging areas, exact also where the ratio is no whole number. Pictures of --png may \
        then differ in size.
        """, expected: "WIDTHxHEIGHT, each from 1 to 4096", parse: parseSize),
      .flag(
        "grayscale", \.grayscale,
        "Make one channel, the luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded."),
      .flag(
        "flip", \.flip,
        "After each image put its mirror image (left and right exchanged), with its label and index."
      ),
      .output(
        "contact-sheet", "FILE.png", \.contactSheet,
        "Also write a picture of the first ten images taken of each class, a row a class."),
    ]
  }
}

func parseClasses(_ text: String) -> [String]?? {
  let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  guard !names.contains("") else { return nil }
  return names
}

func parseRange(_ text: String) -> Range<Int>?? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  guard parts.count == 2, let begin = parts[0].isEmpty ? 0 : Int(parts[0]),
    let end = parts[1].isEmpty ? Int.max : Int(parts[1]), begin >= 0, begin < end
  else { return nil }
  return begin..<end
}

func parseSize(_ text: String) -> (width: Int, height: Int)?? {
  let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
  guard sides.count == 2, sides.allSatisfy({ (1...4096).contains($0) }) else { return nil }
  return (sides[0], sides[1])
}
