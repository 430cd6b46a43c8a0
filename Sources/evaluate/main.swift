import Command
import Evaluation
import Images
import LinearAlgebra
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)

  let network = try TrainedNetwork(Bundle(reading: invocation.input()))
  let program = try settings.certify.map {
    try invocation.read("--certify", $0) { try solution(of: Bundle(reading: $0)) }
  }
  let examples = try invocation.read("--data", settings.data ?? "-") {
    try Examples(reading: $0, patterns: program?.needsPatterns ?? false)
  }

  let evaluation = try NetworkEvaluation(
    network, on: examples, beta: settings.beta, certifying: program)
  for warning in evaluation.warnings { invocation.warn(warning) }

  // All pictures are made before the first file is written.
  let filters = try settings.filters.map { ($0, try network.filterPicture()) }
  let confusion = try settings.confusion.map { ($0, try evaluation.confusionMatrix().picture) }
  if let path = settings.predictions {
    let output = try Output(path: path)
    try output.write(evaluation.table)
    try output.finish()
  }
  for (path, picture) in [filters, confusion].compactMap({ $0 }) {
    try writePNG(picture, to: path)
  }
  let output = try invocation.textOutput()
  try output.write(settings.json ? evaluation.report.json : evaluation.report.text)
  try output.finish()
  if !evaluation.violations.isEmpty {
    throw Failure.data(
      "the claim does not hold: " + evaluation.violations.joined(separator: "; "))
  }
}
