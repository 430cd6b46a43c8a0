# Networks as functions of one number (tables of x and output): EXACT and SAMPLED ones or none, and TRAINED ones;
# and the training points of POINTS (x, y, comma-separated).
if (!exists("exact")) exact = ''
if (!exists("sampled")) sampled = ''
convex = words(exact) + words(sampled)
eval begin(900, 400, (convex + words(trained) + 1 + 2) / 3)
set xlabel "{/:Italic x}"
set ylabel "output of the network"
set autoscale xfix
set yrange [-2.2 : 2.2]
set ytics 1
eval panel(1, 1)
eval point(1, 3, blue, 7, "training point")
if (exact ne '') { eval line(2, 3, exact_color, thick, 1, name(exact)) }
if (sampled ne '') { eval line(1 + convex, 3, sampled_color, thick, 2, name(sampled)) }
do for [i = 1:words(trained)] {
  eval line(1 + convex + i, 3, trained_color[i], medium, trained_dash[i], name(word(trained, i)))
}
values(file, color, dash) = file eq '' ? '' : sprintf( \
  "'%s' using (column('x')):(column('output')) with lines linecolor rgb '%s' linewidth %f dashtype %d, ", \
    file, color, thick, dash)
convex_values = values(exact, exact_color, 1) . values(sampled, sampled_color, 2)
plot @convex_values \
     for [i = 1:words(trained)] word(trained, i) using (column("x")):(column("output")) \
       with lines linecolor rgb trained_color[i] linewidth medium dashtype trained_dash[i], \
     "< tr , '\t' < " . points using (column("x")):(column("y")) \
       with points pointtype 7 pointsize 1.2 * mark linecolor rgb "#ffffff", \
     "< tr , '\t' < " . points using (column("x")):(column("y")) \
       with points pointtype 7 pointsize 0.9 * mark linecolor rgb blue
