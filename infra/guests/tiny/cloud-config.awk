# The items of a list in a #cloud-config: -v want=KEY; with -v shell=1 each becomes a shell command, as runcmd wants it.
#
# Reads the YAML that people write there: plain and quoted scalars over one or more lines, | and > blocks, [flow] and
# "- - nested" lists. The key is found at any depth, as users: holds ssh_authorized_keys too. An item that is itself a
# list is a command and its arguments: each is quoted, so the shell takes them as they are.
function column(line) { match(line, /^[- ]*/); return RLENGTH }
function indent(line) { match(line, /^ */); return RLENGTH }
function trim(text) { gsub(/^[ \t\n]+|[ \t\n]+$/, "", text); return text }
function quoted(word) { gsub(/\047/, "\047\042\047\042\047", word); return "\047" word "\047" }

# rest: the text still to be read. Each of the next functions takes its part from the front.
function took(mark) {
  rest = trim(rest)
  if (substr(rest, 1, 1) != mark) return 0
  rest = substr(rest, 2)
  return 1
}

function scalar(plain,    text) {  # plain: the pattern of what an unquoted one is made of
  if (took("\"")) return quoted_scalar("\"")
  if (took("\047")) return quoted_scalar("\047")
  match(rest, plain)
  text = substr(rest, 1, RLENGTH)
  rest = substr(rest, RLENGTH + 1)
  sub(/[ \t]#.*/, "", text)
  return trim(text)
}

function quoted_scalar(mark,    text, place, char) {
  for (place = 1; place <= length(rest); place++) {
    char = substr(rest, place, 1)
    if (char == "\\" && mark == "\"") {
      char = substr(rest, ++place, 1)
      text = text (char == "n" ? "\n" : char == "t" ? "\t" : char)
    }
    else if (char != mark) text = text char
    else if (mark == "\047" && substr(rest, place + 1, 1) == mark) { text = text mark; place++ }
    else break
  }
  rest = substr(rest, place + 1)
  return text
}

function flow_list(top,    text) {  # after its "[": printed item by item, or returned as one command
  while (!took("]") && rest != "") {
    if (!top) text = text " " quoted(scalar("^[^],]*"))
    else print took("[") ? flow_list(0) : scalar("^[^],]*")
    took(",")
  }
  return substr(text, 2)
}

function nested_list(lines,    words, count, number, text) {
  count = split(lines, words, "\n")
  for (number = 1; number <= count; number++) {
    rest = words[number]
    if (took("-")) text = text " " quoted(scalar("^.*"))
  }
  return substr(text, 2)
}

function emit() {
  if (!open) return
  open = 0
  sub(/\n+$/, "", body)
  if (head ~ /^[|>][-+0-9]*$/) {
    if (head ~ /^>/) gsub(/\n/, " ", body)
    print substr(body, 2)
    return
  }
  if (head ~ /^- /) { print nested_list(head body); return }
  gsub(/\n[ \t]*\n/, "\001", body)  # an empty line in a folded scalar is a line break
  gsub(/\n[ \t]*/, " ", body)
  gsub(/\001/, "\n", body)
  rest = head body
  if (whole) { took("["); flow_list(1) }
  else print shell && took("[") ? flow_list(0) : scalar("^.*")
}

function begin(text, at) { head = trim(text); depth = at; body = ""; margin = 0; open = 1 }

inside && /^[ \t]*$/ { body = body "\n"; next }
inside && open && indent($0) > depth {  # goes on with the item
  if (!margin) margin = indent($0)
  body = body "\n" substr($0, (indent($0) < margin ? indent($0) : margin) + 1)
  next
}
inside && /^ *#/ { next }
inside && !whole && /^ *-( |$)/ && (open ? indent($0) == depth : indent($0) >= base) {
  emit()
  begin(substr($0, indent($0) + 2), indent($0))
  next
}
{
  emit()
  base = column($0)
  text = substr($0, base + 1)
  inside = match(text, "^[\"\047]?" want "[\"\047]?:")
  if (!inside) next
  text = trim(substr(text, RLENGTH + 1))
  whole = text ~ /^\[/  # the whole list in flow style
  if (whole) begin(text, base)
}
END { emit() }
