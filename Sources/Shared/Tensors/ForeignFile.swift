/// A hint for messages about a file that is no bundle: what it looks like, and what to do with it; empty if its first
/// bytes tell nothing. A bundle begins with a small number and zeros.
func foreignFile(_ start: UnsafeRawBufferPointer) -> String {
  let formats: [(magic: [UInt8], text: String)] = [
    (
      [0x89] + Array("PNG".utf8),
      "a PNG picture: cifar-extract --png reads a folder of them"
    ),
    ([0x93] + Array("NUMPY".utf8), "a NumPy file: tensor from-npy NAME=FILE makes a bundle of it"),
    (
      Array("PK".utf8) + [3, 4],
      "a ZIP archive, as PyTorch (.pt) and NumPy (.npz) write: python3 -m network import makes a network of two layers; save other arrays as .npy"
    ),
    ([0x80, 2], "a pickle, as older PyTorch writes: save its tensors as safetensors"),
    ([0x1F, 0x8B], "compressed by gzip: gunzip it first"),
    ([0xFF, 0xD8, 0xFF], "a JPEG picture: cifar-extract --png reads a folder of them"),
    ([0x89] + Array("HDF".utf8), "an HDF5 file: save its arrays as safetensors or .npy"),
  ]
  for (magic, text) in formats where start.starts(with: magic) { return ": it looks like \(text)" }
  if start.starts(with: "{".utf8) { return ": it looks like JSON" }
  let isText = start.allSatisfy { (0x20..<0x7F).contains($0) || [0x09, 0x0A, 0x0D].contains($0) }
  return isText && !start.isEmpty
    ? ": it looks like text: tensor from-csv makes a dataset of comma-separated values" : ""
}
