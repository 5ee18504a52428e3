"""Names of interfaces, made from what they belong to and read back: the kernel's devices and rules tell whose they are.

    pt-<server>     the tap of a server's public port         pb-<vni>    the bridge of a private network
    pn-<member>     the tap of a membership in a network      px-<vni>    its VXLAN
    px-l<member>    the cable of a load balancer into it: like all that comes by px-, it is no guest of this host

The firewall matches guests by prefix, so these are ones that no other interface has. Base 36 keeps an id of 53 bits
within the kernel's 15 characters; a VNI is decimal, as operators and routers write it.
"""

from __future__ import annotations

import re
import string

PREFIX = "pt-"
PRIVATE_PREFIX = "pn-"
BRIDGE_PREFIX, OVERLAY_PREFIX = "pb-", "px-"
DIGITS = string.digits + string.ascii_lowercase
LONGEST = 15  # IFNAMSIZ - 1
CABLE_PREFIX = f"{OVERLAY_PREFIX}l"
VNIS = range(4096, 2**24)
"""What networks are numbered from (RFC 7348: 24 bits); the first are left to operators."""


def tap_name(server_id: int) -> str:
    return _name(PREFIX, server_id)


def server_of(name: str) -> int | None:
    """The server whose tap it is; None for any other name."""
    return _id(PREFIX, name)


def private_tap_name(member_id: int) -> str:
    return _name(PRIVATE_PREFIX, member_id)


def member_of(name: str) -> int | None:
    """The membership whose tap it is; None for any other name."""
    return _id(PRIVATE_PREFIX, name)


def cable_name(member_id: int) -> str:
    """Of a load balancer's membership, on its edge."""
    return _name(CABLE_PREFIX, member_id)


def cabled_member_of(name: str) -> int | None:
    """The load balancer's membership whose cable it is; None for any other name."""
    return _id(CABLE_PREFIX, name)


def bridge_name(vni: int) -> str:
    return f"{BRIDGE_PREFIX}{_checked(vni)}"


def overlay_name(vni: int) -> str:
    return f"{OVERLAY_PREFIX}{_checked(vni)}"


def vni_of(name: str) -> int | None:
    """The network whose bridge or VXLAN it is; None for any other name."""
    found = re.fullmatch(rf"(?:{BRIDGE_PREFIX}|{OVERLAY_PREFIX})([1-9]\d{{0,7}})", name)
    vni = int(found[1]) if found else 0
    return vni if vni in VNIS else None


def _name(prefix: str, id: int) -> str:
    if id <= 0:
        raise ValueError(f"an id is positive, not {id}")
    digits = ""
    while id:
        id, digit = divmod(id, 36)
        digits = DIGITS[digit] + digits
    if len(prefix + digits) > LONGEST:
        raise ValueError("this id does not fit into the name of an interface")
    return prefix + digits


def _id(prefix: str, name: str) -> int | None:
    if len(name) > LONGEST or not re.fullmatch(rf"{prefix}[1-9a-z][0-9a-z]*", name):
        return None
    return int(name.removeprefix(prefix), 36)


def _checked(vni: int) -> int:
    if vni not in VNIS:
        raise ValueError(f"a network's identifier is from {VNIS.start} to {VNIS.stop - 1}, not {vni}")
    return vni
