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

  let tally = try settings.tally.map { try Output(path: $0) }
  let bundle = try Bundle(reading: invocation.input())
  if GeneratedSamples.isGenerated(bundle) {
    try invocation.judge(GeneratedSamples(bundle), into: output)
    return
  }

  let judging = try Judging(invocation, bundle)
  let evaluation = try judging.evaluation()
  for warning in evaluation.warnings { invocation.warn(warning) }

  // All pictures are made before the first file is written.
  let pictures = [
    try filters.map {
      (try judging.network.filterPicture(count: settings.filtersCount ?? 64), $0)
    },
    try confusion.map { (try evaluation.confusionMatrix().picture, $0) },
  ]
  try predictions?.write(evaluation.table())
  try tally.map { try judging.writeTally(to: $0) }
  for (picture, file) in pictures.compactMap({ $0 }) { try writePNG(picture, to: file) }
  let files = [predictions, filters, confusion, tally].compactMap { $0 }
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
