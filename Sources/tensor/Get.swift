import Command
import Tensors

/// Writes one tensor of a bundle as text or as a NumPy file.
func get(_ run: Run) throws {
  let output = try run.settings.npy ? run.bundleOutput() : run.textOutput()
  let name = run.settings.arguments[0]
  let reader = try BundleReader(run.input(path: run.settings.arguments.dropFirst().first ?? "-"))
  guard reader.entries.contains(where: { $0.name == name }) else {
    let names = reader.entries.map { quoted($0.name) }.joined(separator: ", ")
    throw Failure.data(
      "\(reader.input.name) has no tensor \(quoted(name)), only \(names.isEmpty ? "none" : names)")
  }
  var wanted: Tensor?
  while let entry = reader.next {
    if entry.name == name {
      wanted = try reader.readTensor()
    } else {
      try reader.skipTensor()
    }
  }
  try reader.finish()
  guard let tensor = wanted else { return }
  if run.settings.npy {
    try NPY.write(tensor, to: output)
  } else {
    try writeLines(of: tensor, separator: run.settings.csv ? "," : "\t", to: output)
  }
  try output.finish()
}

/// Writes a line for each row of the first dimension; a scalar is a line by itself. Nothing is written for a tensor
/// without elements: a few bytes can claim very many empty rows.
private func writeLines(of tensor: Tensor, separator: String, to output: Output) throws {
  guard tensor.count > 0 else { return }
  let rows = tensor.shape.first ?? 1
  let columns = tensor.shape.dropFirst().reduce(1, *)
  for row in 0..<rows {
    var isFirst = true
    try tensor.forEachText(row * columns..<(row + 1) * columns) { text in
      if !isFirst { try output.write(separator) }
      try output.write(text)
      isFirst = false
    }
    try output.write("\n")
  }
}
