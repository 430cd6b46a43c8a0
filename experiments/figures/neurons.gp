# What the neurons of a network over a window look at, and when: NEURONS is the product of experiments/neurons, filters in
# its first table, samples and active neurons in its second.
m = int(system("head -n 1 " . neurons . " | awk -F '\t' '{ print NF - 1 }'"))
# Before there are ranges, which statistics would heed.
array largest[m]
do for [j = 1:m] {
  stats neurons index 0 using (abs(column(j + 1))) nooutput
  largest[j] = STATS_max
}
array color[6] = [blue, vermilion, green, orange, purple, sky]
eval begin(1000, 470, 0)
set multiplot

# Each filter in a row of its own, scaled to its largest weight.
set lmargin at screen 0.07; set rmargin at screen 0.35; set tmargin at screen 0.91; set bmargin at screen 0.16
set title "weights, times the output weight" offset 0, -0.6
set xlabel "step before the target"
set ylabel "neuron"
set yrange [m + 0.6 : 0.4]
set ytics 1
set xtics 4
set xrange [*:*] noextend
plot for [j = 1:m] neurons index 0 using 1:(j) with lines linecolor rgb "#cccccc" linewidth fine, \
  for [j = 1:m] neurons index 0 using 1:(j - 0.45 * column(j + 1) / largest[j]) \
    with linespoints pointtype 7 pointsize 0.35 * mark linewidth medium linecolor rgb color[1 + (j - 1) % 6]

# The target above the samples at which each neuron is active.
set lmargin at screen 0.45; set rmargin at screen 0.98
set tmargin at screen 0.91; set bmargin at screen 0.66
set title "the change to predict"
unset xlabel
set ylabel "mV"
set yrange [*:*]
set ytics 0.4
set xtics autofreq
set format x ""
set xrange [*:*] noextend
plot neurons index 1 using 1:2 with lines linewidth medium linecolor rgb black
set tmargin at screen 0.56; set bmargin at screen 0.16
set title "where a neuron is active"
set format x
set xlabel "sample"
set ylabel "neuron"
set yrange [m + 0.6 : 0.4]
set ytics 1
plot for [j = 1:m] neurons index 1 using 1:(column(j + 2) > 0 ? j : NaN) \
  with points pointtype 5 pointsize 0.28 * mark linecolor rgb color[1 + (j - 1) % 6]
unset multiplot
