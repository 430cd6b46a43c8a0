# How a search went: objective, bound and certified gap by time, from TRACE of solve; with PATH, a --path-table, the gap,
# the neurons and, where something was validated, its measure along β.
has_path = exists("path")
eval begin(900, has_path ? 760 : 400, 1)
between = 112
# A search for another β begins another line.
rows_of(file) = "< awk -F '\t' '/^#/ { next } NR > 2 && $7 != beta { print \"\" } { print; beta = $7 }' " . file
set xrange [0:*]
# About four marks of time.
share = last(trace, 2) / 4
power = share > 0 ? 10.0 ** floor(log10(share)) : 1
set xtics share < 2 * power ? 2 * power : share < 5 * power ? 5 * power : 10 * power

set multiplot
# With a second row of panels the first has the upper half.
half = has_path ? 0.5 : 0
upper = sprintf("set bmargin at screen %f; set tmargin at screen %f", half + (1 - half) * foot / height, \
  1.0 - real(top) / height)
lower = sprintf("set bmargin at screen %f; set tmargin at screen %f", foot / height, half - 0.05)

eval panel(1, 2); eval upper
set xlabel "time (s)"; set ylabel "objective and bound"
plot rows_of(trace) using (column("seconds")):(column("primal")) with lines linecolor rgb blue linewidth medium, \
     rows_of(trace) using (column("seconds")):(column("dual")) with lines linecolor rgb vermilion linewidth medium dashtype 2
eval panel(2, 2); eval upper
set ylabel "certified relative gap"; set logscale y; set format y "10^{%L}"
if (!has_path) { eval line(1, 2, blue, medium, 1, "objective"); eval line(2, 2, vermilion, medium, 2, "bound") }
plot rows_of(trace) using (column("seconds")):(column("relative_gap") > 0 ? column("relative_gap") : NaN) \
       with lines linecolor rgb black linewidth medium
if (has_path) {
  set autoscale x; set xtics autofreq; set logscale x; set format x "10^{%L}"; set autoscale xfix; set xlabel "{/:Italic β}"
  eval panel(1, 2); eval lower
  unset logscale y; set format y "%h"; set ylabel "neurons"
  plot path using (column("beta")):(column("neurons")) \
         with linespoints linecolor rgb blue linewidth medium pointtype 7 pointsize mark
  eval panel(2, 2); eval lower
  has_score = system("tail -n 1 " . path . " | cut -f 7") ne ""
  set ylabel has_score ? "validation" : "norm"
  eval line(1, 2, blue, medium, 1, "objective"); eval line(2, 2, vermilion, medium, 2, "bound")
  plot path using (column("beta")):(column(has_score ? "validation" : "norm")) \
         with linespoints linecolor rgb green linewidth medium pointtype 7 pointsize mark
}
unset multiplot
