"""All that a host's network is made of, as text: to be compared, or searched for what should not be there."""

from __future__ import annotations

import re
import subprocess

COMMANDS = (
    "ip -d link",
    "ip address",
    "ip neigh show nud permanent",
    "ip -6 neigh show nud permanent",
    "ip route show proto 210",
    "ip -6 route show proto 210",
    "bridge fdb show",
    "bridge -d link",
    "nft -s list ruleset",
)
OURS = re.compile(r"\b(?:pt-|pn-|pb-|px-|in-p|out-p)")
TRANSIENT = re.compile(
    r"^\d+: |\b[0-9a-f]{4}\.[0-9a-f:]+|\b\w+_timer +[\d.]+|\bport_(?:no|id) \S+|\bstate (?:UP|UNKNOWN|DOWN)\b"
    r"|\b(?!0[126]:|33:33|fe:00|ff:ff)[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b"
    r"|^[0-9a-f:]{17}(?= dev p[xb]-.* permanent$)"
)
"""Indices, identifiers, timers and MACs that the kernel chooses, and how far it is with them."""


def everything() -> str:
    return "\n".join(
        subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout for command in COMMANDS
    )


def ours() -> list[str]:
    """The lines that are about guests' links, in order, without what differs from one time to the next."""
    lines = (TRANSIENT.sub("", line).strip() for line in everything().splitlines())
    return sorted(line for line in lines if OURS.search(line) and '-*"' not in line)
