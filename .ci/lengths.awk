# Prints files of more than 400 lines and functions of more than 60, and fails if there are any.
# The sources are formatted: a function ends at the first brace with its own indentation.

FNR == 1 { inside = 0 }
FNR == 401 { printf "%s: more than 400 lines\n", FILENAME; found = 1 }
!inside && /^ *([a-z]+(\([a-z]+\))? |@[A-Za-z]+ )*(func |init[?(<]|var [A-Za-z]+:[^=]*\{$)/ && !/\}$/ {
  match($0, /^ */)
  inside = 1
  first = FNR
  name = $0
  end = substr($0, 1, RLENGTH) "}"
  next
}
inside && index($0, end) == 1 && substr($0, length(end) + 1, 1) != " " {
  if (FNR - first + 1 > 60) { printf "%s:%d: %d lines:%s\n", FILENAME, first, FNR - first + 1, name; found = 1 }
  inside = 0
}
# A declaration without a body, as in a protocol, ends with its indentation.
inside && /[^ ]/ && match($0, /^ */) && RLENGTH < length(end) - 1 { inside = 0 }
END { exit found }
