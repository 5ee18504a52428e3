"""The host's table of connections, which all of its guests share: how large it is, and how soon idle ones leave it.

A port begins and takes so many connections a second (`host_rules`): with room for all that one guest can hold so, none
fills the table alone. Times are a network namespace's own. The size is the whole machine's, and only its first
namespace may change it; it takes memory only as far as it is used.

Source: Linux' Documentation/networking/nf_conntrack-sysctl.rst.
"""

from __future__ import annotations

import logging
import os

from infra.domain.host_rules import AT_ONCE
from infra.drivers.links import SYSCTLS

TABLE = SYSCTLS / "netfilter"
TIMES = ("tcp_timeout_established", "sctp_timeout_established", "dccp_timeout_open")
"""Those that are days or hours by themselves, of one kernel or another; the others are minutes."""
ENTRY = 400  # bytes, with its place in the table
SHARE = 32  # of the memory, at most one part
CROWDED = 0.8

log = logging.getLogger(__name__)


def prepare_table(pace: int, idle: int) -> None:
    """``pace``: connections a second of a port, each way. ``idle``: seconds that a connection may be silent."""
    for name in TIMES:
        path = TABLE / f"nf_conntrack_{name}"
        if path.exists() and int(path.read_text()) > idle:
            path.write_text(str(idle))
    room = min(2 * pace * (idle + AT_ONCE), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE // ENTRY)
    if room > _number("max"):
        try:
            (TABLE / "nf_conntrack_max").write_text(str(room))
        except PermissionError:
            log.debug("the table of connections is as large as the machine's first network namespace has it")


def crowding() -> list[str]:
    """What there is to say of it, in words."""
    taken, room = _number("count"), _number("max")
    if not room or taken < CROWDED * room:
        return []
    return [f"{taken} of {room} connections are tracked: new ones of all guests will soon be refused"]


def _number(name: str) -> int:
    """0: connections are not tracked."""
    path = TABLE / f"nf_conntrack_{name}"
    return int(path.read_text()) if path.exists() else 0
