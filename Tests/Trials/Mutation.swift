import Schema
import Tensors

/// One change that makes a bundle a hostile one.
enum Mutation: String, CaseIterable {
  // Of the structure. The header stays a valid one, unless a key comes twice.
  case otherBundle, deleteTensor, repeatTensor, renameTensor, borrowTensor, exchangeTensors
  case changeType, convertType, changeShape, cutRows, addRows, emptyDimension, hugeDimension
  case specialValue, specialValues, allValues, scaleValues, shuffleValues
  case deleteKey, repeatKey, hostileText, hostileNumber, borrowValue, changeKind
  // Of the bytes.
  case flipHeader, flipData, truncate, extend, changeLength

  var isOfBytes: Bool {
    switch self {
    case .flipHeader, .flipData, .truncate, .extend, .changeLength: true
    default: false
    }
  }
}

/// Makes mutants of bundles. The same generator makes the same ones.
struct Mutator {
  var random: RandomSource
  /// Bundles that tensors and metadata are borrowed from.
  let donors: [RawBundle]

  /// A mutant's bytes, and the names of what was done.
  mutating func mutant(of bundle: RawBundle) -> (bytes: [UInt8], mutations: [Mutation]) {
    var bundle = bundle
    var done: [Mutation] = []
    // Most mutants have one change: a second one often hides the first behind an earlier check.
    let count = [1, 1, 1, 2, 3][random.below(5)]
    for _ in 0..<count {
      let mutation = Mutation.allCases[random.below(Mutation.allCases.count)]
      if !mutation.isOfBytes { apply(mutation, to: &bundle) }
      done.append(mutation)
    }
    var (bytes, dataStart) = bundle.encoded
    for mutation in done where mutation.isOfBytes { apply(mutation, to: &bytes, dataStart) }
    return (bytes, done)
  }

  mutating func pick<T>(_ values: [T]) -> T { values[random.below(values.count)] }

  private mutating func apply(_ mutation: Mutation, to bytes: inout [UInt8], _ dataStart: Int) {
    let start = min(dataStart, bytes.count)
    switch mutation {
    case .flipHeader: flip(&bytes, 0..<start)
    case .flipData: flip(&bytes, start..<bytes.count)
    case .truncate: bytes.removeLast(random.below(bytes.count + 1))
    case .extend: bytes += (0...random.below(64)).map { _ in UInt8(random.below(256)) }
    case .changeLength:
      guard bytes.count >= 8 else { return }
      let length = pick([0, 1, 7, start, 100_000_000, 100_000_001, Int.max, -1])
      withUnsafeBytes(of: UInt64(bitPattern: Int64(length)).littleEndian) {
        bytes.replaceSubrange(0..<8, with: $0)
      }
    default: break
    }
  }

  private mutating func flip(_ bytes: inout [UInt8], _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    for _ in 0...random.below(4) {
      let place = range.lowerBound + random.below(range.count)
      switch random.below(3) {
      case 0: bytes[place] ^= 1 << UInt8(random.below(8))
      case 1: bytes[place] = UInt8(random.below(256))
      default: bytes[place] = pick(Array("0129-.,:{}[]\"\\eE \0\u{7F}".utf8))
      }
    }
  }

  private mutating func apply(_ mutation: Mutation, to bundle: inout RawBundle) {
    switch mutation {
    case .otherBundle:
      // Mostly one of its kind: what fits in all but its sizes gets furthest.
      let kind = bundle.kind
      let kindred = donors.filter { $0.kind == kind }
      bundle = kindred.isEmpty || random.below(4) == 0 ? pick(donors) : pick(kindred)
    case .deleteKey, .repeatKey, .hostileText, .hostileNumber, .borrowValue, .changeKind:
      applyToMetadata(mutation, &bundle)
    case .deleteTensor, .repeatTensor, .renameTensor, .borrowTensor, .exchangeTensors:
      applyToList(mutation, &bundle)
    default:
      guard !bundle.tensors.isEmpty else { return }
      let chosen = random.below(bundle.tensors.count)
      applyToTensor(mutation, &bundle.tensors[chosen])
    }
  }

  private mutating func applyToList(_ mutation: Mutation, _ bundle: inout RawBundle) {
    guard !bundle.tensors.isEmpty else { return }
    let chosen = random.below(bundle.tensors.count)
    switch mutation {
    case .deleteTensor: bundle.tensors.remove(at: chosen)
    case .repeatTensor: bundle.tensors.append(bundle.tensors[chosen])
    case .renameTensor:
      bundle.tensors[chosen].name = pick(
        pick(donors).tensors.map(\.name) + ["", "\u{1B}[31m", "__metadata__", "a\nb", "é"])
    case .borrowTensor:
      let donor = pick(donors)
      guard !donor.tensors.isEmpty else { return }
      let name = bundle.tensors[chosen].name
      // The same tensor of another bundle if there is one, else any under this name.
      var tensor = donor.tensors.first { $0.name == name } ?? pick(donor.tensors)
      if random.below(4) > 0 { tensor.name = name }
      bundle.tensors.removeAll { $0.name == tensor.name }
      bundle.tensors.append(tensor)
    case .exchangeTensors:
      let other = random.below(bundle.tensors.count)
      let name = bundle.tensors[chosen].name
      bundle.tensors[chosen].name = bundle.tensors[other].name
      bundle.tensors[other].name = name
    default: break
    }
  }
}
