import Foundation
import Schema
import Tensors
import Testing

/// A Python with the safetensors package: `PYTHON`, or the first on the path.
private let python: String? = {
  let name = ProcessInfo.processInfo.environment["PYTHON"] ?? "python3"
  let run = try? Tools.shell("'\(name)' -c 'import safetensors, numpy'")
  return run?.status == 0 ? name : nil
}()

private let skipNote: Comment = "no Python with safetensors and numpy; set PYTHON to one"

@Test(.enabled(if: python != nil, skipNote))
func pythonReadsOurBundles() throws {
  let folder = try Folder()
  let bundle = Bundle(
    kind: .dataset,
    tensors: [
      "bool": Tensor([Truth(byte: 0), Truth(byte: 1), Truth(byte: 1)]),
      "u8": Tensor([UInt8.max]), "i8": Tensor([Int8.min]), "u16": Tensor([UInt16.max]),
      "i16": Tensor([Int16.min]), "u32": Tensor([UInt32.max]), "i32": Tensor([Int32.min]),
      "u64": Tensor([UInt64.max]), "i64": Tensor([Int64.min]), "f16": Tensor([Float16(0.5)]),
      "f32": Tensor([Float(0.1), -.infinity]),
      "f64": Tensor([0.1, 2, 3, 4, 5, 6], shape: [1, 2, 3]),
      "scalar": Tensor([7.0], shape: []), "none": Tensor([Float](), shape: [0, 3]),
    ],
    metadata: ["note": "a\n\"b\"\\ \u{7F}é😀"])
  try folder.write(bundle, "in")
  #expect(
    try Tools.run("tensor", ["rename", "f32=single", "-o", "out", "in"], in: folder).status == 0)
  try Data(
    #"""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file
    t = load_file("out")
    expected = {
        "bool": np.array([False, True, True]), "u8": np.array([255], "u1"),
        "i8": np.array([-128], "i1"), "u16": np.array([65535], "u2"),
        "i16": np.array([-32768], "i2"), "u32": np.array([2**32 - 1], "u4"),
        "i32": np.array([-2**31], "i4"), "u64": np.array([2**64 - 1], "u8"),
        "i64": np.array([-2**63], "i8"), "f16": np.array([0.5], "f2"),
        "single": np.array([0.1, -np.inf], "f4"),
        "f64": np.array([[[0.1, 2, 3], [4, 5, 6]]]), "scalar": np.array(7.0),
        "none": np.zeros((0, 3), "f4")}
    assert sorted(t) == sorted(expected), sorted(t)
    for name, value in expected.items():
        assert t[name].dtype == value.dtype and t[name].shape == value.shape, name
        assert np.array_equal(t[name], value), name
    with safe_open("out", "numpy") as f:
        m = f.metadata()
    assert m["kind"] == "dataset" and m["producer"].startswith("tensor "), m
    assert m["note"] == "a\n\"b\"\\ \x7fé😀", m
    assert m["command"] == "tensor rename f32=single", m
    """#.utf8
  ).write(to: folder.url("check.py"))
  let run = try Tools.shell("'\(python!)' check.py", in: folder)
  #expect(run.status == 0, "\(run.errors)")
}

@Test(.enabled(if: python != nil, skipNote))
func weReadPythonsBundles() throws {
  let folder = try Folder()
  try Data(
    #"""
    import numpy as np
    from safetensors.numpy import save_file
    save_file({
        "bool": np.array([True, False]), "u8": np.array([255], "u1"), "i64": np.array([-2**63]),
        "f16": np.array([0.5], "f2"), "f64": np.array([[0.1, 2, 3], [4, 5, 6]]),
        "scalar": np.array(7, "i2"), "none": np.zeros((0, 3), "f4"), "é": np.array([1], "u4"),
    }, "in", metadata={"kind": "network", "note": "a\n\"b\"\\ \x7fé😀"})
    np.save("x.npy", np.arange(6.0).reshape(2, 3, order="F"))
    np.save("y.npy", np.array([1, 0]))
    """#.utf8
  ).write(to: folder.url("make.py"))
  let made = try Tools.shell("'\(python!)' make.py", in: folder)
  #expect(made.status == 0, "\(made.errors)")
  let bundle = try folder.read("in")
  #expect(bundle.kind == .network)
  #expect(bundle.metadata["note"] == "a\n\"b\"\\ \u{7F}é😀")
  #expect(bundle.tensors["bool"]?.doubles == [1, 0])
  #expect(bundle.tensors["u8"]?.doubles == [255])
  #expect(bundle.tensors["i64"]?.withElements(of: Int64.self) { $0[0] } == .min)
  #expect(bundle.tensors["f16"]?.doubles == [0.5])
  #expect(bundle.tensors["f64"]?.doubles == [0.1, 2, 3, 4, 5, 6])
  #expect(bundle.tensors["scalar"]?.shape == [])
  #expect(bundle.tensors["none"]?.shape == [0, 3])
  #expect(bundle.tensors["é"]?.type == .u32)

  let arrays = try Tools.shell(
    """
    tensor from-npy x=x.npy labels=y.npy -o b && tensor get x --npy -o again.npy b && \
    '\(python!)' -c 'import numpy as np; a = np.load("x.npy"); b = np.load("again.npy"); \
    assert (a == b).all() and b.flags.c_contiguous'
    """, in: folder)
  #expect(arrays.status == 0, "\(arrays.errors)")
}
