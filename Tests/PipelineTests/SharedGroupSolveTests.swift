import Foundation
import Tensors
import Testing

/// `solve --group pattern` on synthetic images of ten classes, from files to the report.
@Suite struct SharedGroupSolveTests {
  private static let options = ["--activation", "gated-relu", "--group", "pattern", "--quiet"]

  private func folder() throws -> Folder {
    let folder = try Folder()
    for command in [
      "cifar-extract --synthetic 300 --resize 6x6 -o images",
      "patchify --flatten -o data images", "arrangements --sample 30 -o train data",
    ] {
      let words = command.split(separator: " ").map(String.init)
      let run = try Tools.run(words[0], Array(words.dropFirst()), in: folder)
      #expect(run.status == 0, "\(command): \(run.errors)")
    }
    return folder
  }

  private func solve(
    _ more: [String], _ name: String, in folder: Folder, status: Int32 = 0
  ) throws -> Bundle {
    let run = try Tools.run("solve", Self.options + more + ["-o", name, "train"], in: folder)
    #expect(run.status == status, "\(run.errors)")
    return try folder.read(name)
  }

  private func number(_ bundle: Bundle, _ key: String) -> Double {
    Double(bundle.metadata[key] ?? "") ?? .nan
  }

  @Test func pixelsAsTheyComeAreCertified() throws {
    let folder = try folder()
    let far = try solve(["--beta", "1e9"], "far", in: folder)
    let betaMax = number(far, "beta_max")
    #expect(far.tensors["gates"]?.shape[0] == 0)
    let beta = "\(0.03 * betaMax)"
    let solution = try solve(["--beta", beta, "--gap", "1e-9"], "solution", in: folder)
    #expect(solution.metadata["group"] == "pattern" && solution.metadata["minimal"] == nil)
    let active = try #require(solution.tensors["gates"]).shape[0]
    #expect(active > 0 && solution.tensors["w"]?.shape == [10, active, 108])
    #expect(number(solution, "relative_gap") <= 1e-9)
    // One group for all classes weighs less than one each.
    let run = try Tools.run(
      "solve",
      ["--activation", "gated-relu", "--quiet", "--beta", beta, "-o", "apart", "train"],
      in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let apart = try folder.read("apart")
    #expect(number(solution, "primal_objective") < number(apart, "dual_objective"))

    // A limit, then on from there.
    let part = try solve(
      ["--beta", beta, "--gap", "1e-9", "--max-iterations", "2"], "part", in: folder)
    #expect(part.metadata["status"] == "iteration-limit")
    let whole = try solve(
      ["--beta", beta, "--gap", "1e-9", "--warm-start", "part"], "whole", in: folder)
    #expect(whole.metadata["status"] == "optimal")
    let size = number(solution, "primal_objective")
    #expect(abs(number(whole, "primal_objective") - size) <= 2e-9 * size)
    let path = try solve(
      ["--beta", beta, "--path", "3", "--validation", "train"], "path", in: folder)
    #expect(path.metadata["path"]?.split(separator: ",").count == 3)
  }
}
