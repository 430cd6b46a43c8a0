import Tensors

/// The files that a command line names; `-` is standard output or input.
struct NamedFiles {
  /// The files to write, by option.
  var outputs = ["output": "-"]
  /// The files to read, each with its option, which may name several. The result may replace some of them.
  var inputs: [(option: String, path: String, isReplaceable: Bool)] = []
  /// The operands that are files to read, which the result may replace: it takes its name when all is read and written.
  var operands: [String] = []

  /// Throws if two of the files to write are the same, because the later would replace the earlier, or both would be
  /// mixed; or if a file to write is one that is read, which would be lost.
  func expectDistinct() throws {
    var seen: [(option: String, isStandard: Bool, identity: FileIdentity?)] = []
    for (option, path) in outputs.sorted(by: { $0.key < $1.key }) {
      let identity = path == "-" ? FileIdentity(of: 1) : FileIdentity(of: path)
      let isSame = { (other: (option: String, isStandard: Bool, identity: FileIdentity?)) in
        path == "-" && other.isStandard || identity != nil && identity == other.identity
      }
      if let other = seen.first(where: isSame) {
        throw sameFile(name(other.option), name(option))
      }
      seen.append((option, path == "-", identity))
      if let identity, identity.isContents, let input = input(identity, of: option) {
        throw sameFile(name(option), input)
      }
    }
  }

  /// The input that `option` may not write to, if `identity`, which it writes to, is one.
  private func input(_ identity: FileIdentity, of option: String) -> String? {
    func isInput(_ path: String) -> Bool {
      identity == (path == "-" ? FileIdentity(of: 0) : FileIdentity(of: path))
    }
    let isResult = option == "output"
    for input in inputs.sorted(by: { $0.option < $1.option })
    where !(isResult && input.isReplaceable) && isInput(input.path) {
      return "--\(input.option)"
    }
    guard !isResult, let operand = operands.first(where: isInput) else { return nil }
    return operand == "-" ? "standard input" : "the input \(operand)"
  }

  private func name(_ option: String) -> String {
    option == "output" && outputs[option] == "-" ? "standard output" : "--\(option)"
  }

  private func sameFile(_ one: String, _ other: String) -> Failure {
    .usage("\(one) and \(other) name the same file")
  }
}
