# How often each class was taken for each other: PREDICTIONS is the table of evaluate, CLASSES a file with
# their names, apart by commas.
classes = system("tr ', ' ' _' < " . classes)
n = words(classes)
eval begin(704, 560, 0)
left = 166; right = 110; top = 14; foot = 130.0
counted = "< awk -F '\t' -v n=" . n . " 'NR > 1 { count[$2, $3]++; all[$2]++ } END { print \"true\\tdecided\\tcount\\tpercent\"; " \
  . "for (t = 0; t < n; t++) for (p = 0; p < n; p++) " \
  . "print t \"\\t\" p \"\\t\" count[t, p] + 0 \"\\t\" (all[t] ? 100 * count[t, p] / all[t] : 0) }' " . predictions
set palette defined (0 "#ffffff", 1 blue)
set cbrange [0:100]
set cblabel "part of the true class (%)"
set colorbox user origin screen (width - right + 16.0) / width, screen foot / height \
  size screen 12.0 / width, screen 1 - (foot + top) / height
set xrange [-0.5 : n - 0.5]
set yrange [n - 0.5 : -0.5]
set for [i = 1:n] xtics add (word(classes, i) i - 1)
set for [i = 1:n] ytics add (word(classes, i) i - 1)
set xtics rotate by 40 right scale 0
set ytics scale 0
set xlabel "decided class" offset 0, -0.3
set ylabel "true class"
unset grid
set border 15
eval panel(1, 1)
plot counted using (column("decided")):(column("true")):(column("percent")) with image pixels, \
     counted using (column("decided")):(column("true")):(sprintf("%d", column("count"))): \
       (column("percent") > 55 ? 0xffffff : 0) with labels textcolor rgb variable
