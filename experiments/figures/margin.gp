# Norm over margin of networks by the steps of gradient descent: RUNS are products of experiments/margins, in folders named by
# the scale of the first weights, OPTIMUM the report of the certified network.
least = field(optimum, "primal_objective")
eval begin(900, 430, 2)
set xlabel "steps of gradient descent"
set ylabel "norm over margin"
set logscale x
set format x "10^{%L}"
set xrange [*:*] noextend
set yrange [0.98 * least : 1.75 * least]
eval panel(1, 1)
eval line(1, 2, exact_color, thick, 2, sprintf("the least, certified: %.4f", least))
do for [i = 1:words(runs)] {
  scale = system("basename $(dirname " . word(runs, i) . ")")
  eval line(1 + i, 2, trained_color[i], medium, trained_dash[i], "first weights × " . scale)
}
plot for [i = 1:words(runs)] "< grep -v nan " . word(runs, i) using (column("steps")):(column("ratio")) \
    with linespoints linecolor rgb trained_color[i] linewidth medium dashtype trained_dash[i] \
    pointtype trained_mark[i] pointsize mark, \
  least with lines linecolor rgb exact_color linewidth thick dashtype 2
