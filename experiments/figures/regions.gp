# What each of the networks in RUNS puts out on a grid of points (x1, x2, label, prediction, output), and the
# training points of POINTS (x1, x2, y, comma-separated).
n = words(runs)
eval begin(235 * n + 140, 325, 1)
top = 34; between = 14; right = 84
set palette maxcolors 18 defined (-1 vermilion, 0 "#ffffff", 1 blue)
set cbrange [-1.6 : 1.6]
set cbtics -1, 1
set cblabel "output" offset 0.3, 0
set colorbox user origin screen (width - right + 16.0) / width, screen foot / height \
  size screen 12.0 / width, screen 1 - (foot + top) / height
set size ratio -1
set xrange [-15:15]; set yrange [-15:15]
set xtics -10, 10; set ytics -10, 10
set border 15
unset grid
set xlabel "{/:Italic x}_1"
set ylabel "{/:Italic x}_2"

# Where the output is 0.
array boundary[n]
# A table of contours has blanks between its numbers.
set datafile separator whitespace
set contour base
set cntrparam levels discrete 0
unset surface
do for [i = 1:n] {
  boundary[i] = sprintf("$boundary%d", i)
  eval sprintf("set table %s", boundary[i])
  splot "< awk 'NR > 2 && $1 != x { print \"\" } { x = $1; print }' " . word(runs, i) \
    using (column("x1")):(column("x2")):(column("output"))
  unset table
}

clip(y) = y < -1 ? -1 : y > 1 ? 1 : y
set multiplot
do for [i = 1:n] {
  eval panel(i, n)
  set title name(word(runs, i)) offset 0, -0.5
  if (i > 1) { unset ylabel; set format y ""; unset colorbox }
  if (i == n) {
    eval point(1, 2, vermilion, 7, "training point, label −1")
    eval point(2, 2, blue, 5, "training point, label 1")
  }
  plot word(runs, i) using (column("x1")):(column("x2")):(clip(column("output"))) with image, \
    boundary[i] with lines linecolor rgb black linewidth medium, \
    "< tr , ' ' < " . points using (column("y") < 0 ? column("x1") : NaN):(column("x2")) \
      with points pointtype 7 pointsize 1.1 * mark linecolor rgb "#ffffff", \
    "< tr , ' ' < " . points using (column("y") < 0 ? column("x1") : NaN):(column("x2")) \
      with points pointtype 7 pointsize 0.8 * mark linecolor rgb vermilion, \
    "< tr , ' ' < " . points using (column("y") > 0 ? column("x1") : NaN):(column("x2")) \
      with points pointtype 5 pointsize 1.1 * mark linecolor rgb "#ffffff", \
    "< tr , ' ' < " . points using (column("y") > 0 ? column("x1") : NaN):(column("x2")) \
      with points pointtype 5 pointsize 0.8 * mark linecolor rgb blue
}
unset multiplot
