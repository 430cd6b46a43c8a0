/// Scripts by which shells complete the command line, from the table of options.
extension Tool {
  /// The options that print something about the tool itself.
  private static var own: [String] { ["--help", "--version", "--manual", "--completion"] }

  /// The words that may follow an option: those of a choice; nil if it takes a file; none if it takes something else.
  private func words(after option: Option<Settings>) -> [String]? {
    option.isInput || option.isOutput ? nil : option.words
  }

  /// The name of the shell function that completes the program `program`.
  private func function(_ program: String) -> String {
    "_" + String(program.map { $0.isLetter || $0.isNumber ? $0 : "_" })
  }

  /// For bash, to be read by it: completes options, the words of a choice, and files.
  package var bashCompletion: String {
    let names = options.map { "--\($0.name)" } + Tool.own
    var cases = ""
    for option in options where option.argument != nil {
      let flags = ([option.short.map { "-\($0)" }, "--\(option.name)"] as [String?])
        .compactMap { $0 }.joined(separator: "|")
      let reply =
        words(after: option).map {
          $0.isEmpty ? ":" : "COMPREPLY=($(compgen -W '\($0.joined(separator: " "))' -- \"$word\"))"
        } ?? "COMPREPLY=($(compgen -f -- \"$word\"))"
      cases += "    \(flags)) \(reply); return ;;\n"
    }
    cases += "    --completion) COMPREPLY=($(compgen -W 'bash zsh' -- \"$word\")); return ;;\n"
    let words = operandWords.joined(separator: " ")
    let first =
      operandWords.isEmpty
      ? ""
      : "  elif ((COMP_CWORD == 1)); then\n"
        + "    COMPREPLY=($(compgen -W '\(words)' -- \"$word\"))\n"
    return """
      # Completion of \(name) for bash; from its table of options.
      \(function(name))() {
        local IFS=$' \\n' word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
        # Bash cuts --option=word in three.
        if [[ $word == = ]]; then word=
        elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi
        COMPREPLY=()
        case $before in
      \(cases)  esac
        if [[ $word == -* ]]; then
          COMPREPLY=($(compgen -W '\(names.joined(separator: " "))' -- "$word"))
      \(first)  else
          COMPREPLY=($(compgen -f -- "$word"))
        fi
      }
      complete -o filenames -F \(function(name)) \(name)

      """
  }

  /// For zsh, as a file of its function path.
  package var zshCompletion: String {
    func quoted(_ text: String) -> String {
      text.reduce(into: "") { result, character in
        if "[]:\\".contains(character) { result += "\\" }
        result += character == "'" ? "'\\''" : String(character)
      }
    }
    /// The first sentence of an option's help.
    func summary(_ help: String) -> String {
      let end = help.range(of: ". ")?.lowerBound ?? help.endIndex
      return quoted(String(help[..<end].trimming(".")))
    }
    var lines: [String] = []
    for option in options {
      let text = summary(option.help)
      guard let argument = option.argument else {
        lines.append("'--\(option.name)[\(text)]'")
        continue
      }
      let action = words(after: option).map {
        $0.isEmpty ? " " : "(\($0.joined(separator: " ")))"
      }
      let rest = "[\(text)]:\(quoted(argument)):\(action ?? "_files")'"
      if let short = option.short { lines.append("'-\(short)+\(rest)") }
      lines.append("'--\(option.name)=\(rest)")
    }
    lines += [
      "'(-h --help)'{-h,--help}'[Print the help]'", "'--version[Print the version]'",
      "'--manual[Print the manual page]'", "'--completion=[Print this]:SHELL:(bash zsh)'",
    ]
    if !operandWords.isEmpty {
      lines.append("'1:COMMAND:(\(operandWords.joined(separator: " ")))'")
    }
    lines.append("'*:FILE:_files'")
    return "#compdef \(name)\n# Completion of \(name) for zsh; from its table of options.\n"
      + "_arguments -S \\\n  " + lines.joined(separator: " \\\n  ") + "\n"
  }
}

extension Substring {
  fileprivate func trimming(_ end: Character) -> Substring { last == end ? dropLast() : self }
}

extension String {
  /// The place of `text` in this string.
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
