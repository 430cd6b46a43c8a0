import Dispatch
import Glibc
import Synchronization
import Tensors

/// Mutants of bundles of every kind, each given to one of the tools that read it.
///
/// Case number i of a seed is always the same one: `--first i --count 1` repeats it.
struct MutationTrial {
  var tools: String
  var folder: String
  var seed = 0
  var first = 0
  var count = 2000
  var workers = 2
  /// Seconds after which a run counts as hanging.
  var timeout = 20.0
  /// The address space of a tool in bytes, so that no mutant takes the machine's memory; nil under a
  /// sanitizer, which reserves more than any machine has.
  var addressSpace: Int? = 4 << 30
  /// Memory that a tool may take beyond what the unchanged bundles take, in bytes.
  var allowance = 32 << 20
  var isVerbose = false

  private struct Tally {
    var statuses: [String: Int] = [:]
    var mutations: [String: (total: Int, refused: Int)] = [:]
    var peaks: [String: (bytes: Int, number: Int)] = [:]
    var slowest = (seconds: 0.0, number: -1)
    var faults: [(number: Int, text: String)] = []
  }

  /// Runs all cases and prints what came out; false if there was a fault.
  func run() throws -> Bool {
    let start = now()
    try makeFolder(folder)
    let folder = absolute(folder)
    let bases = try BaseBundles(tools: absolute(tools), folder: "\(folder)/bases")
    let files = bases.files
    let donors = try files.map { try RawBundle(reading: "\(bases.folder)/\($0)") }
    let calls = files.map { bases.calls(for: $0) }
    let usual = try usualPeaks(bases, files, calls, folder)
    let tally = Mutex(Tally())
    let next = Atomic(first)
    DispatchQueue.concurrentPerform(iterations: workers) { worker in
      while true {
        let number = next.add(1, ordering: .relaxed).oldValue
        guard number < first + count else { return }
        do {
          try runCase(
            number, "\(folder)/worker-\(worker)", bases, files, donors, calls, usual, tally)
        } catch {
          tally.withLock { $0.faults.append((number, "\(error)")) }
        }
      }
    }
    let seconds = now() - start
    return tally.withLock { report($0, usual, seconds) }
  }

  /// The most memory that each tool takes for an unchanged bundle, of some calls.
  private func usualPeaks(
    _ bases: BaseBundles, _ files: [String], _ calls: [[Call]], _ folder: String
  ) throws -> [String: Int] {
    var peaks: [String: Int] = [:]
    for (file, calls) in zip(files, calls) {
      for (i, call) in calls.enumerated() where i % 7 == 0 || peaks[call.tool] == nil {
        try makeFolder("\(folder)/usual")
        let command = command(call, "\(bases.folder)/\(file)", "\(folder)/usual", bases, "out")
        let outcome = try command.run()
        peaks[call.tool] = max(peaks[call.tool] ?? 0, outcome.peak)
      }
    }
    return peaks
  }

  private func command(
    _ call: Call, _ mutant: String, _ folder: String, _ bases: BaseBundles, _ output: String?
  ) -> Command {
    var arguments = call.arguments.dropFirst().map { $0 == "MUTANT" ? mutant : $0 }
    if let output { arguments += ["-o", output] }
    if !["tensor", "cifar-extract"].contains(call.tool) { arguments += ["--threads", "1"] }
    return Command(
      program: "\(bases.tools)/\(call.tool)", arguments: arguments, folder: folder,
      addressSpace: addressSpace, timeout: timeout)
  }

  private func runCase(
    _ number: Int, _ folder: String, _ bases: BaseBundles, _ files: [String],
    _ donors: [RawBundle], _ calls: [[Call]], _ usual: [String: Int],
    _ tally: borrowing Mutex<Tally>
  ) throws {
    var mutator = Mutator(random: RandomSource(seed: seed, stream: number), donors: donors)
    let chosen = mutator.random.below(files.count)
    let call = mutator.pick(calls[chosen])
    let output: String? = mutator.random.below(2) == 0 ? "out" : nil
    let (bytes, mutations) = mutator.mutant(of: donors[chosen])
    try makeFolder(folder)
    try write(bytes, to: "\(folder)/mutant")
    // Some mutants come through a pipe, which cannot be mapped or measured.
    let isPiped =
      mutator.random.below(4) == 0 && call.arguments.last == "MUTANT"
      && call.arguments.count { $0 == "MUTANT" } == 1
    var command = command(call, isPiped ? "-" : "mutant", folder, bases, output)
    if isPiped { command.piped = "mutant" }
    let outcome = try command.run()
    var faults = try Verdict(call: call, outcome: outcome, folder: folder, output: output).faults()
    let limit = usual[call.tool]! + allowance
    // A child's peak is never below that of its parent when it was started.
    if outcome.peak > max(limit, ownPeak()) {
      faults.append("takes \(outcome.peak >> 20) MB of memory")
    }
    let kinds = mutations.map(\.rawValue).joined(separator: "+")
    if !faults.isEmpty { try keep(number, folder, files[chosen], kinds, command, faults) }
    tally.withLock { tally in
      tally.statuses["\(outcome.end)", default: 0] += 1
      for mutation in mutations {
        tally.mutations[mutation.rawValue, default: (0, 0)].total += 1
        if !outcome.succeeded { tally.mutations[mutation.rawValue]!.refused += 1 }
      }
      if outcome.peak > tally.peaks[call.tool]?.bytes ?? 0 {
        tally.peaks[call.tool] = (outcome.peak, number)
      }
      if outcome.seconds > tally.slowest.seconds { tally.slowest = (outcome.seconds, number) }
      for fault in faults { tally.faults.append((number, "\(call.tool): \(fault)")) }
    }
  }

  /// Puts a case that failed aside: the mutant, and how to repeat it.
  private func keep(
    _ number: Int, _ folder: String, _ file: String, _ kinds: String, _ command: Command,
    _ faults: [String]
  ) throws {
    let kept = "\(folder)/../seed-\(seed)-case-\(number)"
    try makeFolder(kept)
    try write(try contents("\(folder)/mutant"), to: "\(kept)/mutant")
    try write(try contents("\(folder)/stderr"), to: "\(kept)/stderr")
    try write(command.text + "\n", to: "\(kept)/command")
    say("case \(number) of seed \(seed), \(file) with \(kinds): \(faults.joined(separator: "; "))")
    say("  cd \(absolute(kept)); \(command.text)")
  }

  private func report(_ tally: Tally, _ usual: [String: Int], _ seconds: Double) -> Bool {
    say("mutants: \(count), seed \(seed), cases \(first) to \(first + count - 1)")
    say("seconds: \(Int(seconds.rounded(.up))), with \(workers) at a time")
    for (end, number) in tally.statuses.sorted(by: { $0.key < $1.key }) {
      say("  \(end): \(number)")
    }
    say("slowest: \(Int(tally.slowest.seconds * 1000)) ms, case \(tally.slowest.number)")
    say("peak memory in MB: of unchanged bundles, of mutants, the case")
    for (tool, peak) in tally.peaks.sorted(by: { $0.key < $1.key }) {
      say("  \(tool): \(usual[tool]! >> 20), \(peak.bytes >> 20), \(peak.number)")
    }
    if isVerbose {
      say("mutations: how many, how many of these not accepted")
      for (name, number) in tally.mutations.sorted(by: { $0.key < $1.key }) {
        say("  \(name): \(number.total), \(number.refused)")
      }
    }
    var kinds: [String: (count: Int, number: Int)] = [:]
    for fault in tally.faults {
      let kind = kinds[fault.text] ?? (0, fault.number)
      kinds[fault.text] = (kind.count + 1, min(kind.number, fault.number))
    }
    say("faults: \(tally.faults.count)")
    for (text, kind) in kinds.sorted(by: { $0.key < $1.key }) {
      say("  \(text): \(kind.count), the first in case \(kind.number)")
    }
    return tally.faults.isEmpty
  }
}
