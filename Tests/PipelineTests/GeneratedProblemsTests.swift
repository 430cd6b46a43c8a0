import Foundation
import Testing

/// Small random problems of every kind, of which `make stalls` solves more: at most one in two hundred may end short of
/// its gap, and no program over all cells of points on a line or in the plane.
@Test func fewGeneratedProblemsStall() throws {
  let folder = try Folder()
  let run = try Tools.run(
    "trials",
    ["stalls", "--count", "400", "--seed", "0", "--cells", "2", "--points", "50"]
      + ["--folder", folder.path("stalls")])
  #expect(run.status == 0, "\(run.text)\(run.errors)")
}
