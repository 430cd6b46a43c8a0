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

  /// Counts the classes decided for samples of these labels.
  init(names: [String], labels: [Int], decisions: [Int]) {
    var counts = [Int](repeating: 0, count: names.count * names.count)
    for (label, decision) in zip(labels, decisions) { counts[label * names.count + decision] += 1 }
    self.init(names: names, counts: counts)
  }

  /// The share of the samples of class `c` that were taken for it; nil if there are none.
  func recall(_ c: Int) -> Double? {
    share(c, of: names.indices.reduce(0) { $0 + self[c, $1] })
  }

  /// The share of the samples taken for class `c` that are of it; nil if there are none.
  func precision(_ c: Int) -> Double? {
    share(c, of: names.indices.reduce(0) { $0 + self[$1, c] })
  }

  private func share(_ c: Int, of total: Int) -> Double? {
    total == 0 ? nil : Double(self[c, c]) / Double(total)
  }

  package subscript(label: Int, decision: Int) -> Int { counts[label * names.count + decision] }

  /// The matrix as a picture: a row for each true class, a column for each class decided, each cell shaded by its
  /// share of the row; below each count, if there is room, the share in per cent.
  package var picture: Picture {
    let layout = Layout(self)
    let size = layout.size
    var picture = Picture(width: size.width, height: size.height, channels: 3)
    picture.fill(x: 0, y: 0, width: picture.width, height: picture.height, Ink.white)
    drawNames(layout, &picture)
    for label in names.indices {
      let total = names.indices.reduce(0) { $0 + self[label, $1] }
      for decision in names.indices {
        drawCell(label, decision, ofRow: total, layout, &picture)
      }
    }
    return picture
  }

  /// Writes the classes' names, above the columns and left of the rows, and the titles of both sides.
  private func drawNames(_ layout: Layout, _ picture: inout Picture) {
    let (scale, gap, line, cell) = (layout.scale, layout.gap, layout.line, layout.cell)
    let (left, top, rows) = (layout.left, layout.top, layout.rows)
    let (width, height) = (names.count * cell, names.count * rows)
    picture.draw(
      "decided", x: left + layout.centred("decided", in: width), y: gap, scale: scale, Ink.gray)
    picture.draw(
      "true", x: gap, y: top + height - layout.centred("true", in: height), scale: scale, Ink.gray,
      upwards: true)
    for (c, name) in names.enumerated() {
      if layout.upright {
        picture.draw(
          name, x: left + c * cell + (cell - line) / 2, y: top - gap, scale: scale, Ink.black,
          upwards: true)
      } else {
        picture.draw(
          name, x: left + c * cell + layout.centred(name, in: cell), y: top - gap - line,
          scale: scale, Ink.black)
      }
      picture.draw(
        name, x: left - gap - BitmapFont.width(of: name, scale: scale),
        y: top + c * rows + (rows - line) / 2, scale: scale, Ink.black)
    }
  }

  /// Draws one cell of the row `label`, whose counts sum to `total`.
  private func drawCell(
    _ label: Int, _ decision: Int, ofRow total: Int, _ layout: Layout, _ picture: inout Picture
  ) {
    let (scale, gap, line) = (layout.scale, layout.gap, layout.line)
    let (width, height) = (layout.cell - scale, layout.rows - scale)
    let count = self[label, decision]
    let share = total > 0 ? Double(count) / Double(total) : 0
    let (x, y) = (layout.left + decision * layout.cell, layout.top + label * layout.rows)
    picture.fill(
      x: x, y: y, width: width, height: height, shade(share, right: label == decision))
    let text = "\(count)"
    let isDark = share > 0.3
    let ink = isDark ? Ink.white : (count == 0 ? Ink.faint : Ink.black)
    let block = layout.upright ? line : 2 * line + gap / 2
    let start = y + (height - block) / 2
    picture.draw(text, x: x + layout.centred(text, in: width), y: start, scale: scale, ink)
    if !layout.upright, count > 0 {
      let percent = perMille(share)
      picture.draw(
        percent, x: x + layout.centred(percent, in: width), y: start + line + gap / 2,
        scale: scale, isDark ? Ink.percentOnDark : Ink.percent)
    }
  }

  private enum Ink {
    static let black: [UInt8] = [30, 30, 30]
    static let gray: [UInt8] = [110, 110, 110]
    static let white: [UInt8] = [255, 255, 255]
    static let faint: [UInt8] = [190, 190, 190]
    static let percent: [UInt8] = [90, 90, 90]
    static let percentOnDark: [UInt8] = [235, 235, 235]
  }

  /// The places of things in the picture, in pixels: large letters while they fit a screen, beyond that small ones and
  /// upright names of columns.
  private struct Layout {
    let scale, gap, line: Int
    /// Whether the columns' names stand upright.
    let upright: Bool
    /// Width and height of a cell.
    let cell, rows: Int
    /// The corner of the first cell.
    let left, top: Int
    let size: (width: Int, height: Int)

    init(_ matrix: ConfusionMatrix) {
      let (names, classes) = (matrix.names, matrix.names.count)
      let scale = classes <= 12 ? 2 : 1
      gap = 4 * scale
      line = BitmapFont.height * scale
      upright = classes > 12
      let widestName = names.map { BitmapFont.width(of: $0, scale: scale) }.max() ?? 0
      let widestCount = matrix.counts.map { BitmapFont.width(of: "\($0)", scale: scale) }.max() ?? 0
      cell = max(widestCount, upright ? line : widestName) + 2 * gap
      rows = upright ? max(cell, line + 2 * gap) : max(cell / 2, 2 * line + 3 * gap)
      let caption = line + gap
      left = caption + gap + widestName + gap
      top = caption + gap + (upright ? widestName : line) + gap
      size = (left + classes * cell + gap, top + classes * rows + gap)
      self.scale = scale
    }

    func centred(_ text: String, in width: Int) -> Int {
      (width - BitmapFont.width(of: text, scale: scale)) / 2
    }
  }

  /// A colour from nearly white to full: blue if the decision is right, red if it is wrong.
  private func shade(_ share: Double, right: Bool) -> [UInt8] {
    let full: [Double] = right ? [33, 92, 160] : [190, 50, 40]
    // The root makes small shares visible, which readers look for among the mistakes.
    let depth = share.squareRoot()
    return full.map { UInt8((246 + ($0 - 246) * depth).rounded()) }
  }

  /// A share in per cent with one decimal.
  private func perMille(_ share: Double) -> String {
    let tenths = Int((share * 1000).rounded())
    return "\(tenths / 10).\(tenths % 10)%"
  }
}
