import Command
import Foundation
import Tensors
import Testing

@Test func helpNamesEveryOptionOnce() {
  let lines = sample.help.split(separator: "\n", omittingEmptySubsequences: false)
  let section = lines.drop { $0 != "options:" }.prefix { $0 != "examples:" }
  for option in sample.options {
    let rows = section.filter {
      $0.split(whereSeparator: { " ,".contains($0) }).contains("--\(option.name)")
    }
    #expect(rows.count == 1, "--\(option.name)")
  }
  for name in ["--help", "--version", "--manual", "--completion"] {
    #expect(lines.filter { $0.hasPrefix("  \(name)") || $0.contains(", \(name)") }.count == 1)
  }
  #expect(lines.allSatisfy { $0.count <= 80 })
  #expect(sample.help.hasPrefix("sample: stands for a tool\n\nusage: sample [options] [FILE]\n"))
}

@Test func noNameIsGivenTwice() {
  let names = sample.options.map(\.name) + ["help", "version", "manual", "completion"]
  #expect(Set(names).count == names.count)
  let short = sample.options.compactMap(\.short) + ["h"]
  #expect(Set(short).count == short.count)
}

@Test func aToolThatIsNotThreadedHasNoThreads() {
  let tool = Tool<SampleSettings>(
    name: "t", summary: "", description: "", options: [], examples: [])
  #expect(!tool.help.contains("--threads"))
  #expect(sample.help.contains("--threads N"))
}

@Test func theManualPageIsPlainRoff() {
  let lines = sample.manual.split(separator: "\n")
  let macros: Set<String> = ["TH", "SH", "PP", "TP", "B", "nf", "fi"]
  for line in lines where line.hasPrefix(".") {
    #expect(macros.contains(String(line.dropFirst().prefix { $0 != " " })), "\(line)")
  }
  #expect(lines[0] == ".TH SAMPLE 1 \"\(versionDay)\" \"convex\\-networks \(version)\"")
  // Text that begins like a request is text, and no character that roff reads otherwise stands bare.
  #expect(lines.contains("\\&.dots and \\(aqquotes\\(aq and \\-dashes."))
  #expect(lines.contains("sample \\(aqa\\eb\\(aq \\(ti \\(ha"))
  #expect(lines.contains(".B \\-o, \\-\\-output FILE"))
  #expect(lines.contains("Say \\(dqso\\(dq."))
  let sections = lines.filter { $0.hasPrefix(".SH ") }.map { String($0.dropFirst(4)) }
  #expect(
    sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"])
  for option in sample.options {
    let row = "--\(option.name)".replacingOccurrences(of: "-", with: "\\-")
    #expect(
      lines.filter { $0.hasPrefix(".B") && $0.split(separator: " ").contains { $0 == row } }.count
        == 1)
  }
}
