import Images

/// How often each class was taken for each other.
package struct ConfusionMatrix: Sendable, Equatable {
  package let names: [String]
  /// C × C, row-major: row the true class, column the class decided.
  package let counts: [Int]

  package init(names: [String], counts: [Int]) {
    precondition(counts.count == names.count * names.count, "counts do not fit the names")
    self.names = names
    self.counts = counts
  }

  package subscript(label: Int, decision: Int) -> Int { counts[label * names.count + decision] }

  /// The matrix as a picture: a row a true class, a column a class decided, each cell shaded by its
  /// share of the row; below each count, where there is room, the share in per cent.
  package var picture: Picture {
    let classes = names.count
    // Large letters while they fit a screen; beyond that small ones, and column names upright.
    let scale = classes <= 12 ? 2 : 1
    let gap = 4 * scale
    let line = BitmapFont.height * scale
    let widestName = names.map { BitmapFont.width(of: $0, scale: scale) }.max() ?? 0
    let widestCount = counts.map { BitmapFont.width(of: "\($0)", scale: scale) }.max() ?? 0
    let upright = classes > 12
    let cell = max(widestCount, upright ? line : widestName) + 2 * gap
    let rows = upright ? max(cell, line + 2 * gap) : max(cell / 2, 2 * line + 3 * gap)
    let caption = line + gap
    let left = caption + gap + widestName + gap
    let top = caption + gap + (upright ? widestName : line) + gap
    var picture = Picture(
      width: left + classes * cell + gap, height: top + classes * rows + gap, channels: 3)
    let black: [UInt8] = [30, 30, 30]
    let gray: [UInt8] = [110, 110, 110]
    let white: [UInt8] = [255, 255, 255]
    picture.fill(x: 0, y: 0, width: picture.width, height: picture.height, white)
    func centred(_ text: String, in width: Int) -> Int {
      (width - BitmapFont.width(of: text, scale: scale)) / 2
    }
    picture.draw(
      "decided", x: left + centred("decided", in: classes * cell), y: gap, scale: scale, gray)
    picture.draw(
      "true", x: gap, y: top + classes * rows - centred("true", in: classes * rows), scale: scale,
      gray, upwards: true)
    for (c, name) in names.enumerated() {
      if upright {
        picture.draw(
          name, x: left + c * cell + (cell - line) / 2, y: top - gap, scale: scale, black,
          upwards: true)
      } else {
        picture.draw(
          name, x: left + c * cell + centred(name, in: cell), y: top - gap - line, scale: scale,
          black)
      }
      picture.draw(
        name, x: left - gap - BitmapFont.width(of: name, scale: scale),
        y: top + c * rows + (rows - line) / 2, scale: scale, black)
    }
    for label in 0..<classes {
      let total = (0..<classes).reduce(0) { $0 + self[label, $1] }
      for decision in 0..<classes {
        let count = self[label, decision]
        let share = total > 0 ? Double(count) / Double(total) : 0
        let (x, y) = (left + decision * cell, top + label * rows)
        picture.fill(
          x: x, y: y, width: cell - scale, height: rows - scale,
          shade(share, right: label == decision))
        let text = "\(count)"
        let isDark = share > 0.3
        let ink = isDark ? white : (count == 0 ? [190, 190, 190] : black)
        let block = upright ? line : 2 * line + gap / 2
        let start = y + (rows - scale - block) / 2
        picture.draw(text, x: x + centred(text, in: cell - scale), y: start, scale: scale, ink)
        if !upright, count > 0 {
          let percent = perMille(share)
          picture.draw(
            percent, x: x + centred(percent, in: cell - scale), y: start + line + gap / 2,
            scale: scale, isDark ? [235, 235, 235] : [90, 90, 90])
        }
      }
    }
    return picture
  }

  /// From nearly white to full colour: blue where the decision is right, red where it is wrong.
  private func shade(_ share: Double, right: Bool) -> [UInt8] {
    let full: [Double] = right ? [33, 92, 160] : [190, 50, 40]
    // The root makes small shares visible, which is what one looks for among the mistakes.
    let depth = share.squareRoot()
    return full.map { UInt8((246 + ($0 - 246) * depth).rounded()) }
  }

  /// A share in per cent with one decimal.
  private func perMille(_ share: Double) -> String {
    let tenths = Int((share * 1000).rounded())
    return "\(tenths / 10).\(tenths % 10)%"
  }
}
