"""Links of the host's network: found, made and taken away through netlink, and what the kernel is to do with them.

Each call converges, and is fine with a link that goes meanwhile. All of it is about the network namespace of the
calling process.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

SYSCTLS = Path("/proc/sys/net")
TUN_TAP = 2
IS_UP = 1
NEIGHBOUR_PERMANENT, NEIGHBOUR_STATIC = 0x80, 0x40

OWNED = "puchify server "

Owner = tuple[int, int]
"""User and group who may open a tap."""


def link_named(netlink: IPRoute, name: str) -> Any:
    """None: there is none."""
    with gone_is_fine():
        return netlink.link("get", ifname=name)[0]
    return None


@dataclass(frozen=True, slots=True)
class Tap:
    """``fresh``: it was just made; it is down, and nothing is with it yet."""

    index: int
    fresh: bool


def owned_by(server_id: int) -> str:
    """What is written on the links of a server."""
    return f"{OWNED}{server_id}"


def owner_on(alias: str | None) -> int | None:
    """The server whose link it is; None for any other."""
    number = (alias or "").removeprefix(OWNED)
    return int(number) if number != alias and number.isdecimal() else None


def ensure_tap(netlink: IPRoute, name: str, owner: Owner, alias: str, **wanted: Any) -> Tap:
    """``wanted``: address, mtu."""
    link = link_named(netlink, name)
    if link is not None and not _is_tap_of(link, owner[0]):
        remove_link(netlink, name)
        link = None
    fresh = link is None
    if fresh:
        # vnet_hdr: checksums and segmentation may be left to the other end. One queue, as in the domain XML.
        tun = {"tun_type": TUN_TAP, "tun_owner": owner[0], "tun_group": owner[1], "tun_vnet_hdr": 1}
        netlink.link("add", ifname=name, kind="tun", tun_multi_queue=0, **tun)
        link = netlink.link("get", ifname=name)[0]
    _set(netlink, link, ifalias=alias, **wanted)
    return Tap(int(link["index"]), fresh)


def ensure_link(netlink: IPRoute, name: str, kind: str, made_with: dict[str, Any], **wanted: Any) -> Any:
    """``made_with``: what cannot be changed later; a link that has it otherwise is made anew."""
    link = link_named(netlink, name)
    if link is not None and not _is_made_with(link, kind, made_with):
        remove_link(netlink, name)
        link = None
    if link is None:
        netlink.link("add", ifname=name, kind=kind, **made_with)
        link = netlink.link("get", ifname=name)[0]
    _set(netlink, link, **wanted)
    return link


def set_up(netlink: IPRoute, link: Any) -> None:
    if not link["flags"] & IS_UP:
        netlink.link("set", index=link["index"], state="up")


def remove_link(netlink: IPRoute, name: str) -> None:
    """And with it its addresses, neighbours, forwarding entries and routes. Takes the kernel up to 250 ms."""
    with gone_is_fine():
        netlink.link("del", ifname=name)


def forget_neighbours(netlink: IPRoute, index: int, family: int, mac: str, keep: Collection[str]) -> None:
    """The permanent ones of a MAC that are not (any more) to be there."""
    for one in netlink.get_neighbours(family=family, ifindex=index, state=NEIGHBOUR_PERMANENT):
        if one.get("lladdr") == mac and one.get("dst") not in keep:
            with gone_is_fine():
                netlink.neigh("del", family=family, dst=one.get("dst"), ifindex=index)


def sysctl(name: str, value: int) -> None:
    path = SYSCTLS / name
    if path.read_text().strip() != str(value):
        path.write_text(str(value))


@contextmanager
def gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ESRCH, errno.ENOENT):
            raise


def _set(netlink: IPRoute, link: Any, **wanted: Any) -> None:
    changes = {name: value for name, value in wanted.items() if link.get(name) != value}
    if "ifalias" in changes:
        changes["IFLA_IFALIAS"] = changes.pop("ifalias")
    if changes:
        netlink.link("set", index=link["index"], **changes)


def _is_tap_of(link: Any, uid: int) -> bool:
    return bool(link.get(("linkinfo", "kind")) == "tun" and link.get(("linkinfo", "data", "tun_owner")) == uid)


def _is_made_with(link: Any, kind: str, made_with: dict[str, Any]) -> bool:
    data = ("linkinfo", "data")
    return link.get(("linkinfo", "kind")) == kind and all(
        link.get((*data, name)) in (None, value) for name, value in made_with.items()
    )
