import Testing

@Test func everyToolTellsItsVersion() throws {
  for tool in [
    "cifar-extract", "patchify", "arrangements", "gram", "solve", "recover", "evaluate", "baseline",
    "generate",
    "tensor",
  ] {
    let run = try Tools.run(tool, ["--version"])
    #expect(run.status == 0)
    #expect(run.text.hasPrefix("\(tool) "))
  }
}
