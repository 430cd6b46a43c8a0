# The path of beta in TRACE of solve --path: accuracy on the validation part, and the objective.
eval begin(900, 400, 1)
between = 112
path = "< sed -n '/^# path: /,$ s/^# //p' " . trace . " | sed 's/^path: //'"
chosen = real(system("sed -n '/^# path: /,$ s/^# //p' " . trace \
  . " | sort -t '\t' -k 6,6gr -k 5,5g -k 1,1gr | awk '$1 + 0 > 0' | head -n 1 | cut -f 1"))
set logscale x
set autoscale xfix
set offsets 0, 0, graph 0.05, graph 0.05
set xlabel "{/:Italic β}"
set format x "10^{%L}"

set multiplot
eval panel(1, 2)
set ylabel "validation accuracy (%)"
set arrow 1 from chosen, graph 0 to chosen, graph 1 nohead back linecolor rgb black linewidth fine dashtype 2
plot path using (column("beta")):(100 * column("validation_accuracy")) \
       with linespoints linecolor rgb blue linewidth medium pointtype 7 pointsize mark

eval panel(2, 2)
set ylabel "training objective"
eval line(1, 2, black, fine, 2, sprintf("the β that validation chose: %.3g", chosen))
plot path using (column("beta")):(column("primal")) \
       with linespoints linecolor rgb blue linewidth medium pointtype 7 pointsize mark
unset multiplot
