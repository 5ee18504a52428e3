"""The host's table of connections, which all of its guests share: how large it is, and how soon idle ones leave it.

A port begins and takes so many connections a second (`host_rules`), which bounds new ones alone: busy ones stay. There
is room for what all ports of one server begin and take until idle ones leave, as far as memory allows; a table that
fills up all the same is told. Times are a network namespace's own. The size is the whole machine's, and only its first
namespace may change it; it takes memory only as far as it is used.

Source: Linux' Documentation/networking/nf_conntrack-sysctl.rst.
"""

from __future__ import annotations

import logging
import os

from infra.domain.host_rules import AT_ONCE
from infra.domain.networks import MOST_NETWORKS
from infra.drivers.links import SYSCTLS

TABLE = SYSCTLS / "netfilter"
TIMES = ("tcp_timeout_established", "sctp_timeout_established", "dccp_timeout_open")
"""Those that are days or hours by themselves, of one kernel or another; the others are minutes."""
ENTRY = 400  # bytes, with its place in the table
SHARE = 32  # of the memory, at most one part
PORTS = 1 + MOST_NETWORKS  # of a server
CROWDED = 8  # tenths

log = logging.getLogger(__name__)


def prepare_table(pace: int, idle: int) -> None:
    """``pace``: connections a second of a port, each way. ``idle``: seconds that a connection may be silent."""
    for name in TIMES:
        path = TABLE / f"nf_conntrack_{name}"
        if path.exists() and int(path.read_text()) != idle:
            path.write_text(str(idle))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    room = min(PORTS * 2 * pace * (idle + AT_ONCE), memory // SHARE // ENTRY)
    if room > _number("max"):
        try:
            (TABLE / "nf_conntrack_max").write_text(str(room))
        except PermissionError:
            log.debug("the table of connections is as large as the machine's first network namespace has it")


def crowding() -> list[str]:
    """What there is to say of it, in words; in tens of per cent, as whoever reports it does so anew when it changes."""
    taken, room = _number("count"), _number("max")
    tenths = 10 * taken // room if room else 0
    if tenths < CROWDED:
        return []
    return [f"{tenths}0 % of {room} connections are tracked: new ones of all guests will soon be refused"]


def _number(name: str) -> int:
    """0: connections are not tracked."""
    path = TABLE / f"nf_conntrack_{name}"
    return int(path.read_text()) if path.exists() else 0
