import Command
import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

Settings.tool.main { invocation in
  let settings = invocation.settings
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  if settings.wantsOptimalSet {
    try invocation.writeOptimalNetworks(of: Bundle(reading: input))
    return
  }
  let output = try invocation.bundleOutput()
  let solution = try Bundle(reading: input)
  let metadata = invocation.metadata(after: solution.metadata)

  if JointBundle.isJoint(solution) {
    guard settings.data == nil, !settings.minimal, settings.split == nil, settings.depth == nil
    else {
      throw Failure.usage(
        "--minimal, --data, --split and --depth are not for networks of several parts")
    }
    try solution.expect(.solution)
    let parts = try JointBundle.split(solution).map { part in
      let written = try WrittenSolution(part)
      let network =
        written.hasGroups
        ? try GroupedNetwork(written, tolerance: settings.tolerance)
          .bundle(from: part, metadata: metadata)
        : PatternNetwork(written, tolerance: settings.tolerance)
          .bundle(from: part, metadata: metadata)
      return try settings.unit ? network.scalingFiltersToUnit() : network
    }
    try invocation.write(JointBundle.join(parts), to: output)
    return
  }
  let network: Bundle
  let isFactored = solution[.neuronsHidden] != nil
  let isSpline = try solution.read(.freeBias, default: false)
  let hasThreeLayers = solution[.layersWeight] != nil
  let isOfThreeLayers = settings.depth == 3 && solution.hasProductGates()
  guard
    settings.depth == nil || isOfThreeLayers || (hasThreeLayers && settings.depth == 3)
      || solution.metadata[.activation] == .linear
  else {
    throw Failure.usage(
      "--depth is for linear networks, and 3 for gated-relu over product gates, but \(solution.name) has activation "
        + quoted(solution.metadata["activation"] ?? ""))
  }
  if solution.metadata[.activation] == .quantized {
    guard !settings.minimal, settings.data == nil, settings.tolerance == nil, settings.split == nil,
      !settings.unit
    else {
      throw Failure.usage("a quantised network is its solution: there are no options for it")
    }
    try solution.expect(.solution)
    network = try QuantizedNeurons(solution).network(of: solution, metadata: metadata)
  } else if hasThreeLayers {
    guard !settings.minimal, settings.data == nil, settings.split == nil, !settings.unit else {
      throw Failure.usage(
        "--minimal, --data, --split and --unit are not for networks of three layers")
    }
    try solution.expect(.solution)
    network = try ThreeLayers(solution, tolerance: settings.tolerance)
      .bundle(from: solution, metadata: metadata)
  } else if try isFactored || isSpline || solution.read(ifPresent: .batchNorm) == .after {
    guard !settings.minimal, settings.data == nil else {
      throw Failure.usage(
        "--minimal and --data are not for networks with batch normalisation or free biases, or of relu with the nuclear norm"
      )
    }
    network =
      try isSpline
      ? SplineNetwork(solution).bundle(from: solution, metadata: metadata)
      : isFactored
        ? FactoredNetwork(solution, tolerance: settings.tolerance)
          .bundle(from: solution, metadata: metadata)
        : try NormalizedNetwork(solution, tolerance: settings.tolerance)
          .bundle(from: solution, metadata: metadata)
  } else if WrittenSolution.isActivation(of: solution) {
    let data = try settings.data.map { path in
      try invocation.read("--data", path) { input in
        let data = try Bundle(reading: input)
        return try data.kind == .dataset && solution.hasOwnList
          ? data.listing(patternsOf: solution) : data
      }
    }
    var written = try WrittenSolution(solution)
    let isTooLarge = written.hasSpareNeurons
    guard written.normalization == nil || !settings.minimal else {
      throw Failure.usage(
        "--minimal is for networks without batch normalisation: solve has taken away what it can")
    }
    guard !settings.minimal || !written.hasGroups else {
      throw Failure.usage(
        "--minimal is for ReLU and gated-ReLU networks of one pooling region with a group a class: those of "
          + "\(solution.name) share groups")
    }
    let hasPatches = try data.map { data in
      try invocation.blaming("--data", data.name) { try PatchSource(data).patchCount > 1 }
    }
    if settings.minimal, hasPatches == true {
      throw Failure.usage(
        "--minimal is for networks of one patch a sample, but those of \(solution.name) have more")
    }
    if let data, hasPatches == false, written.normalization == nil, settings.minimal || isTooLarge {
      if try !invocation.blaming("--data", data.name, { try written.minimize(on: data) }) {
        invocation.warn("rounding or the size of the problem allows no neuron to be removed")
      }
    } else if settings.minimal, try !solution.read(.minimal, default: false) {
      throw Failure.usage("--minimal needs --data BUNDLE, the arrangements of \(solution.name)")
    } else if isTooLarge, hasPatches == nil {
      invocation.warn(
        "a class has more neurons than there are samples: if a sample is one patch, --data lets recover remove some"
      )
    }
    let recovered =
      isOfThreeLayers
      ? try ThreeLayers(written, tolerance: settings.tolerance)
        .bundle(from: solution, metadata: metadata)
      : written.hasGroups
        ? try GroupedNetwork(written, tolerance: settings.tolerance)
          .bundle(from: solution, metadata: metadata, layers: settings.depth ?? 2)
        : PatternNetwork(written, tolerance: settings.tolerance)
          .bundle(from: solution, metadata: metadata)
    network = try written.normalization?.lift(network: recovered) ?? recovered
  } else {
    try solution.expect(.solution)
    guard !settings.minimal, settings.data == nil else {
      throw Failure.usage("--minimal and --data are for ReLU and gated-ReLU solutions")
    }
    let activation = try solution.read(.activation)
    let blocks = try Solutions.blocks(solution)
    try Solutions.expectFeasible(blocks)
    network = RecoveredNetwork(blocks, activation: activation, tolerance: settings.tolerance)
      .bundle(from: solution, metadata: metadata)
  }
  let split = try settings.split.map { try network.splittingNeurons($0) } ?? network
  try invocation.write(settings.unit ? split.scalingFiltersToUnit() : split, to: output)
}
