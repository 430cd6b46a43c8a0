# Networks of one number by the scale of their first weights: DEVIATIONS is the product of experiments/deviations, functions in
# its first table, differences from the certified one in its second; POINTS are the training points (x, y, comma-separated).
eval begin(1000, 430, 2)
between = 100
names = system("head -n 1 " . deviations)
scales = words(names)
array shown[3] = [3, 7, scales]
set multiplot
eval panel(1, 2)
set xlabel "{/:Italic x}"
set ylabel "output of the network"
set autoscale xfix
eval point(1, 3, blue, 7, "training point")
eval line(2, 3, exact_color, thick, 1, "least norm, certified")
do for [i = 1:3] {
  eval line(2 + i, 3, trained_color[i], medium, trained_dash[i], "first weights × " . word(names, shown[i]))
}
plot deviations index 0 using 1:2 with lines linecolor rgb exact_color linewidth thick, \
  for [i = 1:3] deviations index 0 using 1:(column(shown[i])) \
    with lines linecolor rgb trained_color[i] linewidth medium dashtype trained_dash[i], \
  "< tr , '\t' < " . points using (column("x")):(column("y")) \
    with points pointtype 7 pointsize 1.2 * mark linecolor rgb "#ffffff", \
  "< tr , '\t' < " . points using (column("x")):(column("y")) \
    with points pointtype 7 pointsize 0.9 * mark linecolor rgb blue
unset label; unset arrow
eval panel(2, 2)
set xlabel "scale of the first weights"
set ylabel "largest difference"
set logscale xy
set format "10^{%L}"
set autoscale x
plot deviations index 1 using (column("scale")):(column("deviation")) \
  with linespoints linecolor rgb vermilion linewidth medium pointtype 7 pointsize mark
unset multiplot
