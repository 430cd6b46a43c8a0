/// An 8-bit picture, gray or RGB, as PNG files hold it: row by row, the channels of a pixel side by
/// side. (Image tensors keep their channels apart.)
package struct Picture: Equatable, Sendable {
  package let width: Int
  package let height: Int
  /// 1 (gray) or 3 (red, green, blue).
  package let channels: Int
  /// `height × width × channels` values.
  package var pixels: [UInt8]

  /// All black.
  package init(width: Int, height: Int, channels: Int) {
    precondition(width > 0 && height > 0, "a picture has at least one pixel")
    precondition(channels == 1 || channels == 3, "a picture is gray or RGB")
    self.width = width
    self.height = height
    self.channels = channels
    pixels = [UInt8](repeating: 0, count: width * height * channels)
  }

  /// The value of `channel` in column `x` and row `y`, counted from the upper left corner.
  package subscript(x: Int, y: Int, channel: Int) -> UInt8 {
    get { pixels[offset(x, y, channel)] }
    set { pixels[offset(x, y, channel)] = newValue }
  }

  private func offset(_ x: Int, _ y: Int, _ channel: Int) -> Int {
    precondition(
      x >= 0 && x < width && y >= 0 && y < height && channel >= 0 && channel < channels,
      "outside the picture")
    return (y * width + x) * channels + channel
  }
}
