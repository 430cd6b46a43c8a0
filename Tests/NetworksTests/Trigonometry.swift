import Glibc

/// atan2 in 0 … 2π.
func atan2Positive(_ y: Double, _ x: Double) -> Double {
  let angle = atan2(y, x)
  return angle < 0 ? angle + 2 * .pi : angle
}

func cosine(_ angle: Double) -> Double { cos(angle) }
