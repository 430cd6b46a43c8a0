import Images
import LinearAlgebra
import Schema
import Tensors

/// The layout of a patch's features in an image.
struct PatchGeometry {
  let channels: Int
  let height: Int
  let width: Int

  var count: Int { channels * height * width }

  /// Reads the metadata `channels` and `size` (a side), or for whole images (`flatten`) `height` and
  /// `width`.
  init(_ metadata: [String: String], name: String) throws {
    func number(_ key: String) throws -> Int {
      guard let text = metadata[key] else {
        throw Failure.data(
          "the metadata of \(name) has no \(quoted(key)): its filters are no pictures")
      }
      guard let value = Int(text), value > 0, value <= 1 << 14 else {
        throw Failure.data(
          "metadata \(quoted(key)) of \(name) is \(quoted(text)), expected a whole number above 0")
      }
      return value
    }
    channels = try number("channels")
    guard channels == 1 || channels == 3 else {
      throw Failure.data("metadata \"channels\" of \(name) is \(channels), expected 1 or 3")
    }
    if metadata["flatten"] == "true" {
      height = try number("height")
      width = try number("width")
    } else {
      height = try number("size")
      width = height
    }
  }
}

extension TrainedNetwork {
  /// Filters whose cosine is larger are drawn once.
  private static let alike = 0.98

  /// At most `count` filters as a grid of pictures, those with the largest contributions ‖u‖ ‖a‖ first, each with the
  /// number of its row in `hidden.weight` below it. Of filters that are nearly the same, up to a factor, the first stands
  /// for all. Each is scaled to its own largest value, zero being middle gray. Filters on whitened features are shown as
  /// the equal filters on pixels, W u; the coordinate of a constant feature is left out.
  package func filterPicture(count: Int = 64) throws -> Picture {
    guard !metadata.keys.contains(where: NumberedParts.layers.owns) else {
      throw Failure.data(
        "the filters of \(name) look at what earlier layers put out, which is no picture: evaluate --filters shows those of the "
          + "first stage")
    }
    let geometry = try PatchGeometry(metadata, name: name)
    let pixels = try pixelFilters(geometry)
    let shown = distinctFilters(pixels, count: count)
    let zoom = max(1, 40 / max(geometry.height, geometry.width))
    let (margin, line) = (3, BitmapFont.height + 2)
    let (width, height) = (geometry.width * zoom, geometry.height * zoom + line)
    let columns = max(1, Int(Double(shown.count).squareRoot().rounded(.up)))
    let rows = max(1, (shown.count + columns - 1) / columns)
    var picture = Picture(
      width: columns * (width + margin) + margin, height: rows * (height + margin) + margin,
      channels: geometry.channels)
    picture.fill(
      x: 0, y: 0, width: picture.width, height: picture.height, Array(repeating: 255, count: 3))
    for (place, j) in shown.enumerated() {
      let left = margin + place % columns * (width + margin)
      let top = margin + place / columns * (height + margin)
      picture.drawFilter(pixels.row(j), geometry, x: left, y: top, zoom: zoom)
      let room = width - BitmapFont.width(of: "\(j)", scale: 1)
      picture.draw(
        "\(j)", x: left + max(0, room / 2), y: top + height - line + 2, scale: 1,
        Array(repeating: 0, count: 3))
    }
    return picture
  }

  /// The first `count` rows of `pixels`, m × pixels, by their contributions, without those that are like one before.
  private func distinctFilters(_ pixels: Matrix, count: Int) -> [Int] {
    let importance = (0..<pixels.rows).map { j in
      let filter = function.filters.row(j)
      return dot(function.filters.columns, filter, filter)
        * function.outputWeight.column(j).reduce(0) { $0 + $1 * $1 }
    }
    let order = importance.indices.sorted {
      importance[$0] != importance[$1] ? importance[$0] > importance[$1] : $0 < $1
    }
    let lengths = (0..<pixels.rows).map { norm(pixels.columns, pixels.row($0)) }
    var shown: [Int] = []
    for j in order where shown.count < count {
      let isAlike = shown.contains { k in
        dot(pixels.columns, pixels.row(j), pixels.row(k))
          > TrainedNetwork.alike * lengths[j] * lengths[k]
      }
      if !isAlike { shown.append(j) }
    }
    return shown
  }

  /// m × channels·height·width.
  private func pixelFilters(_ geometry: PatchGeometry) throws -> Matrix {
    let filters = function.filters
    let whiten = statistics.whiten
    let inputs = whiten?.shape[1] ?? geometry.count
    let outputs = whiten?.shape[0] ?? geometry.count
    guard filters.columns == inputs || filters.columns == inputs + 1, outputs == geometry.count
    else {
      throw Failure.data(
        "tensor \"hidden.weight\" of \(name) has \(filters.columns) columns"
          + (whiten.map { " and \"whiten\" is \($0.summary)" } ?? "")
          + ", but its metadata tell of \(geometry.channels) × \(geometry.height) × "
          + "\(geometry.width) features")
    }
    let result = Matrix(filters.rows, geometry.count)
    if let whiten {
      // Patches are rows x W, so that (x W) · u = x · (W u): U Wᵀ.
      let w = Matrix(outputs, inputs, whiten.doubles)
      gemm(
        filters.rows, outputs, inputs, filters.base, .plain, lda: filters.columns, w.base,
        .transposed, ldb: inputs, result.base)
    } else {
      for j in 0..<filters.rows {
        result.row(j).update(from: filters.row(j), count: geometry.count)
      }
    }
    return result
  }
}

extension Picture {
  /// Draws a filter with its upper left corner at (x, y), `zoom` pixels for each of its own.
  fileprivate mutating func drawFilter(
    _ filter: UnsafePointer<Double>, _ geometry: PatchGeometry, x left: Int, y top: Int, zoom: Int
  ) {
    let largest = (0..<geometry.count).reduce(0) { max($0, abs(filter[$1])) }
    for y in 0..<geometry.height {
      for x in 0..<geometry.width {
        let color = (0..<geometry.channels).map { channel in
          let value = filter[(channel * geometry.height + y) * geometry.width + x]
          return UInt8((127.5 + (largest > 0 ? value / largest : 0) * 127.5).rounded())
        }
        fill(x: left + x * zoom, y: top + y * zoom, width: zoom, height: zoom, color)
      }
    }
  }
}
