# Accuracy on the training and on the test part against seconds: all along for the TRAINED networks (traces of
# baseline), at its end for each CONVEX one (its test.report, beside which the rest stands).
if (!exists("convex")) convex = ''
if (!exists("trained")) trained = ''
columns = 2
report(i, part) = word(convex, i)[:strlen(word(convex, i)) - strlen("test.report")] . part . ".report"
ended(i) = i > words(convex) ? NaN : seconds(word(convex, i)[:strlen(word(convex, i)) - strlen("test.report")] . "solution")
eval begin(900, 430, (words(convex) + words(trained) + columns - 1) / columns)
between = 104
array convex_color[4] = [black, vermilion, blue, gray]
array convex_mark[4] = [7, 5, 9, 13]
array convex_dash[4] = [1, 2, 5, 3]

# Trials are drawn as thin lines, one run with marks.
many(i) = trials(word(trained, i)) > 1
first = 1e300; final = 0; lowest = 1
do for [file in trained] {
  stats file using (column("seconds") > 0 ? column("seconds") : NaN) nooutput
  first = STATS_min < first ? STATS_min : first
  final = STATS_max > final ? STATS_max : final
}
do for [i = 1:words(convex)] {
  first = ended(i) < first ? ended(i) : first
  final = ended(i) > final ? ended(i) : final
}
set logscale x
set xrange [first / 1.3 : final * 2]
set xlabel "time of training (s)"
set yrange [* : * < 101]

set multiplot
do for [i = 1:2] {
  eval panel(i, 2)
  part = word("train test", i)
  set ylabel word("training test", i) . " accuracy (%)"
  measure = word("accuracy validation_accuracy", i)
  if (i == 2) {
    do for [j = 1:words(convex)] {
      eval line(j, columns, convex_color[j], thick, convex_dash[j], optimum(word(convex, j)))
      eval point(j, columns, convex_color[j], convex_mark[j], "")
    }
    do for [j = 1:words(trained)] {
      eval line(words(convex) + j, columns, trained_color[j], medium, trained_dash[j], titled(word(trained, j)))
      eval point(words(convex) + j, columns, trained_color[j], many(j) ? 0 : trained_mark[j], "")
    }
  }
  plot for [j = 1:words(trained)] rows(word(trained, j)) \
         using (column("iteration") > 0 ? column("seconds") : NaN):(100 * column(measure)) \
         with linespoints linecolor rgb trained_color[j] linewidth many(j) ? fine : medium \
         dashtype trained_dash[j] pointtype many(j) ? 0 : trained_mark[j] pointsize mark pointnumber 8, \
       for [j = 1:words(convex)] "+" \
         using (ended(j)):(100 * field(report(j, part), "accuracy")):(final * 2 - ended(j)):(0) every ::::0 \
         with vectors nohead linecolor rgb convex_color[j] linewidth thick dashtype convex_dash[j], \
       for [j = 1:words(convex)] "+" using (ended(j)):(100 * field(report(j, part), "accuracy")) every ::::0 \
         with points linecolor rgb convex_color[j] pointtype convex_mark[j] pointsize 1.5 * mark
}
unset multiplot
