import Glibc

/// The sectors into which lines through the origin cut the plane.
enum PlaneArrangement {
  /// The middle of each sector, as unit vectors; the zero vector if there is no line. The lines have the unit normals
  /// `normals` (rows of 2), known to within `errors`; parallel ones are one line.
  static func cells(_ normals: UnsafePointer<Double>, _ errors: [Double]) -> [Double] {
    guard !errors.isEmpty else { return [0, 0] }
    // The direction of each line as an angle in [0, π).
    var lines: [(angle: Double, error: Double)] = []
    lines.reserveCapacity(errors.count)
    for j in errors.indices {
      var angle = atan2(normals[2 * j], -normals[2 * j + 1])
      if angle < 0 { angle += .pi }
      if angle >= .pi { angle -= .pi }
      lines.append((angle, errors[j]))
    }
    lines.sort { $0 < $1 }
    // The gaps between neighbours that are different lines; the last gap ends at the first line turned by π.
    var cells: [Double] = []
    cells.reserveCapacity(4 * lines.count)
    for i in lines.indices {
      let (a, b) = (lines[i], lines[i + 1 < lines.count ? i + 1 : 0])
      let next = i + 1 < lines.count ? b.angle : b.angle + .pi
      guard next - a.angle > ParallelRows.factor * (a.error + b.error) else { continue }
      let (sine, cosine) = (sin(0.5 * (a.angle + next)), cos(0.5 * (a.angle + next)))
      cells += [cosine, sine, -cosine, -sine]
    }
    return cells
  }
}
