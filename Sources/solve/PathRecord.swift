import Convex
import Glibc
import Schema
import Tensors

/// The files that a path writes beside its choice: the table of --path-table and the solutions of --path-output. All of
/// them appear when they are published, or none. Any thread may add to the record, and any may end it.
final class PathRecord {
  private var table: Output?
  /// DIR/1 and so on, in the order of the path.
  private var solutions: [Output] = []
  /// DIR, if this run made it.
  private var newDirectory: String?
  private let lock = Lock()
  private var isFinished = false
  private var count = 0
  /// The number of solutions that have not reached the gap that was asked for.
  private(set) var unreached = 0

  /// Whether there is anything to write.
  let isWanted: Bool

  /// Opens everything that is to be written. Throws if some of it cannot be, or if another option writes to it too.
  init(_ settings: Settings) throws {
    isWanted = settings.pathTable != nil || settings.pathOutput != nil
    if let directory = settings.pathOutput, let count = settings.path {
      if try makeDirectory(directory) { newDirectory = directory }
      try open(directory, count: count, besides: settings)
    }
    table = try settings.pathTable.map { try Output(path: $0) }
    try table?.write("beta\tprimal\tdual\trelative_gap\tneurons\tnorm\tvalidation\n")
  }

  deinit { abandon() }

  private func open(_ directory: String, count: Int, besides settings: Settings) throws {
    let others = [settings.common.output ?? "-", settings.trace, settings.pathTable]
    let taken = others.compactMap { $0 }.map {
      $0 == "-" ? FileIdentity(of: 1) : FileIdentity(of: $0)
    }
    let inputs = settings.common.inputs.map {
      $0 == "-" ? FileIdentity(of: 0) : FileIdentity(of: $0)
    }
    for number in 1...count {
      let path = "\(directory)/\(number)"
      if let identity = FileIdentity(of: path), taken.contains(identity) {
        throw Failure.usage("\(path), which --path-output writes, is the file of another output")
      }
      if let identity = FileIdentity(of: path), inputs.contains(identity) {
        throw Failure.usage("\(path), which --path-output writes, is a file that is read")
      }
      solutions.append(try Output(path: path))
    }
  }

  /// Adds the next β of the path: the `bundle` of its solution, its norm, which β multiplies, and the accuracy or loss
  /// on the validation data.
  func add(_ bundle: Bundle, norm: Double, validation: Double?) throws {
    let claim = ["beta", "primal_objective", "dual_objective", "relative_gap"].map {
      bundle.metadata[$0] ?? ""
    }
    let neurons = try Solutions.neurons(bundle)
    let row = claim + ["\(neurons)", "\(norm)", validation.map { "\($0)" } ?? ""]
    try lock.locked {
      guard !isFinished else { return }
      try table?.write(row.joined(separator: "\t") + "\n")
      if count < solutions.count {
        try bundle.write(to: solutions[count])
        try solutions[count].flush()
      }
      count += 1
      if bundle.metadata[.status] != .optimal { unreached += 1 }
    }
  }

  /// Ends the record: later additions are left out. Throws if the table cannot be written.
  func finish() throws {
    try lock.locked {
      isFinished = true
      try table?.flush()
    }
  }

  /// Gives all files their names, after `finish`, together with those of `others`.
  func publish(with others: [Output]) throws {
    try Output.finish(solutions.prefix(count) + [table].compactMap { $0 } + others)
    abandon()
  }

  /// Drops the files that are not published, and DIR if it is empty and new.
  func abandon() {
    lock.locked {
      isFinished = true
      (solutions, table) = ([], nil)
      if let newDirectory { rmdir(newDirectory) }
      newDirectory = nil
    }
  }
}
