import Command
import Evaluation
import Images
import LinearAlgebra
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)

  let output = try invocation.textOutput()
  let predictions = try settings.predictions.map { try Output(path: $0) }
  let filters = try settings.filters.map { try Output(path: $0) }
  let confusion = try settings.confusion.map { try Output(path: $0) }

  let bundle = try Bundle(reading: invocation.input())
  if GeneratedSamples.isGenerated(bundle) {
    try invocation.judge(GeneratedSamples(bundle), into: output)
    return
  }
  let network = try TrainedNetwork(bundle)
  let program = try settings.certify.map {
    try invocation.read("--certify", $0) { try solution(of: Bundle(reading: $0)) }
  }
  func examples(_ option: String, _ path: String, _ model: DataModel) throws -> Examples {
    try invocation.read(option, path) {
      try Examples(
        reading: $0, patterns: program?.needsPatterns ?? false, list: program?.ownList,
        like: model, forClaim: program != nil || settings.provesDistance)
    }
  }
  let examples = try examples("--data", settings.dataPath, network.model).joined(
    with: settings.others.enumerated().map { k, path in
      try examples(
        "--with", path, k < network.others.count ? network.others[k].model : network.model)
    })

  let evaluation = try NetworkEvaluation(
    network, on: examples, beta: settings.beta, certifying: program,
    distanceWithin: settings.provesDistance ? settings.gap ?? 1e-3 : nil)
  for warning in evaluation.warnings { invocation.warn(warning) }

  // All pictures are made before the first file is written.
  let pictures = [
    try filters.map { (try network.filterPicture(count: settings.filtersCount ?? 64), $0) },
    try confusion.map { (try evaluation.confusionMatrix().picture, $0) },
  ]
  try predictions?.write(evaluation.table)
  for (picture, file) in pictures.compactMap({ $0 }) { try writePNG(picture, to: file) }
  let files = [predictions, filters, confusion].compactMap { $0 }
  // The report, which may go to a pipe, begins when the files are written.
  for file in files { try file.flush() }
  try output.write(settings.json ? evaluation.report.json : evaluation.report.text)
  try Output.finish(files + [output])
  if !evaluation.violations.isEmpty {
    throw Failure.data(
      "the claim does not hold: " + evaluation.violations.joined(separator: "; "))
  }
}

extension Invocation<Settings> {
  /// Judges generated samples on the data that they should be like.
  func judge(_ samples: GeneratedSamples, into output: Output) throws {
    if let option = settings.optionsOfNetworks.first {
      throw Failure.usage("\(option) is for networks, and the first bundle holds generated samples")
    }
    let judgement = try read("--data", settings.dataPath) {
      try samples.judge(Bundle(reading: $0))
    }
    try output.write(settings.json ? judgement.report.json : judgement.report.text)
    try output.finish()
    if !judgement.violations.isEmpty {
      throw Failure.data(
        "the claim does not hold: " + judgement.violations.joined(separator: "; "))
    }
  }
}
