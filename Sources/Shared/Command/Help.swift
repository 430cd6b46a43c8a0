extension Tool {
  /// Every option as (flags, help); the options that all tools have come last.
  private var rows: [(flags: String, help: String)] {
    options.map { option in
      let short = option.short.map { "-\($0), " } ?? ""
      let argument = option.argument.map { " \($0)" } ?? ""
      return ("\(short)--\(option.name)\(argument)", option.help)
    } + [
      ("-h, --help", "Print this text."),
      ("--version", "Print the version."),
      ("--manual", "Print the manual page (roff)."),
      ("--completion SHELL", "Print the completion of this tool for bash or zsh."),
    ]
  }

  private var paragraphs: [String] {
    description.split(separator: "\n\n").map {
      $0.split(separator: "\n").joined(separator: " ")
    }
  }

  /// The text of `--help`.
  package var help: String {
    var text = "\(name): \(summary)\n\nusage: \(name) [options] \(operands)\n"
    for paragraph in paragraphs { text += "\n" + wrapped(paragraph, indent: 0) }
    text += "\noptions:\n"
    for (flags, help) in rows {
      text += "  \(flags)\n" + wrapped(help, indent: 6)
    }
    text += "\nexamples:\n"
    for example in examples { text += "  \(example)\n" }
    text += "\nexit status: 0 done, 1 bad data or input/output error, 2 bad usage\n"
    return text
  }

  /// The manual page, in the man macros of roff.
  package var manual: String {
    func escaped(_ text: String) -> String {
      var result = ""
      for character in text {
        switch character {
        case "\\": result += "\\e"
        case "-": result += "\\-"
        case "^": result += "\\(ha"
        case "~": result += "\\(ti"
        case "'": result += "\\(aq"
        case "\"": result += "\\(dq"
        default: result.append(character)
        }
      }
      return result.hasPrefix(".") ? "\\&" + result : result
    }
    /// The text in lines that are no requests, of at most 80 bytes as mandoc likes them.
    func filled(_ text: String) -> String {
      wrapped(escaped(text), indent: 0, isRoff: true).split(separator: "\n").map {
        ($0.hasPrefix(".") ? "\\&" : "") + $0 + "\n"
      }.joined()
    }
    var text = ".TH \(name.uppercased()) 1 \"\(versionDay)\" \"convex\\-networks \(version)\"\n"
    text += ".SH NAME\n\(escaped(name)) \\- \(escaped(summary))\n"
    text += ".SH SYNOPSIS\n.B \(escaped(name))\n[\\fIoptions\\fR] \(escaped(operands))\n"
    text += ".SH DESCRIPTION\n"
    text += paragraphs.map(filled).joined(separator: ".PP\n")
    text += ".SH OPTIONS\n"
    for (flags, help) in rows { text += ".TP\n.B \(escaped(flags))\n\(filled(help))" }
    text += ".SH EXIT STATUS\n0: done; 1: bad data or input/output error; 2: bad usage.\n"
    text += ".SH EXAMPLES\n.nf\n"
    // A line that ends in a backslash goes on: what is printed is one line.
    for example in examples {
      let lines = wrapped(escaped(example), indent: 0, isRoff: true).split(separator: "\n")
      text += lines.joined(separator: " \\\n") + "\n"
    }
    return text + ".fi\n"
  }

  /// `text` in lines of at most 80 columns; of roff at most 78 bytes as mandoc counts them, which makes \[u2026] of a
  /// character that is not ASCII.
  private func wrapped(_ text: String, indent: Int, isRoff: Bool = false) -> String {
    func size(_ text: some StringProtocol) -> Int {
      isRoff ? text.unicodeScalars.reduce(0) { $0 + ($1.isASCII ? 1 : 9) } : text.count
    }
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = margin
    for word in text.split(separator: " ") {
      if line.count > indent, size(line) + 1 + size(word) > (isRoff ? 78 : 80) {
        lines.append(line)
        line = margin
      }
      line += (line.count > indent ? " " : "") + word
    }
    lines.append(line)
    return lines.joined(separator: "\n") + "\n"
  }
}
