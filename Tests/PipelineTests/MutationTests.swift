import Foundation
import Testing

/// Mutants of bundles of every kind through every tool: `Tests/Trials` makes, runs and judges them.
@Test func toolsWithstandMutants() throws {
  let folder = try Folder()
  let run = try Tools.run(
    "trials", ["mutations", "--count", "2000", "--seed", "0", "--folder", folder.path("mutants")])
  #expect(run.status == 0, "\(run.text)\(run.errors)")
}
