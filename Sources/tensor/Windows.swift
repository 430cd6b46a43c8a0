import Command
import Schema
import Tensors

/// Cuts windows from a signal: sample i has the values at the times i … i + L − 1 of each channel, and its targets are the
/// values at the time i + L − 1 + H. With --differences both are changes: from one value to the next, and from the last of the
/// window to the target.
func windows(_ run: Run) throws {
  let settings = run.settings
  let output = try run.bundleOutput()
  let input = try run.input(path: settings.arguments.first ?? "-")
  let (length, horizon) = (settings.length ?? 1, settings.horizon ?? 1)
  // The upper half of a bundle's first number, the length of its header, is 0; text has no such bytes.
  let start = try input.peek(8)
  let isBundle = start.count == 8 && start[4...].allSatisfy { $0 == 0 }
  let signal = try isBundle ? Signal(bundle: input, settings) : Signal(table: input, settings)
  let inputs = try settings.channels.map(signal.places) ?? Array(signal.names.indices)
  let outputs = try settings.targets.map(signal.places) ?? inputs
  let times = signal.values.shape[0]
  // Both may be as large as an integer can be.
  guard length <= times, horizon <= times - length else {
    throw Failure.data(
      "\(input.name) has \(times) rows, too few for a window of \(length) and a horizon of \(horizon)"
    )
  }
  let cut = WindowCut(
    signal: signal, count: times - length - horizon + 1, length: length, horizon: horizon,
    takesChanges: settings.differences)
  var bundle = Bundle(kind: .dataset, tensors: [:], metadata: run.metadata(after: signal.metadata))
  let x = try cut.features(of: inputs)
  bundle[.x] = settings.bias ? x.appendingConstant : x
  bundle[.targets] = cut.targets(of: outputs)
  if settings.bias { bundle.metadata[.bias] = true }
  bundle.metadata[TableKey.features] = quotedArray(inputs.flatMap(cut.names))
  try run.write(bundle, to: output)
}

/// Windows of L values of a signal, and targets H steps after each; or changes of both.
private struct WindowCut {
  let signal: Signal
  /// The number of windows.
  let count: Int
  let length, horizon: Int
  let takesChanges: Bool

  /// Features of a channel.
  private var width: Int { takesChanges ? length - 1 : length }

  /// F64 [count, channels · width], channel after channel.
  func features(of channels: [Int]) throws -> Tensor {
    let (all, columns) = (channels.count * width, signal.names.count)
    try expectMemory(8 * Double(count) * Double(all), for: "\(count) windows of \(all) values")
    let x = Tensor(type: .f64, shape: [count, all])
    signal.values.withElements(of: Double.self) { values in
      x.withMutableElements(of: Double.self) { x in
        for i in 0..<count {
          for (c, channel) in channels.enumerated() {
            for t in 0..<width {
              let place = (i + t) * columns + channel
              x[i * all + c * width + t] =
                takesChanges ? values[place + columns] - values[place] : values[place]
            }
          }
        }
      }
    }
    return x
  }

  /// F64 [count], or [count, channels].
  func targets(of channels: [Int]) -> Tensor {
    let columns = signal.names.count
    let y = Tensor(type: .f64, shape: channels.count == 1 ? [count] : [count, channels.count])
    signal.values.withElements(of: Double.self) { values in
      y.withMutableElements(of: Double.self) { y in
        for i in 0..<count {
          for (c, channel) in channels.enumerated() {
            let last = (i + length - 1) * columns + channel
            y[i * channels.count + c] =
              values[last + horizon * columns] - (takesChanges ? values[last] : 0)
          }
        }
      }
    }
    return y
  }

  /// The names of a channel's features.
  func names(of channel: Int) -> [String] {
    let name = signal.names[channel]
    return (length - width..<length).map { t in
      let time = t - length + 1
      return takesChanges ? "\(name)[\(time)]-\(name)[\(time - 1)]" : "\(name)[\(time)]"
    }
  }
}

/// Values of channels at equal distances in time.
private struct Signal {
  /// The names of the channels, or their numbers from 1.
  let names: [String]
  /// F64 [T, channels].
  let values: Tensor
  /// What the recipe goes on from.
  let metadata: [String: String]
  private let source: String

  /// The columns of comma-separated values that the settings name, or all.
  init(table input: Input, _ settings: TensorSettings) throws {
    source = input.name
    metadata = [:]
    let delimiter = delimiterByte(settings.delimiter ?? ",") ?? UInt8(ascii: ",")
    var reader = CSVReader(input, delimiter: delimiter)
    guard let first = try reader.next() else {
      throw Failure.data("\(input.name) is empty, expected comma-separated values")
    }
    let wanted = settings.channels.map { $0 + (settings.targets ?? []) }
    var choice = ColumnChoice(header: settings.header ?? .auto, delimiter: delimiter)
    if settings.header == nil, wanted?.contains(where: { Int($0) == nil }) == true {
      choice.header = .yes
    }
    var columns = try TableColumns(first, of: input.name, as: choice, like: nil)
    if let wanted {
      let titles = columns.header ?? columns.features.map { "\($0 + 1)" }
      let kept = try Set(wanted.map { try place(of: $0, among: titles, in: input.name) })
      choice.dropped = titles.indices.filter { !kept.contains($0) }.map {
        titles[$0].isEmpty ? "\($0 + 1)" : titles[$0]
      }
      columns = try TableColumns(first, of: input.name, as: choice, like: nil)
    }
    names = columns.features.map { columns.header?[$0] ?? "\($0 + 1)" }
    var lines = try TableLines(reader, columns)
    values = try NumericTable(&lines, columns, missing: nil, fill: nil, hasConstant: false).features
  }

  /// The rows of a dataset, which has features and no answers.
  init(bundle input: Input, _ settings: TensorSettings) throws {
    guard settings.header == nil, settings.delimiter == nil else {
      throw Failure.usage(
        "--header and --delimiter are for comma-separated values, and \(input.name) is a bundle")
    }
    let bundle = try Bundle(reading: input)
    (source, metadata) = (bundle.name, bundle.metadata)
    try bundle.expect(.dataset)
    let patches = try PatchTensor(bundle)
    guard patches.patches == 1 else {
      throw Failure.data(
        "tensor \"x\" of \(bundle.name) is \(patches.x.summary): a signal has one patch a sample")
    }
    guard bundle[.labels] == nil, bundle[.targets] == nil else {
      throw Failure.data(
        "\(bundle.name) has answers of its own, but those of windows are later values: give the signal alone, with them as "
          + "channels")
    }
    guard try Standardization(bundle) == nil else {
      throw Failure.data(
        "\(bundle.name) is standardised: cut the windows first, and standardise them then")
    }
    try patches.x.expectFinite("x", of: bundle.name)
    let width = patches.dimension - (try bundle.read(.bias, default: false) ? 1 : 0)
    guard width > 0 else { throw Failure.data("\(bundle.name) has no feature but the constant") }
    names = try bundle.featureNames() ?? (0..<width).map { "\($0 + 1)" }
    guard names.count == width else {
      throw Failure.data(
        "metadata \"features\" of \(bundle.name) has \(names.count) names, but there are \(width) features"
      )
    }
    let d = patches.dimension
    values = patches.x.asDouble.mapRows(of: d, shape: [patches.samples, width]) { row, target in
      for k in 0..<width { target[k] = row[k] }
    }
  }

  /// The places of the channels that an option names.
  func places(of channels: [String]) throws -> [Int] {
    try channels.map { try place(of: $0, among: names, in: source) }
  }
}

/// The place of the channel `name`: its name, or its number from 1.
private func place(of name: String, among names: [String], in source: String) throws -> Int {
  if let place = names.firstIndex(of: name) { return place }
  guard let number = Int(name), names.indices.contains(number - 1) else {
    throw Failure.data(
      "\(source) has no channel \(quoted(name)), expected one of "
        + names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", …" : ""))
  }
  return number - 1
}

extension Tensor {
  /// F64 [n, d + 1]: rows with a 1 at the end.
  fileprivate var appendingConstant: Tensor {
    mapRows(of: shape[1], shape: [shape[0], shape[1] + 1]) { [d = shape[1]] row, target in
      for k in 0..<d { target[k] = row[k] }
      target[d] = 1
    }
  }
}
