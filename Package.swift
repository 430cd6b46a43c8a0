// swift-tools-version: 6.2
import PackageDescription

/// Every module is built alike: Swift 6 concurrency checking and warnings as errors.
let settings: [SwiftSetting] = [
  .treatAllWarnings(as: .error)
]

/// The library, lowest module first: a module sees only what it names here. Its internals are open to
/// tests in release builds too, so that the build that is installed is the one that is tested.
func shared(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(
    name: name, dependencies: dependencies, path: "Sources/Shared/\(name)",
    swiftSettings: settings + [
      .unsafeFlags(["-enable-testing"], .when(configuration: .release))
    ])
}

/// C of our own: what Swift cannot say.
func c(_ name: String, libraries: [String] = []) -> Target {
  .target(
    name: name, path: "Sources/Shared/\(name)", cSettings: [.treatAllWarnings(as: .error)],
    linkerSettings: libraries.map { .linkedLibrary($0) })
}

func system(_ name: String, package: String, apt: String) -> Target {
  .systemLibrary(
    name: name, path: "Sources/Shared/\(name)", pkgConfig: package, providers: [.apt([apt])])
}

/// A tool is one thin `main.swift` over the library.
func tool(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: ["Tensors", "Schema", "Command"] + dependencies,
    path: "Sources/\(name)",
    swiftSettings: settings)
}

/// Tests that only run the tools, which are compiled as they are installed, need no optimiser of their own.
func tests(
  _ name: String, _ dependencies: [Target.Dependency], optimized: Bool = true
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies,
    swiftSettings: settings
      + (optimized ? [] : [.unsafeFlags(["-Onone"], .when(configuration: .release))]))
}

let package = Package(
  name: "convex-networks",
  targets: [
    system("CBLAS", package: "openblas", apt: "libopenblas-dev"),
    system("CLAPACKE", package: "lapacke", apt: "liblapacke-dev"),
    system("CPNG", package: "libpng", apt: "libpng-dev"),
    system("CZLIB", package: "zlib", apt: "zlib1g-dev"),
    c("CFaults"),
    c("CJPEG", libraries: ["jpeg"]),
    shared("Tensors", ["CFaults"]),
    shared("Schema", ["Tensors"]),
    shared("Command", ["Tensors", "Schema", "CFaults"]),
    shared("LinearAlgebra", ["Tensors", "CBLAS", "CLAPACKE"]),
    shared("Images", ["Tensors", "Schema", "CPNG", "CZLIB", "CJPEG"]),
    shared("Patches", ["Tensors", "Schema", "LinearAlgebra"]),
    shared("Convex", ["Tensors", "Schema", "LinearAlgebra", "Patches"]),
    shared("Convolution", ["Tensors", "Schema", "LinearAlgebra", "Patches", "Convex"]),
    shared(
      "Networks", ["Tensors", "Schema", "LinearAlgebra", "Patches", "Convex", "Convolution"]),
    shared("Training", ["Tensors", "Schema", "LinearAlgebra", "Patches", "Convex", "Convolution"]),
    shared("Generators", ["Tensors", "LinearAlgebra"]),
    shared("Evaluation", ["Tensors", "Schema", "LinearAlgebra", "Images", "Patches"]),
    tool("cifar-extract", ["Images"]),
    tool("patchify", ["Patches", "LinearAlgebra"]),
    tool("arrangements", ["Convex", "Patches", "LinearAlgebra"]),
    tool("gram", ["Convex", "Convolution", "Patches", "LinearAlgebra"]),
    tool("solve", ["Convex", "Convolution", "Networks", "Evaluation", "Patches", "LinearAlgebra"]),
    tool("recover", ["Convex", "Convolution", "Patches", "LinearAlgebra"]),
    tool("evaluate", ["Evaluation", "LinearAlgebra", "Images", "Patches"]),
    tool("baseline", ["Training", "Convex", "Convolution", "Patches", "LinearAlgebra"]),
    tool("generate", ["Generators", "Evaluation", "Images", "LinearAlgebra"]),
    tool("tensor", []),
    // Runs the tools under hostile conditions, for tests and for the Makefile; it is not installed.
    .executableTarget(
      name: "trials",
      dependencies: ["Tensors", "Schema", "LinearAlgebra", "Convex", "Convolution"],
      path: "Tests/Trials", swiftSettings: settings),
    tests("TensorsTests", ["Tensors", "Schema"]),
    tests("SchemaTests", ["Tensors", "Schema"]),
    tests("CommandTests", ["Tensors", "Command"]),
    tests("LinearAlgebraTests", ["LinearAlgebra"]),
    tests("ImagesTests", ["Tensors", "Schema", "Images"]),
    tests("PatchesTests", ["Tensors", "Schema", "Patches", "LinearAlgebra"]),
    tests("ConvexTests", ["Tensors", "Schema", "Convex", "LinearAlgebra"]),
    tests(
      "ConvolutionTests",
      ["Tensors", "Schema", "Convolution", "Convex", "Patches", "LinearAlgebra"]),
    tests(
      "NetworksTests",
      [
        "Tensors", "Schema", "Networks", "Convolution", "Convex", "Patches", "LinearAlgebra",
      ], optimized: false),
    tests(
      "TrainingTests",
      ["Tensors", "Schema", "Training", "Convex", "Convolution", "Patches", "LinearAlgebra"]),
    tests("GeneratorsTests", ["Tensors", "Generators", "LinearAlgebra"]),
    tests(
      "EvaluationTests", ["Tensors", "Schema", "Evaluation", "LinearAlgebra", "Images", "Patches"]),
    tests(
      "PipelineTests",
      [
        "Tensors", "Schema", "Evaluation", "cifar-extract", "patchify", "arrangements", "gram",
        "solve", "recover", "evaluate", "baseline", "generate", "tensor", "trials",
      ], optimized: false),
    .testTarget(
      name: "FuzzingTests", dependencies: ["Tensors", "Images"], path: "Tests/Fuzzing",
      exclude: ["Target", "corpus", "rules.mk"], swiftSettings: settings),
  ]
)
