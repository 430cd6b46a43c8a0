import Schema
import Tensors

extension Mutator {
  private static let hostileTexts = [
    "", " ", "\0", "a\0b", "\u{1B}[31mred\u{1B}[0m", "\u{1B}]0;title\u{7}", "\u{9B}2J", "\r\n",
    "a\nb", "\u{202E}gpj", "é", "e\u{301}", "😀", "\u{FEFF}", "\u{7F}", ",", ",,", "a,,b", "a,a",
    "true", "false", "TRUE", "none", "relu", "gated-relu", "linear", "circular", "squared", "hinge",
    "cross-entropy", "quantile-0.2", "quantile-1", "quantile-nan", "nuclear", "group", "pattern",
    "class", "optimal", "stalled", "global",
    "[1,2]", "{}", "\"", "\\", "%s%n", "../../etc/passwd", "FILE",
    String(repeating: "x", count: 5000), String(repeating: "a,", count: 3000),
    "solve --gap 1e300 FILE", "solve --gap", "solve --gap nan",
  ]

  private static let hostileNumbers = [
    "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e309", "1e-320", "5e-324", "0", "-0", "-1",
    "1", "2", "3", "0.5", "1e-300", "9223372036854775807", "9223372036854775808", "4294967296",
    "2147483647", "-9223372036854775808", "0x10", "0x1p-3", "1e5", "1000000", "+1", " 1", "1 ",
    "1_000", "01", "1.", ".5", "1,2", "1,2,3", "0,0", "1e300,1,1", "0,0,0", "-1,1", "1,-1", "١",
    "1\0002", "infinity", "NaN(1)",
  ]

  /// Changes the metadata.
  mutating func applyToMetadata(_ mutation: Mutation, _ bundle: inout RawBundle) {
    guard !bundle.metadata.isEmpty else { return }
    let chosen = random.below(bundle.metadata.count)
    switch mutation {
    case .deleteKey: bundle.metadata.remove(at: chosen)
    case .repeatKey: bundle.metadata.append(bundle.metadata[chosen])
    case .hostileText: bundle.metadata[chosen].value = pick(Mutator.hostileTexts)
    case .hostileNumber: bundle.metadata[chosen].value = pick(Mutator.hostileNumbers)
    case .borrowValue:
      let donor = pick(donors)
      guard !donor.metadata.isEmpty else { return }
      let (key, value) = pick(donor.metadata)
      bundle.metadata.removeAll { $0.key == key }
      bundle.metadata.append((key, value))
    case .changeKind:
      bundle.metadata.removeAll { $0.key == "kind" }
      bundle.metadata.append(("kind", pick(Kind.allCases).rawValue))
    default: break
    }
  }
}
