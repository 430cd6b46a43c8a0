import Command
import Evaluation
import Generators
import Images
import LinearAlgebra
import Schema
import Tensors

/// The stages of a generator: of a dataset, and of images that stay as they are, there is one.
struct Stages {
  /// The sides of images; nil for data as they are.
  let sides: [Int?]
  private let betas: [Double]
  private let invocation: Invocation<Settings>
  private let data: Bundle
  /// Z of the next stage.
  private var latent: Matrix?
  /// The constraint of the last stage, if it was needed before.
  private var last: GramConstraint?
  /// The directions that no stage may have fewer of, if β is that of the last stage.
  private var needed = 0

  init(_ invocation: Invocation<Settings>, _ data: Bundle, latent: Matrix?) throws {
    (self.invocation, self.data, self.latent) = (invocation, data, latent)
    let given = invocation.settings.betas ?? []
    guard let stages = invocation.settings.stages, let end = stages.last else {
      (sides, betas) = ([nil], given)
      return
    }
    sides = stages
    guard given.count != stages.count else {
      betas = given
      return
    }
    betas = stages.map { given[0] * (Double($0) / Double(end)) * (Double($0) / Double(end)) }
    let stage = try samples(end)
    last = try constraint(stage.x, beta: given[0], name: stage.bundle.name)
    needed = last?.rank ?? 0
  }

  /// The samples of stage `number`, with what evaluate's code finds of them.
  mutating func generate(_ number: Int) throws -> (Bundle, GeneratorJudgement) {
    let stage = try samples(sides[number])
    let isLast = number + 1 == sides.count
    let constraint =
      try isLast && last != nil
      ? last! : constraint(stage.x, beta: betas[number], name: stage.bundle.name)
    let (beta, generated) = try generate(constraint.allowing(rank: needed))
    latent = generated.samples
    var bundle = bundle(of: generated, beta: beta, stage.pixels)
    bundle.name = "what was generated"
    let judgement = try GeneratedSamples(bundle, claims: false).judge(stage.bundle)
    guard judgement.violations.isEmpty else {
      throw Failure.data(
        "\(stage.bundle.name) allows no proof at --beta \(beta): "
          + judgement.violations.joined(separator: "; "))
    }
    bundle.metadata.merge(judgement.claim) { $1 }
    return (bundle, judgement)
  }

  /// The data of the stage of this side, n × d, and as evaluate reads them.
  private func samples(
    _ side: Int?
  ) throws -> (x: Matrix, bundle: Bundle, pixels: CenteredPixels?) {
    guard data.kind == .images else { return (try features(of: data), data, nil) }
    let all = try ImageSet(data)
    let d = Double(side.map { all.shape.channels * $0 * $0 } ?? all.shape.count)
    try expectMemory(32 * d * d, for: "Gram matrices of \(Int(d)) features")
    let images = try side.map { try all.resized(width: $0, height: $0) } ?? all
    var bundle = try images.bundle(metadata: [:])
    bundle.name = side.map { "\(data.name), of side \($0)," } ?? data.name
    let pixels = try CenteredPixels(images)
    return (pixels.values, bundle, pixels)
  }

  private func constraint(_ x: Matrix, beta: Double, name: String) throws -> GramConstraint {
    let rows = latent?.rows ?? invocation.settings.samples ?? x.rows
    try expectMemory(
      24 * (Double(x.rows) + Double(rows)) * Double(x.columns),
      for: "\(x.rows) samples and \(rows) new ones")
    guard let constraint = GramConstraint(x, rows: rows, beta: beta) else {
      throw Failure.data("LAPACK found no singular values of \(name)")
    }
    return constraint
  }

  private func generate(_ constraint: GramConstraint) throws -> (beta: Double, Generated) {
    let settings = invocation.settings
    let rows = constraint.rows
    if settings.generator == .free {
      return (constraint.beta, try constraint.free(seed: settings.seed))
    }
    let z =
      try latent
      ?? drawn(rows, settings.latentCount ?? max(1, constraint.rank), seed: settings.seed)
    let owner = latent == nil ? "the latent data" : "--latent"
    if settings.generator == .linear {
      return (constraint.beta, try constraint.linear(z, name: owner))
    }
    return (
      constraint.beta,
      try constraint.relu(
        z, neurons: settings.neurons ?? 4 * rows, seed: settings.seed, name: owner)
    )
  }

  /// Normal numbers of mean 0 and variance 1.
  private func drawn(_ rows: Int, _ columns: Int, seed: Int) throws -> Matrix {
    try expectMemory(
      32 * Double(rows) * Double(columns), for: "\(rows) latent samples of \(columns) features")
    var source = RandomSource(seed: seed)
    let result = Matrix(rows, columns)
    for i in 0..<result.count { result.base[i] = source.gaussian() }
    return result
  }

  private func bundle(of generated: Generated, beta: Double, _ pixels: CenteredPixels?) -> Bundle {
    let kind = invocation.settings.generator
    var bundle = Bundle(
      kind: data.kind!, tensors: [:], metadata: invocation.metadata(after: data.metadata))
    if let pixels {
      bundle[.images] = pixels.rounded(generated.samples)
      bundle.tensors["index"] = Tensor((0..<generated.samples.rows).map { Int32($0) })
      bundle[.generated] = generated.samples.tensor
      bundle[.generatorCenter] = Tensor(pixels.center)
    } else {
      bundle.copyStatistics(of: data)
      bundle[.x] = generated.samples.tensor
      bundle.metadata[TableKey.features] = data.metadata[TableKey.features]
    }
    bundle[.latent] = generated.latent?.tensor
    bundle[.generatorWeight] = generated.weight?.tensor
    bundle[.generatorHidden] = generated.hidden?.tensor
    bundle[.generatorOutput] = generated.output?.tensor
    bundle.metadata[.generator] = kind
    bundle.metadata[.beta] = beta
    if let (value, bound) = generated.weightNorm {
      bundle.metadata["weight_norm"] = value.text
      bundle.metadata["weight_norm_bound"] = bound.text
    }
    return bundle
  }
}

/// Images as numbers from 0 to 255 less their mean image.
private struct CenteredPixels {
  private let shape: ImageShape
  /// n × d.
  let values: Matrix
  let center: [Double]

  init(_ images: ImageSet) throws {
    shape = images.shape
    let (n, d) = (images.count, shape.count)
    try expectMemory(16 * Double(n) * Double(d), for: "\(n) images in double precision")
    let values = Matrix(n, d)
    var sums = [Double](repeating: 0, count: d)
    for i in 0..<n {
      let image = images.image(i)
      for k in 0..<d {
        values[i, k] = Double(image[k])
        sums[k] += values[i, k]
      }
    }
    center = sums.map { $0 / Double(n) }
    for i in 0..<n { for k in 0..<d { values[i, k] -= center[k] } }
    self.values = values
  }

  /// U8 [N, channels, height, width] of samples N × d: with the mean image, rounded, and cut to 0 … 255.
  func rounded(_ samples: Matrix) -> Tensor {
    let result = Tensor(
      type: .u8, shape: [samples.rows, shape.channels, shape.height, shape.width])
    let d = shape.count
    result.withMutableElements(of: UInt8.self) { pixels in
      for i in 0..<samples.rows {
        for k in 0..<d {
          pixels[i * d + k] = UInt8(min(255, max(0, (samples[i, k] + center[k]).rounded())))
        }
      }
    }
    return result
  }
}
