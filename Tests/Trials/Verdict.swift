import Schema
import Tensors

/// What is wrong with a run, if anything.
struct Verdict {
  /// Files that a run may leave in its folder beside its output.
  static let sideProducts: Set<String> = [
    "filters.png", "confusion.png", "predictions", "path.tsv", "steps", "rest", "sheet.png",
  ]

  let call: Call
  let outcome: Outcome
  let folder: String
  /// The output file; nil for standard output.
  let output: String?

  /// What a user may rely on and did not get, a phrase each.
  func faults() throws -> [String] {
    var faults: [String] = []
    switch outcome.end {
    case .hang(let seconds): faults.append("hangs: killed after \(Int(seconds)) s")
    case .signal(let number): faults.append("ended by signal \(number)")
    case .status(0), .status(1), .status(2): break
    case .status(let status): faults.append("exit status \(status)")
    }
    let errors = try contents("\(folder)/stderr")
    if let found = hostileCharacter(in: errors, except: "\n") {
      faults.append("\(found) on standard error")
    }
    if [.status(1), .status(2)].contains(outcome.end) && errors.isEmpty {
      faults.append("no message with exit status \(outcome.end)")
    }
    faults += try outputFaults()
    return faults
  }

  private func outputFaults() throws -> [String] {
    var faults: [String] = []
    let left = Set(names(in: folder)).subtracting(["stdout", "stderr", "mutant"])
    var expected = Verdict.sideProducts
    if let output { expected.insert(output) }
    let strange = left.subtracting(expected)
    if !strange.isEmpty { faults.append("leaves \(strange.sorted().map(quoted))") }
    let product = try contents("\(folder)/stdout")
    if !outcome.succeeded && !call.mayFail {
      if !product.isEmpty {
        faults.append(
          "\(fileSize("\(folder)/stdout")) bytes on standard output in spite of its failure")
      }
      let files = left.subtracting(strange)
      if !files.isEmpty { faults.append("leaves \(files.sorted()) in spite of its failure") }
    }
    guard outcome.succeeded else { return faults }
    let path = "\(folder)/\(output ?? "stdout")"
    guard exists(path) else { return faults + ["no output"] }
    switch call.product {
    case .bundle: faults += bundleFaults(path)
    case .report, .table:
      let bytes = try contents(path)
      if call.product == .report {
        if let found = hostileCharacter(in: bytes, except: "\n\t") {
          faults.append("\(found) in the report")
        }
        if call.tool == "evaluate" {
          faults += reportFaults(String(decoding: bytes, as: UTF8.self))
        }
      }
    }
    return faults
  }

  /// The first character that a terminal would obey or that misleads the eye.
  private func hostileCharacter(in bytes: [UInt8], except allowed: String) -> String? {
    guard let text = String(validating: bytes, as: UTF8.self) else { return "bad UTF-8" }
    for scalar in text.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      if isControl && !allowed.unicodeScalars.contains(scalar) {
        return "the control character U+\(String(scalar.value, radix: 16, uppercase: true))"
      }
    }
    return nil
  }

  /// A line of a report with a number that is not finite.
  private func reportFaults(_ report: String) -> [String] {
    for line in report.split(separator: "\n") {
      let value = line.split(whereSeparator: { $0 == "\t" || $0 == ":" || $0 == "," }).last ?? ""
      if isNonFiniteNumber(String(value.filter { $0 != " " && $0 != "}" })) {
        return ["reports \(quoted(String(line)))"]
      }
    }
    return []
  }

  private func bundleFaults(_ path: String) -> [String] {
    do {
      let bundle = try Bundle(reading: Input(path: path))
      let mutant = call.passesOn ? try? Bundle(reading: Input(path: "\(folder)/mutant")) : nil
      // `tensor` passes on what the user has. Elsewhere, and in sums, such a number is made here.
      if let mutant, mutant.tensors.values.contains(where: { $0.nonFiniteCount > 0 }) { return [] }
      for (name, tensor) in bundle.tensors.sorted(by: { $0.key < $1.key })
      where tensor.nonFiniteCount > 0 {
        return ["writes \(tensor.nonFiniteCount) numbers that are not finite in \(quoted(name))"]
      }
      if call.passesOn { return [] }
      for (key, value) in bundle.metadata.sorted(by: { $0.key < $1.key }) {
        // Earlier layers have these of their own.
        let own = key.split(separator: ".").last.map(String.init) ?? key
        if own == "classes" || TableKey.all.contains(own) { continue }
        if isNonFiniteNumber(value) {
          return ["writes the metadata \(quoted(key)) \(quoted(value))"]
        }
      }
      return []
    } catch {
      return ["writes what is no bundle: \(error)"]
    }
  }
}
