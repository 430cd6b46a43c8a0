/// A picture of the first images of each class: a row for each class, in the order of the labels; small images are
/// magnified by a whole factor.
package func contactSheet(of images: ImageSet, perClass: Int = 10) -> Picture {
  // Images without classes are of one.
  var rows = [[Int]](repeating: [], count: max(1, images.classes.count))
  for i in 0..<images.count {
    let row = Int(images.labels?[i] ?? 0)
    if rows[row].count < perClass { rows[row].append(i) }
  }
  let shape = images.shape
  // About 64 pixels a side: enough to see something, small enough for a hundred classes.
  let factor = max(1, 64 / max(shape.height, shape.width))
  let (gap, margin) = (4, 8)
  let (width, height) = (shape.width * factor, shape.height * factor)
  let columns = rows.map(\.count).max() ?? 0
  var sheet = Picture(
    width: 2 * margin + columns * (width + gap) - gap,
    height: 2 * margin + rows.count * (height + gap) - gap,
    channels: shape.channels)
  for i in sheet.pixels.indices { sheet.pixels[i] = 255 }
  for (row, places) in rows.enumerated() {
    for (column, place) in places.enumerated() {
      let (left, top) = (margin + column * (width + gap), margin + row * (height + gap))
      let image = images.image(place)
      for channel in 0..<shape.channels {
        for y in 0..<height {
          let line = image + channel * shape.plane + y / factor * shape.width
          for x in 0..<width { sheet[left + x, top + y, channel] = line[x / factor] }
        }
      }
    }
  }
  return sheet
}
