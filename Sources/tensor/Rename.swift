import Command
import Tensors

/// Gives tensors other names, all at once, so that two can change places.
func rename(_ run: Run) throws {
  let output = try run.bundleOutput()
  let last = run.settings.arguments.last ?? "-"
  let input = try run.input(path: last.contains("=") ? "-" : last)
  let source = try Bundle(reading: input)
  var renamed = Bundle(metadata: source.metadata)
  renamed.metadata.merge(run.metadata(after: source.metadata)) { $1 }
  let names = Dictionary(uniqueKeysWithValues: run.settings.pairs.map { ($0.left, $0.right) })
  for old in names.keys.sorted(by: precedes) where source.tensors[old] == nil {
    throw Failure.data("\(source.name) has no tensor \(quoted(old))")
  }
  for (old, tensor) in source.tensors {
    let new = names[old] ?? old
    guard renamed.tensors.updateValue(tensor, forKey: new) == nil else {
      throw Failure.data("two tensors of \(source.name) would have the name \(quoted(new))")
    }
  }
  try run.write(renamed, to: output)
}
