import Glibc

/// cos and sin of 2πk/d.
func cosine(_ k: Int, of d: Int) -> Double { cos(2 * .pi * Double(k) / Double(d)) }
func sine(_ k: Int, of d: Int) -> Double { sin(2 * .pi * Double(k) / Double(d)) }
