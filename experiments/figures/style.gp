# What all figures share: sizes, fonts, colours, and how to read traces and reports. Needs `output`,
# FILE.png or FILE.svg.

# Okabe and Ito's colours, which no common colour-blindness makes alike. A method has the same one in every
# figure, and a dash or a mark of its own.
black = "#000000"; orange = "#E69F00"; sky = "#56B4E9"; green = "#009E73"
blue = "#0072B2"; vermilion = "#D55E00"; purple = "#CC79A7"; gray = "#888888"
exact_color = black; sampled_color = vermilion
# Of networks trained by stochastic gradients, in turn.
array trained_color[4] = [sky, orange, green, purple]
array trained_dash[4] = [1, 4, 3, 5]
array trained_mark[4] = [5, 9, 13, 11]
set dashtype 2 (8, 4); set dashtype 3 (2, 3); set dashtype 4 (12, 3, 2, 3); set dashtype 5 (5, 3)

# eval begin(WIDTH, HEIGHT, ROWS): opens the file, with room for so many rows of a legend below the axes. A PNG
# has 1.5 pixels a unit.
svg = output[strlen(output) - 3:] eq ".svg"
unit = exists("unit") ? real(unit) : svg ? 1 : 1.5
fine = 0.8 * unit; medium = 1.6 * unit; thick = 2.4 * unit; mark = 0.8 * unit
terminal(w, h) = svg ? sprintf("set terminal svg size %d,%d font 'Arial,13' background '#ffffff' standalone dynamic", w, h) \
  : sprintf("set terminal pngcairo size %d,%d font 'Arial,13' fontscale %f", w * unit, h * unit, unit)
begin(w, h, rows) = sprintf("width = %d; height = %d; foot = %f; set output '%s'; ", w, h, 76 + 22.0 * rows, output) \
  . terminal(w, h)

set encoding utf8
set minussign
set border 3 linecolor rgb "#444444" linewidth 0.8 * unit
set tics nomirror out scale 0.5, 0.25 textcolor rgb black
set grid linecolor rgb "#dddddd" linewidth 0.6 * unit linetype 1
set datafile separator "\t"
unset key

# eval panel(I, N): the next plot is the I-th of N side by side, `between` units apart.
left = 92; right = 16; top = 14; between = 44
wide(n) = (width - left - right - (n - 1.0) * between) / n
from(i, n) = left + (i - 1) * (wide(n) + between)
panel(i, n) = sprintf("set lmargin at screen %f; set rmargin at screen %f; ", \
    from(i, n) / width, (from(i, n) + wide(n)) / width) \
  . sprintf("set bmargin at screen %f; set tmargin at screen %f", foot / height, 1.0 - real(top) / height)

# eval line(I, N, COLOR, WIDTH, DASH, TEXT) and point(I, N, COLOR, MARK, TEXT): the I-th entry of the legend of N
# columns, to be set before the last plot.
at_x(i, n) = (20 + (i - 1) % n * (width - 20) / real(n)) / width
at_y(i, n) = (foot - 80 - 22.0 * ((i - 1) / n)) / height
caption(i, n, text) = sprintf("set label \"%s\" at screen %f, screen %f left", text, at_x(i, n) + 48.0 / width, at_y(i, n))
line(i, n, color, wide, dash, text) = sprintf("set arrow from screen %f, screen %f rto screen %f, 0 nohead ", \
    at_x(i, n), at_y(i, n), 40.0 / width) \
  . sprintf("linecolor rgb '%s' linewidth %f dashtype %d; ", color, wide, dash) . caption(i, n, text)
point(i, n, color, kind, text) = sprintf("set label '' at screen %f, screen %f ", at_x(i, n) + 20.0 / width, at_y(i, n)) \
  . sprintf("point pointtype %d pointsize %f linecolor rgb '%s'; ", kind, 1.2 * mark, color) . caption(i, n, text)

# The value of NAME in a report.
field(file, name) = real(system("awk -F '\t' '$1 == \"" . name . "\" { print $2 }' " . file))
# The last row of a trace (a loop over no files looks at '' once), the seconds it took to make a product.
last(file, column) = file eq '' ? NaN : real(system(sprintf("grep -v '^#' %s | tail -n 1 | cut -f %d", file, column)))
seconds(product) = real(system("cat " . product . ".seconds"))
# The number of trials in a trace; the trace with a blank line between them, and no more rows than a logarithmic
# axis shows.
trials(file) = int(last(file, 1))
rows(file) = "< awk -F '\t' '$1 ~ /^#/ { next } NR > 2 && $1 != trial { print row; print \"\"; next_row = 0 } " \
  . "NR == 1 || $2 >= next_row { print; next_row = 1.04 * $2 } { trial = $1; row = $0 } END { print row }' " . file

# What a run is called, by its path.
name(file) = system("echo " . file . " | sed -E '" \
  . 's,.*/exact/.*,all patterns,; s,.*/gates-([0-9]+)/gated.*,\1 sampled gates\, gated,; ' \
  . 's,.*/gates-([0-9]+)/.*,\1 sampled gates,; ' \
  . 's,.*/a-0.08/.*,0.08 t² + 0.4 t + 0.4,; s,.*/a-0.09/.*,0.09 t² + 0.5 t + 0.47,; ' \
  . 's,.*/a-0.10/.*,0.10 t² + 0.6 t + 0.5,; s,.*/beta-([^/]+)/.*,β = \1,; ' \
  . 's,.*/path/.*,β by validation,; ' \
  . 's,.*/sgd-([0-9]+)/.*,SGD\, \1 neurons,; s,.*/adam-([0-9]+)/.*,Adam\, \1 neurons,; ' \
  . 's,.*/symmetric-([^/]*)/.*,AMSGrad on matrices\, rate \1,; s/([0-9])([0-9]{3})([^0-9]|$)/\1\,\2\3/g' . "'")
optimum(file) = "optimum, " . name(file)
titled(file) = trials(file) == 1 ? name(file) : sprintf("%s (%d trials)", name(file), trials(file))
