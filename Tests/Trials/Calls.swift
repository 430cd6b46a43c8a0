import Tensors

/// How a tool is called with a mutant: `MUTANT` in its arguments is the mutant's file.
struct Call {
  enum Product { case bundle, report, table }
  var arguments: [String]
  var product: Product
  /// Whether the mutant is one of several inputs of a tool that passes numbers on as they are.
  var passesOn = false
  /// Whether a report and its files are written though the exit status is 1: the claim does not hold.
  var mayFail = false

  var tool: String { arguments[0] }

  init(_ line: String, _ product: Product, passesOn: Bool = false, mayFail: Bool = false) {
    arguments = line.split(separator: " ").map(String.init)
    self.product = product
    self.passesOn = passesOn
    self.mayFail = mayFail
  }
}

extension BaseBundles {
  /// Every call that reads `file` in one of its places; others stand in `folder` beside the mutant.
  func calls(for file: String) -> [Call] {
    var calls = generalCalls(file)
    if images.contains(file) { calls += imageCalls(file) }
    if datasets.contains(file) { calls += datasetCalls(file) }
    if let data = generated[file] {
      calls += [
        Call("evaluate --data \(folder)/\(data) MUTANT", .report, mayFail: true),
        Call("evaluate --data MUTANT \(folder)/\(file)", .report, mayFail: true),
      ]
    }
    if file == "tally" {
      let network = "\(folder)/trained-sums.network"
      calls += [
        Call("evaluate --data MUTANT \(network)", .report),
        Call(
          "evaluate --data MUTANT --certify \(folder)/trained-sums.solution \(network)", .report,
          mayFail: true),
      ]
    }
    for family in families {
      if family.data == file { calls += dataCalls(family) }
      if family.solution == file { calls += solutionCalls(family) }
      if family.network == file { calls += networkCalls(family) }
    }
    return calls
  }

  /// What reads a bundle of any kind.
  private func generalCalls(_ file: String) -> [Call] {
    [
      Call("tensor show MUTANT", .report),
      Call("tensor slice --rows 1:5 MUTANT", .bundle, passesOn: true),
      Call("tensor concat MUTANT \(folder)/\(file)", .bundle, passesOn: true),
      Call("tensor concat \(folder)/\(file) MUTANT", .bundle, passesOn: true),
      Call("tensor rename x=y MUTANT", .bundle, passesOn: true),
      Call("tensor sum MUTANT MUTANT", .bundle, passesOn: true),
      Call("tensor get x --npy MUTANT", .table), Call("tensor get labels --csv MUTANT", .table),
      Call("tensor get hidden.weight MUTANT", .table),
      Call("gram --activation 1,0,0 MUTANT", .bundle), Call("gram MUTANT", .bundle),
      Call("gram --like MUTANT \(folder)/moments.ten", .bundle),
      Call("gram --like MUTANT \(folder)/deferred", .bundle),
      Call("tensor split --fraction 0.5 --stratify --rest rest MUTANT", .bundle, passesOn: true),
      Call("tensor fold --folds 3 --fold 1 --rest rest MUTANT", .bundle, passesOn: true),
      Call("tensor standardize MUTANT", .bundle),
      Call("tensor standardize --like MUTANT \(folder)/named", .bundle),
      Call("tensor from-csv --like MUTANT \(folder)/named.csv", .bundle),
      Call("tensor from-csv --like MUTANT --missing ? \(folder)/named.csv", .bundle),
    ]
  }

  private func imageCalls(_ file: String) -> [Call] {
    let cut = "patchify --size 2 MUTANT"
    return [
      Call(cut, .bundle), Call("\(cut) --moments --pool 2", .bundle),
      Call("\(cut) --defer --mirror --bias", .bundle), Call("patchify --flatten MUTANT", .bundle),
      Call("\(cut) --whiten 0.1 --components 3 --contrast 0.1", .bundle),
      Call("\(cut) --like \(folder)/patches", .bundle),
      Call("generate --beta 1e4 --stages 2,4 --contact-sheet sheet.png MUTANT", .bundle),
      Call("\(cut) --like \(folder)/moments.ten", .bundle),
      Call("\(cut) --like \(folder)/sampled.deferred", .bundle),
    ]
  }

  private func datasetCalls(_ file: String) -> [Call] {
    [
      Call("arrangements --sample 4 MUTANT", .bundle),
      Call("arrangements --sample 4 --sampler samples MUTANT", .bundle),
      Call("arrangements --sample 4 --sampler k-means --threshold 0.3 MUTANT", .bundle),
      Call("arrangements --exact --max 2000 MUTANT", .bundle),
      Call("patchify --like MUTANT \(folder)/two.images", .bundle),
      Call("patchify --like MUTANT \(folder)/ten.images", .bundle),
      Call("solve --activation 1,0,0 --beta 0.3 --max-seconds 0.3 MUTANT", .bundle),
      Call("solve --activation linear --loss huber --beta 0.3 --max-seconds 0.3 MUTANT", .bundle),
      Call("baseline --epochs 1 --neurons 2 --batch 4 MUTANT", .bundle),
      Call("tensor windows --length 2 --differences MUTANT", .bundle),
      Call("generate --beta 0.5 MUTANT", .bundle),
      Call("generate --beta 0.5 --generator relu --latent MUTANT \(folder)/signal", .bundle),
    ]
  }

  private func dataCalls(_ family: Family) -> [Call] {
    let options = family.options.joined(separator: " ")
    let data = "\(folder)/\(family.data)"
    let network = "\(folder)/\(family.network)"
    var calls = [
      Call("evaluate \(family.judging) --data MUTANT \(network)", .report),
      Call("evaluate \(family.judging) --predictions predictions \(network) MUTANT", .report),
      Call("patchify --like MUTANT \(folder)/two.images", .bundle),
    ]
    guard let solution = family.solution else {
      let baseline = "baseline --epochs 1 --batch 4 \(options)"
      return calls + [
        Call("\(baseline) MUTANT", .bundle),
        Call("\(baseline) --validation MUTANT \(data)", .bundle),
        Call("\(baseline) --validation \(data) MUTANT", .bundle),
      ]
    }
    let solve = "solve --max-seconds 0.3 --gap 1e-2 \(options)"
    calls += [
      Call("\(solve) MUTANT", .bundle),
      Call("\(solve) --with MUTANT \(data)", .bundle),
      Call("\(solve) --warm-start \(folder)/\(solution) MUTANT", .bundle),
      Call("\(solve) --path 2 --path-table path.tsv --path-output steps MUTANT", .bundle),
      Call("\(solve) --path 2 --folds 2 MUTANT", .bundle),
      Call("\(solve) --path 2 --validation MUTANT \(data)", .bundle),
      Call("\(solve) --path 2 --validation \(data) MUTANT", .bundle),
      Call("recover --data MUTANT \(folder)/\(solution)", .bundle),
      Call(
        "evaluate \(family.judging) --data MUTANT --certify \(folder)/\(solution) --beta 0.1 \(network)",
        .report,
        mayFail: true),
      Call(
        "baseline --program free --activation 1,0,0 --epochs 1 --beta 0.1 MUTANT", .bundle),
      Call(
        "baseline --program gated --activation gated-relu --epochs 1 --beta 0.1 MUTANT", .bundle),
    ]
    return calls
  }

  private func solutionCalls(_ family: Family) -> [Call] {
    let options = family.options.joined(separator: " ")
    let data = "\(folder)/\(family.data)"
    return [
      Call("recover MUTANT", .bundle), Call("recover --tolerance 0.1 MUTANT", .bundle),
      Call("recover --minimal --data \(data) MUTANT", .bundle),
      Call("solve --max-seconds 0.3 --gap 1e-2 \(options) --warm-start MUTANT \(data)", .bundle),
      Call(
        "evaluate \(family.judging) --data \(data) --certify MUTANT \(folder)/\(family.network)",
        .report,
        mayFail: true),
      Call(
        "evaluate \(family.judging) --json --data \(data) --certify MUTANT --beta 0.1 \(folder)/\(family.network)",
        .report, mayFail: true),
    ]
  }

  private func networkCalls(_ family: Family) -> [Call] {
    let evaluate = "evaluate \(family.judging) --data \(folder)/\(family.data)"
    var calls = [
      Call("\(evaluate) MUTANT", .report), Call("\(evaluate) --beta 0.1 --json MUTANT", .report),
      Call("\(evaluate) --filters filters.png --confusion confusion.png MUTANT", .report),
      Call("\(evaluate) --predictions predictions MUTANT", .report),
      Call("patchify --after MUTANT --keep 2 --size 2 \(folder)/two.images", .bundle),
      Call("patchify --after MUTANT \(folder)/\(family.data)", .bundle),
    ]
    if let solution = family.solution {
      calls.append(
        Call(
          "\(evaluate) --certify \(folder)/\(solution) --beta 0.1 MUTANT", .report, mayFail: true))
    }
    return calls
  }
}
