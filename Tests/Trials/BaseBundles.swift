import Tensors

/// Files that belong together: the data that a network was trained on, and what came of them. A mutant takes
/// the place of one of them.
struct Family {
  var name: String
  /// Of kind dataset, moments or arrangements.
  var data: String
  var solution: String?
  var network: String
  /// The options of solve, with which the solution was made; those of baseline if there is no solution.
  var options: [String]
  /// The options of evaluate, which needs them beside the data.
  var judging = ""
}

/// The bundles that mutants are made of: one of every kind, and solutions and networks of every activation and
/// of most losses, norms and groups. The tools make them, of synthetic images and of small tables.
struct BaseBundles {
  let folder: String
  let tools: String
  private(set) var families: [Family] = []
  private(set) var images: [String] = []
  /// Datasets that belong to no family.
  private(set) var datasets: [String] = []
  /// Samples that a generator made, and the data that it made them for.
  private(set) var generated: [String: String] = [:]

  /// Makes them in `folder`.
  init(tools: String, folder: String) throws {
    self.tools = tools
    self.folder = folder
    try makeFolder(folder)
    try makeSamples()
    try makeFamilies()
    try makeGenerated()
  }

  /// All files, in an order that is always the same.
  var files: [String] {
    var files = images + datasets + generated.keys.sorted() + ["tally"]
    for family in families {
      files += [family.data, family.network] + (family.solution.map { [$0] } ?? [])
    }
    var seen = Set<String>()
    return files.filter { seen.insert($0).inserted }
  }

  private func tool(_ line: String, output: String) throws {
    let words = line.split(separator: " ").map(String.init)
    let command = Command(
      program: "\(tools)/\(words[0])",
      arguments: Array(words.dropFirst()) + ["--quiet", "-o", output], folder: folder)
    let outcome = try command.run()
    guard outcome.succeeded else {
      let message = String(decoding: try contents("\(folder)/stderr"), as: UTF8.self)
      throw Failure.data("\(line): \(outcome.end) \(message)")
    }
  }

  private mutating func makeSamples() throws {
    try write(
      "a,b,y,class\n"
        + (0..<12).map { i in
          let (a, b) = ((i * 7) % 12 - 6, (i * 5) % 11 - 4)
          return "\(Double(a) / 4),\(Double(b) / 5),\(Double(a * b) / 8 + 0.25),\(i % 3)\n"
        }.joined(), to: "\(folder)/points.csv")
    try write(
      "a,b,y\n"
        + (0..<8).map { "\(Double($0) - 3.5),\(Double(($0 * 3) % 8) / 4),\($0 % 2)\n" }
        .joined(), to: "\(folder)/signs.csv")
    try write(
      "who,c,a,b,kind\n"
        + (0..<12).map {
          "row \($0),\($0 % 5),\($0 * $0),\(3 - $0),\(["x", "y, z", "w"][$0 % 3])\n"
        }
        .map { $0.replacing("y, z", with: "\"y, z\"") }.joined(), to: "\(folder)/named.csv")
    try tool("cifar-extract --synthetic 14 --classes 0,1 --resize 4x4", output: "two.images")
    try tool("cifar-extract --synthetic 20 --resize 4x4 --grayscale", output: "ten.images")
    images = ["two.images", "ten.images"]
    let cuts = "--size 2 --stride 1 --pool 2 --contrast 0.01 --whiten 0.1 --components 3 --bias"
    try tool("patchify --flatten --bias two.images", output: "flat")
    try tool("patchify --flatten --dtype F64 ten.images", output: "flat.ten")
    try tool("patchify \(cuts) two.images", output: "patches")
    try tool("patchify \(cuts) --mirror --defer two.images", output: "deferred")
    try tool("patchify --size 2 --bias --defer two.images", output: "deferred.one")
    try tool("patchify --size 2 --pool none ten.images", output: "plain.ten")
    // The same patches, more or fewer of them.
    try tool("patchify --size 2 two.images", output: "plain")
    try tool("patchify --size 2 --stride 1 two.images", output: "dense")
    try tool("patchify --size 2 --pool 2 --moments two.images", output: "moments")
    try tool("patchify --size 2 --whiten 0.1 --moments ten.images", output: "moments.ten")
    try tool("gram --activation 0.09,0.5,0.47 moments.ten", output: "sums")
    try tool("gram --activation linear patches", output: "sums.linear")
    try tool("tensor from-csv --targets y --bias signs.csv", output: "signs")
    try tool("tensor from-csv --labels class points.csv", output: "classes")
    try tool("tensor from-csv --targets y,b points.csv", output: "targets")
    try tool("tensor from-csv --targets y --drop b,class points.csv", output: "line")
    try tool("tensor from-csv points.csv", output: "signal")
    try tool("tensor from-csv --labels kind --id who --drop c named.csv", output: "named")
    try tool(
      "tensor from-csv --labels kind --id who --bias --missing ? --standardize named.csv",
      output: "table")
    datasets = [
      "flat", "flat.ten", "patches", "deferred", "plain.ten", "plain", "dense", "signs", "classes",
      "targets", "line", "named", "table", "signal",
    ]
    try tool("arrangements --exact signs", output: "exact")
    try tool("tensor slice --rows 0:3 signs", output: "few")
    try tool("arrangements --exact --depth 2 --width 1 few", output: "exact.layers")
    try tool("tensor from-csv --labels y --bias signs.csv", output: "sides")
    try tool("arrangements --exact sides", output: "exact.sides")
    try tool("arrangements --sample 6 --threshold 0.1 flat", output: "sampled")
    try tool("arrangements --sample 5 flat.ten", output: "sampled.ten")
    try tool("arrangements --exact targets", output: "exact.targets")
    try tool("arrangements --exact --rank 2 flat", output: "truncated")
    try tool(
      "patchify --size 2 --pool 2 --whiten 0.1 --components 2 two.images", output: "patches.flat")
    try tool("arrangements --exact patches.flat", output: "exact.patches")
    try tool("arrangements --sample 9 --depth 2 --width 3 flat", output: "products")
    try tool(
      "arrangements --sample 5 --depth 2 --width 2 --open deferred", output: "products.deferred")
    try tool("arrangements --sample 5 --sampler samples patches", output: "sampled.patches")
    try tool(
      "arrangements --sample 4 --sampler k-means --threshold 0.5 deferred",
      output: "sampled.deferred")
    try tool("gram sampled.deferred", output: "sums.gated")
    try tool("gram products.deferred", output: "sums.products")
    try tool("gram --dtype F32 sampled.patches", output: "sums.single")
  }

  private mutating func makeFamilies() throws {
    let near = "--activation 0.09,0.5,0.47"
    try add("poly", "moments", "\(near) --beta 0.1")
    try add("poly-hinge", "moments", "\(near) --loss hinge --beta 0.2")
    try add("poly-entropy", "moments.ten", "\(near) --loss cross-entropy --beta 0.3")
    try add("poly-targets", "targets", "--activation 1,0,0 --loss huber --beta 0.2")
    try add("relu", "exact", "--activation relu --beta 0.1")
    try add("relu-logistic", "sampled", "--activation relu --loss logistic --beta 0.5")
    try add("relu-patches", "sampled.patches", "--activation relu --group pattern --beta 1")
    // Over all patterns: proved, listed, and neither.
    try add("relu-all", "targets", "--activation relu --beta 0.1")
    try add("relu-cells", "signs", "--activation relu --beta 0.1")
    try add("relu-found", "flat", "--activation relu --loss logistic --beta 0.5")
    try add("relu-found-deferred", "deferred.one", "--activation relu --beta 0.5")
    try add("gated", "sampled", "--activation gated-relu --beta 0.5")
    try add("gated-nuclear", "sampled.ten", "--activation gated-relu --norm nuclear --beta 0.5")
    try add(
      "gated-entropy", "sampled.ten",
      "--activation gated-relu --loss cross-entropy --group pattern --beta 0.5")
    try add(
      "gated-deferred", "sampled.deferred",
      "--activation gated-relu --loss hinge --group pattern --beta 0.5")
    try add(
      "gated-quantile", "sampled.ten",
      "--activation gated-relu --loss quantile-0.3 --norm nuclear --group class --beta 0.3")
    try add(
      "gated-nuclear-patches", "sampled.patches",
      "--activation gated-relu --loss huber --norm nuclear --group pattern --beta 0.5")
    try add("products", "products", "--activation gated-relu --beta 0.5")
    try add(
      "products-deferred", "products.deferred",
      "--activation gated-relu --loss huber --group pattern --beta 0.5")
    try add(
      "three-layers", "products", "--activation gated-relu --beta 0.3", recover: "--depth 3")
    try add("layers", "exact.layers", "--activation relu --beta 0.1")
    try add("relu-quantile", "exact", "--activation relu --loss quantile-0.7 --beta 0.05")
    try add("table", "table", "--activation linear --loss cross-entropy --beta 0.2")
    try add("linear", "patches", "--activation linear --beta 0.5")
    try add("deep", "patches", "--activation linear --beta 0.5", recover: "--depth 4")
    try add("circular", "flat.ten", "--activation linear --circular --beta 0.5")
    try add("both-layers", "exact.targets", "--activation relu --norm nuclear --beta 0.1")
    try add("both-layers-regions", "exact.patches", "--activation relu --norm nuclear --beta 0.5")
    try add("relu-truncated", "truncated", "--activation relu --beta 0.5")
    try add("norm-before", "sampled", "--activation relu --batch-norm before --beta 0.2")
    try add("norm-after", "exact", "--activation gated-relu --batch-norm after --beta 0.1")
    try add("interpolation", "exact", "--activation relu --interpolate")
    try add("margin", "exact.sides", "--activation relu --margin")
    try add("quantized", "targets", "--activation quantized --beta 0.1")
    try add("spline", "line", "--activation relu --free-bias --beta 0.1")
    try add("weighted", "sampled", "--activation gated-relu --class-weights 1,3 --beta 0.2")
    // A further stage, and one program with the gates of other patches.
    try tool(
      "patchify --after gated-deferred.network --responses --size 2 --bias --defer two.images",
      output: "stage")
    try tool("arrangements --sample 3 --open stage", output: "sampled.stage")
    try add("stage", "sampled.stage", "--activation gated-relu --beta 0.5")
    try add(
      "joint", "sampled.patches",
      "--activation gated-relu --beta 0.5 --with \(folder)/sampled.stage",
      judge: "--with \(folder)/sampled.stage")
    for name in ["sums", "sums.linear", "sums.gated", "sums.products", "sums.single"] {
      try add("trained-\(name)", name, "--beta 0.3")
    }
    try tool(
      "evaluate --data moments.ten --certify trained-sums.solution trained-sums.network --tally tally",
      output: "tally.report")
    try addTrained("sgd", "patches", "--activation relu --penalty decay --neurons 3 --beta 0.1")
    try addTrained("sgd-plain", "plain", "--neurons 3 --beta 0.1 --penalty l1")
    try addTrained("sgd-gated", "sampled.ten", "--activation gated-relu --neurons 4 --beta 0.1")
    try addTrained("sgd-poly", "flat", "\(near) --neurons 3 --beta 0.1 --optimizer adam")
  }

  private mutating func makeGenerated() throws {
    for (name, options, data) in [
      ("generated", "--beta 0.5", "signal"),
      ("generated.linear", "--beta 5 --latent 3", "signal"),
      ("generated.relu", "--beta 0.5 --generator relu --latent 2", "signal"),
      ("generated.images", "--beta 1e4", "two.images"),
    ] {
      try tool("generate \(options) \(data)", output: name)
      generated[name] = data
    }
  }

  private mutating func add(
    _ name: String, _ data: String, _ options: String, recover: String = "", judge: String = ""
  ) throws {
    try tool("solve --gap 1e-3 --max-seconds 5 \(options) \(data)", output: "\(name).solution")
    try tool("recover \(recover) \(name).solution", output: "\(name).network")
    families.append(
      Family(
        name: name, data: data, solution: "\(name).solution", network: "\(name).network",
        options: options.split(separator: " ").map(String.init), judging: judge))
  }

  private mutating func addTrained(_ name: String, _ data: String, _ options: String) throws {
    try tool("baseline --epochs 1 \(options) \(data)", output: "\(name).network")
    families.append(
      Family(
        name: name, data: data, solution: nil, network: "\(name).network",
        options: options.split(separator: " ").map(String.init)))
  }
}
