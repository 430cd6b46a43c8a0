import Foundation
import Schema
import Tensors
import Testing

private let python: String? = {
  let name = ProcessInfo.processInfo.environment["PYTHON"] ?? "python3"
  let run = try? Tools.shell("'\(name)' -c 'import numpy'")
  return run?.status == 0 ? name : nil
}()

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()

/// python/network.py has the outputs of evaluate, for every kind of network.
@Test(.enabled(if: python != nil, "no Python with numpy; set PYTHON to one"))
func networksMeanTheSameInNumPy() throws {
  let folder = try Folder()
  let run = try Tools.shell(
    "'\(python!)' -B '\(root.path)/benchmarks/network-check' work", in: folder)
  #expect(run.status == 0, "\(run.text)\(run.errors)")
  #expect(run.text.split(separator: "\n").count >= 14)
  #expect(run.text.contains("gated-relu, all steps, deferred\tnumpy "))
}

/// Two layers as torch.nn.Linear has them.
@Test func biasesAreWeightsOfAConstant() throws {
  let folder = try Folder()
  var network = Bundle(
    kind: .network,
    tensors: [
      "hidden.weight": Tensor([1.0, -2, 0.5, 3], shape: [2, 2]),
      "hidden.bias": Tensor([0.25, -1]),
      "output.weight": Tensor([2.0, -1, 0.5, 4], shape: [2, 2]),
      "output.bias": Tensor([10.0, -20]),
    ], metadata: ["activation": "relu", "loss": "squared"])
  try folder.write(network, "network")
  let x = [(1.0, 1.0), (2.0, 0.0), (-1.0, 3.0)]
  var data = Bundle(
    kind: .dataset, tensors: ["x": Tensor(x.flatMap { [$0.0, $0.1] }, shape: [3, 2])])
  try folder.write(data, "data")
  let run = try Tools.run(
    "evaluate", ["network", "data", "--predictions", "table"], in: folder)
  #expect(run.status == 0 && run.errors == "", "\(run.errors)")
  let table = String(decoding: try Data(contentsOf: folder.url("table")), as: UTF8.self)
  let rows = table.split(separator: "\n").dropFirst().map {
    $0.split(separator: "\t").map { Double($0)! }
  }
  for (row, (a, b)) in zip(rows, x) {
    let (h, k) = (max(0, a - 2 * b + 0.25), max(0, 0.5 * a + 3 * b - 1))
    #expect(row[1] == 2 * h - k + 10 && row[2] == 0.5 * h + 4 * k - 20)
  }
  // Their patterns are those of the affine functions, on data with the constant.
  data[.x] = Tensor(x.flatMap { [$0.0, $0.1, 1] }, shape: [3, 3])
  data[.targets] = Tensor([1.0, 2, 3])
  data.metadata[.bias] = true
  try folder.write(data, "constant")
  let listed = try Tools.run(
    "arrangements", ["--from", "network", "constant", "-o", "listed"], in: folder)
  #expect(listed.status == 0, "\(listed.errors)")
  let patterns = try #require(folder.read("listed")[.patterns]).doubles
  // The neuron that is always 1 has the pattern of the second one.
  #expect(patterns == [0b010, 0b111])
  network[.hiddenBias] = Tensor([1.0])
  try folder.write(network, "network")
  #expect(
    try Tools.run("evaluate", ["network", "data"], in: folder).errors.contains("\"hidden.bias\""))
}

/// Layers of a safetensors file are taken by shape and name, whatever their order; what evaluate would refuse is refused.
@Test(.enabled(if: python != nil, "no Python with numpy; set PYTHON to one"))
func layersAreImportedByShapeAndName() throws {
  let folder = try Folder()
  let run = try Tools.shell(
    """
    PYTHONPATH='\(root.path)/python' '\(python!)' -B - <<'END'
    import numpy as np, network
    first, second = np.arange(12.0).reshape(4, 3), np.arange(8.0).reshape(2, 4)
    def imported(names, state, metadata=None, ordered=False):
        network.import_state(dict(zip(names, state)), "out", metadata, ordered)
        tensors, _ = network.read_bundle("out")
        return tensors["hidden.weight"], tensors["output.weight"]
    for order in [(first, second), (second, first)]:
        hidden, output = imported(["a.weight", "b.weight"], order)
        assert (hidden == first).all() and (output == second).all()
    # Both orders fit: names decide, with their numbers as numbers, or the order of the dictionary.
    one, two = np.eye(3), 2 * np.eye(3)
    assert (imported(["fc10.weight", "fc2.weight"], [two, one])[0] == one).all()
    assert (imported(["fc10.weight", "fc2.weight"], [two, one], ordered=True)[0] == two).all()
    for activation in ["linear", "0.1,0.5,0.4"]:
        try:
            imported(["a.weight", "a.bias", "b.weight"], [first, np.ones(4), second], {"activation": activation})
            assert False
        except ValueError as error:
            assert "no biases" in str(error)
    imported(["a.weight", "b.weight"], [first, second])
    net = network.load("out")
    for bad in [np.nan, np.inf]:
        try:
            net([[1.0, bad, 2.0]])
            assert False
        except ValueError as error:
            assert "not finite" in str(error)
    END
    """, in: folder)
  #expect(run.status == 0, "\(run.errors)")
}
