import Command
import Tensors

/// Adds the tensors of several bundles, element by element.
func sum(_ run: Run) throws {
  let output = try run.bundleOutput()
  let progress = run.progress()
  var sum = Bundle()
  var recipes: [Bundle] = []
  for path in run.settings.arguments {
    progress.update("reading \(path)")
    let bundle = try Bundle(reading: run.input(path: path))
    recipes.append(Bundle(metadata: bundle.metadata))
    if recipes.count == 1 {
      sum = bundle
      continue
    }
    try expectAgreement(of: bundle, with: sum)
    for name in bundle.tensors.keys.sorted(by: precedes) {
      let (term, total) = (bundle.tensors[name]!, sum.tensors[name]!)
      guard term.shape == total.shape else {
        throw Failure.data(
          "tensor \(quoted(name)) of \(bundle.name) is \(term.summary), "
            + "of \(sum.name) \(total.summary)")
      }
      try total.add(term, name: name)
    }
  }
  sum.metadata.merge(joinedRecipe(of: recipes, run)) { $1 }
  try run.write(sum, to: output)
}
