# netplan v2 (block YAML, flow YAML or JSON) -> one line each, interface by interface, in the order of doing:
#
#   interface ID MAC MTU | dhcp ID | address ID A | route ID TO VIA | nameserver ID A      (absent MAC, MTU: "-")
#
# Not a YAML parser: brackets, quotes and commas become spaces, and a key that netplan does not know is an interface.
BEGIN {
  split("network version renderer ethernets match macaddress name driver set-name addresses routes to via on-link " \
    "metric nameservers search gateway4 gateway6 dhcp4 dhcp6 mtu optional accept-ra link-local dhcp-identifier table " \
    "scope type from critical wakeonlan dhcp4-overrides dhcp6-overrides use-dns use-routes use-mtu use-hostname " \
    "use-domains use-ntp send-hostname route-metric", names)
  for (i in names) known[names[i]]
}

{
  sub(/^#.*|[ \t]#.*/, "")
  gsub(/": */, ": ")
  gsub(/[][{}",\047]/, " ")
  for (i = 1; i <= NF; i++)
    if ($i ~ /^[A-Za-z0-9_.-]+:$/) take_key(substr($i, 1, length($i) - 1))
    else if ($i != "-") take_value($i)
}

function take_key(word) {
  key = word
  if (key in known) return
  id = key
  order[++count] = id
  mac[id] = mtu[id] = "-"
}

function take_value(word) {
  if (key == "macaddress") mac[id] = tolower(word)
  else if (key == "mtu") mtu[id] = word
  else if (key == "dhcp4" && word ~ /^(true|yes)$/) dhcp[id] = "dhcp " id "\n"
  else if (key == "addresses" && word ~ /\//) addresses[id] = addresses[id] "address " id " " word "\n"
  else if (key == "addresses") nameservers[id] = nameservers[id] "nameserver " id " " word "\n"
  else if (key == "to") to = word
  else if (key == "via") via = word
  else if (key ~ /^gateway[46]$/) { to = "default"; via = word }
  if (to != "" && via != "") {
    if (to ~ /\/0$/) to = "default"
    routes[id] = routes[id] "route " id " " to " " via "\n"
    to = via = ""
  }
}

END {
  for (i = 1; i <= count; i++) {
    id = order[i]
    printf "interface %s %s %s\n%s%s%s%s", id, mac[id], mtu[id], dhcp[id], addresses[id], routes[id], nameservers[id]
  }
}
