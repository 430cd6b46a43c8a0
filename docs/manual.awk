# Makes a manual page of section 5 of a Markdown page, of what the pages here have: headings, paragraphs, lists, tables,
# blocks of code; `code`, **words** and [links](to). Lines have at most 80 bytes, as mandoc likes them (LC_ALL=C).
#   awk -v name=convex-networks-format -v date=2026-11-29 -v source='convex-networks 0.1.0' -f manual.awk format.md

BEGIN {
  printf ".TH %s 5 \"%s\" \"%s\"\n", toupper(name), date, source
  state = "start"
}

# Between ``` lines stand as they are.
/^```/ {
  flush()
  if (in_code) print ".fi\n.RE"
  else print ".PP\n.RS\n.nf"
  in_code = !in_code
  next
}
in_code { print protect(escape($0)); next }

/^# / { title = substr($0, 3); next }
/^## / { flush(); section(substr($0, 4)); next }
/^$/ { flush(); next }
/^\|[ |:-]+\|$/ { next }
/^\|/ { flush(); row($0); next }
/^- / { flush(); bullet = 1; text = substr($0, 3); next }
{ sub(/^ +/, ""); text = text (text == "" ? "" : " ") $0 }
END { flush() }

function section(heading) {
  if (state == "start") begin()
  print ".SH " toupper(inline(heading))
  state = "section"
  columns = 0
}

# What comes before the first heading is the description.
function begin() {
  print ".SH NAME"
  print escape(name) " \\- " escape(tolower(substr(title, 1, 1)) substr(title, 2))
  print ".SH DESCRIPTION"
  state = "section"
}

function flush() {
  if (text == "") { bullet = 0; return }
  if (state == "start") begin()
  if (bullet) print ".IP \\(bu 2"
  else if (state == "text") print ".PP"
  wrap(inline(text))
  text = ""
  bullet = 0
  state = "text"
  columns = 0
}

# The first row of a table has the names of its columns; of the others each is a tagged paragraph.
function row(line,    cells, count, i, body) {
  if (state == "start") begin()
  gsub(/\\\|/, "\001", line)
  sub(/^\| */, "", line)
  sub(/ *\|$/, "", line)
  count = split(line, cells, / *\| */)
  for (i = 1; i <= count; ++i) gsub(/\001/, "|", cells[i])
  if (!columns) {
    columns = count
    for (i = 1; i <= count; ++i) names[i] = cells[i]
    return
  }
  print ".TP"
  wrap("\\fB" plain(cells[1]) "\\fR")
  body = inline(cells[2])
  for (i = 3; i <= count; ++i) {
    if (cells[i] != "") body = body (body == "" ? "" : "; ") (names[i] == "" ? "" : escape(names[i]) ": ") inline(cells[i])
  }
  wrap(body == "" ? "\\&" : body)
  state = "text"
}

function escape(s) {
  gsub(/\\/, "\\e", s)
  gsub(/-/, "\\-", s)
  gsub(/\^/, "\\(ha", s)
  gsub(/~/, "\\(ti", s)
  gsub(/'/, "\\(aq", s)
  gsub(/`/, "\\(ga", s)
  return s
}

# A line that begins with a point or a quote is a request.
function protect(s) { return s ~ /^[.']/ ? "\\&" s : s }

# The text without marks.
function plain(s) {
  gsub(/`|\*\*/, "", s)
  return escape(s)
}

# Links become their text, the address after it if it is one of the web; `code` and **words** are bold.
function inline(s,    out, n, parts, i, link, where) {
  while (match(s, /\[[^]]*\]\([^)]*\)/)) {
    link = substr(s, RSTART, RLENGTH)
    where = link
    sub(/^\[[^]]*\]\(/, "", where)
    sub(/\)$/, "", where)
    sub(/^\[/, "", link)
    sub(/\]\(.*/, "", link)
    if (where ~ /^http/) link = link " (" where ")"
    s = substr(s, 1, RSTART - 1) link substr(s, RSTART + RLENGTH)
  }
  gsub(/\*\*/, "`", s)
  n = split(s, parts, /`/)
  for (i = 1; i <= n; ++i) out = out (i % 2 ? escape(parts[i]) : "\\fB" escape(parts[i]) "\\fR")
  return out
}

# The length of a line as mandoc counts it: a character that is not ASCII becomes \[u1234].
function size(s,    copy, two, three) {
  copy = s
  two = gsub(/[\300-\337]/, "", copy)
  three = gsub(/[\340-\357]/, "", copy)
  return length(s) + 6 * two + 5 * three
}

# Prints words in lines of at most 80 bytes.
function wrap(s,    words, n, i, line) {
  n = split(s, words, / +/)
  for (i = 1; i <= n; ++i) {
    if (line != "" && size(line) + 1 + size(words[i]) > 78) {
      print protect(line)
      line = ""
    }
    line = line (line == "" ? "" : " ") words[i]
  }
  if (line != "") print protect(line)
}
