import Convex
import Schema
import Tensors

extension Settings {
  /// Refuses combinations of options for which there is no reduction.
  func validateReduction() throws {
    guard activation != .quantized || loss == .squared else {
      throw Failure.usage("--activation quantized is for --loss squared")
    }
    try validateConstraint()
    try validateFreeBias()
    try validateClassWeights()
    guard let batchNorm else { return }
    let name = "--batch-norm \(batchNorm.rawValue)"
    guard activation == .relu || activation == .gatedReLU else {
      throw Failure.usage("\(name) is for --activation relu and gated-relu")
    }
    guard batchNorm == .before || activation == .gatedReLU || loss == .squared else {
      throw Failure.usage("\(name) is for --loss squared with --activation relu")
    }
    guard chosenNorm ?? .group == .group, chosenGrouping ?? .perClass == .perClass else {
      throw Failure.usage("\(name) is for --norm group with --group class")
    }
  }

  /// The systems whose losses take no weights.
  private func validateClassWeights() throws {
    guard classWeights != nil else { return }
    for (option, isGiven) in [
      ("--batch-norm", batchNorm != nil), ("--interpolate", interpolates),
      ("--margin", maximizesMargin), ("--free-bias", freeBias),
      ("--activation quantized", activation == .quantized),
      ("--activation relu --norm nuclear", activation == .relu && chosenNorm == .nuclear),
    ] where isGiven {
      throw Failure.usage("--class-weights and \(option) exclude each other")
    }
  }

  /// The constraint that takes the place of a loss and β.
  var constraint: NormConstraint? {
    interpolates ? .interpolation : maximizesMargin ? .margin : nil
  }

  private func validateFreeBias() throws {
    guard freeBias else { return }
    guard activation == .relu, loss == .squared, chosenNorm ?? .group == .group,
      chosenGrouping ?? .perClass == .perClass
    else {
      throw Failure.usage(
        "--free-bias is for --activation relu with --loss squared, --norm group and --group class")
    }
    for (option, isGiven) in [
      ("--batch-norm", batchNorm != nil), ("--interpolate", interpolates),
      ("--margin", maximizesMargin), ("--global", provesGlobally),
    ] where isGiven {
      throw Failure.usage("--free-bias and \(option) exclude each other")
    }
  }

  private func validateConstraint() throws {
    guard !loss.isConstraint else {
      throw Failure.usage(
        "--loss \(loss.rawValue) is no loss but a constraint: --interpolate and --margin ask for it"
      )
    }
    guard let constraint else { return }
    let name = constraint == .interpolation ? "--interpolate" : "--margin"
    guard !(interpolates && maximizesMargin) else {
      throw Failure.usage("--interpolate and --margin exclude each other")
    }
    guard activation == .relu || activation == .gatedReLU else {
      throw Failure.usage("\(name) is for --activation relu and gated-relu")
    }
    for (option, isGiven) in [
      ("--beta", beta != nil), ("--path", path != nil), ("--loss", loss != .squared),
      ("--batch-norm", batchNorm != nil), ("--warm-start", warmStart != nil),
    ] where isGiven {
      throw Failure.usage("\(name) and \(option) exclude each other")
    }
    guard chosenNorm ?? .group == .group, chosenGrouping ?? .perClass == .perClass else {
      throw Failure.usage("\(name) is for --norm group with --group class")
    }
  }

  /// What makes of the program over the data `source` the one that is solved; nil if they are the same.
  func reduction(of source: Bundle) throws -> (any Reduction)? {
    switch batchNorm {
    case .before: try BatchNormalization(source)
    case .after, nil: nil
    }
  }
}

extension Bundle {
  /// The solution that this one stands for.
  func lifted(by reduction: (any Reduction)?) -> Bundle { reduction?.lift(self) ?? self }

  /// The solution of the program that is solved, which stands for this one.
  func lowered(by reduction: (any Reduction)?) throws -> Bundle {
    guard let reduction else {
      if let place = try read(ifPresent: .batchNorm) {
        throw Failure.data(
          "the warm start \(name) has batch normalisation (\(place.rawValue) the ReLU), which was not asked for"
        )
      }
      return self
    }
    return try reduction.lower(self)
  }
}
