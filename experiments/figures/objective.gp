# The training objective against iterations and seconds: every trial of the TRAINED networks, and the certified
# optima. EXACT and SAMPLED are traces of solve, each with its train.report beside it, or empty.
if (!exists("exact")) exact = ''
if (!exists("sampled")) sampled = ''
convex = words(exact) + words(sampled)
columns = 2
goal(file) = file eq '' ? NaN : field(file[:strlen(file) - strlen("trace")] . "train.report", "objective")
left = 96
eval begin(900, 430, (convex + words(trained) + columns - 1) / columns)

# What diverges is not shown to its end.
lowest = 1e300; highest = 0
do for [file in exact . ' ' . sampled] { lowest = goal(file) < lowest ? goal(file) : lowest }
do for [file in trained] {
  stats file using (column("iteration") == 0 ? column("objective") : NaN) name "begin" nooutput
  stats file using (column("iteration") > 0 ? column("objective") : NaN) name "later" nooutput
  most = later_max < begin_max ? later_max : begin_max
  highest = most > highest ? most : highest
}
set logscale
set yrange [lowest / 1.6 : highest * 1.6]
set autoscale xfix
set format "10^{%L}"
if (highest < 20 * lowest) {
  unset logscale y
  set format y "%.0f"
  set yrange [lowest - 0.1 * (highest - lowest) : highest + 0.5 * (highest - lowest)]
}

# Their lines: the optimum throughout, the way to it by time.
level(file, color, wide, dash) = file eq '' ? '' : sprintf( \
  ", goal('%s') with lines linecolor rgb '%s' linewidth %f dashtype %d", file, color, wide, dash)
way(file, color, dash) = file eq '' ? '' : sprintf( \
  ", '%s' using (column('seconds')):(column('primal')) with lines linecolor rgb '%s' linewidth %f dashtype %d", \
    file, color, thick, dash) \
  . sprintf(", '+' using (last('%s', 2)):(goal('%s')) every ::::0 with points pointtype 7 pointsize %f " \
    . "linecolor rgb '%s'", file, file, mark, color)
levels = level(exact, exact_color, thick, 1) . level(sampled, sampled_color, thick, 2)
ways = level(exact, exact_color, fine, 1) . way(exact, exact_color, 1) \
  . level(sampled, sampled_color, fine, 2) . way(sampled, sampled_color, 2)

thin(i) = trials(word(trained, i)) > 1 ? fine : medium
set multiplot
eval panel(1, 2)
set ylabel "training objective"
set xlabel "iteration"
plot for [i = 1:words(trained)] rows(word(trained, i)) using (column("iteration")):(column("objective")) \
       with lines linecolor rgb trained_color[i] linewidth thin(i) dashtype trained_dash[i] @levels

eval panel(2, 2)
unset ylabel
set format y ""
set xlabel "time (s)"
reached(file) = sprintf("%s: %.5g", optimum(file), goal(file))
if (exact ne '') { eval line(1, columns, exact_color, thick, 1, reached(exact)) }
if (sampled ne '') { eval line(convex, columns, sampled_color, thick, 2, reached(sampled)) }
do for [i = 1:words(trained)] {
  eval line(convex + i, columns, trained_color[i], medium, trained_dash[i], titled(word(trained, i)))
}
plot for [i = 1:words(trained)] rows(word(trained, i)) using (column("seconds")):(column("objective")) \
       with lines linecolor rgb trained_color[i] linewidth thin(i) dashtype trained_dash[i] @ways
unset multiplot
