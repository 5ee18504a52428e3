"""What stands once per host, whatever guests it has: where packets of guests go through, and what they never reach.

Every way ends in a drop: a guest whose own chains are missing or empty reaches nobody, and nobody reaches it. Traffic
that touches no guest is left to whoever rules the host. Connections are tracked in family inet only (many kernels
cannot do it for bridges): br_netfilter shows bridged packets to that family first, which notes their state in a mark.

All guests share the host's table of connections: each port may begin so many a second, and take so many; how many it
holds is not bounded. Packets of one that is in the table are not counted, whatever goes one way alone (syslog, media)
is new for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import collapse_addresses, ip_network

from infra.domain.port_names import BRIDGE_PREFIX, OVERLAY_PREFIX, PREFIX, PRIVATE_PREFIX

PUBLIC, PRIVATE = f'"{PREFIX}*"', f'"{PRIVATE_PREFIX}*"'
BRIDGES, OVERLAYS = f'"{BRIDGE_PREFIX}*"', f'"{OVERLAY_PREFIX}*"'
LEAVE, CROSS = "goto leave", "goto to_member"
"""The verdicts on what a guest may send: by its public port, and by a private one."""

METADATA4, METADATA6, GATEWAY4 = "169.254.169.254", "fe80::1", "172.31.1.1"
LINK_LOCAL = "169.254.0.0/16"
VXLAN_PORT = 4789  # IANA's
REPLY, STRAY, KNOWN = "0x1", "0x2", "0x4"
"""Marks: of a connection that was let through; of none; of one that is in the table and has had no answer."""
PACE, AT_ONCE = 2_000, 60
"""Connections a second that a port may begin, and take, for as long as it likes; those of so many seconds at once."""
BEGUN, TAKEN = "begun", "taken"
"""The sets of ports with what each has left of that; one that is at rest is full again, and leaves."""

Chains = Mapping[str, tuple[str, ...]]
HOOKS: Mapping[str, str] = {
    "forward": "forward priority filter",
    "input": "input priority filter",
    "zone": "prerouting priority raw",
    "state": "prerouting priority -150",  # after connections are looked up (-200)
    "unmark": "prerouting priority -300",
    "pace": "forward priority filter + 10",  # only what the rules have let through counts
}
"""Priority filter is -200 for bridges. With 0, Linux 6.1 skips the chain in silence where br_netfilter is on."""


def routed_chains(
    uplinks: Sequence[str], forbidden: Sequence[str], vteps: Sequence[str] = (), pace: int = PACE
) -> Chains:
    """Of table inet. Guests reach each other, and through ``uplinks`` the world but for ``forbidden`` ranges. A packet
    to a tunnel is a frame in whatever private network it names: they come from ``vteps`` only."""
    out = (f"oifname {_set(map(_interface, sorted(set(uplinks))))} accept",) if uplinks else ()
    return {
        "zone": (f"iifname {BRIDGES} goto zone_of_network",),
        # Without a zone its guests are cut off; a load balancer's cable is not, which no rules are about.
        "zone_of_network": ("iifname vmap @networks", f"meta mark set {STRAY}"),
        "state": (f"iifname {BRIDGES} meta mark != {STRAY} goto state_of_packet",),
        "state_of_packet": (
            "ct zone != 0 ct state vmap { established : goto reply, related : goto reply, new : goto new_packet }",
            f"meta mark set {STRAY}",
        ),
        "reply": (f"meta mark set {REPLY}",),
        "new_packet": (f"ct status confirmed meta mark set {KNOWN}",),
        "forward": (*_asked("iifname", PUBLIC, "guests"), *_asked("oifname", PUBLIC, "guests")),
        "guests": (
            "ct state vmap { established : accept, related : accept, invalid : drop }",
            f"iifname {PUBLIC} goto from_guest",
            "goto to_guest",
        ),
        "from_guest": ("iifname vmap @outbound", "counter drop"),
        "leave": (*_refusals((*forbidden, *vteps)), f"oifname {PUBLIC} goto to_guest", *out, "counter drop"),
        "to_guest": ("oifname vmap @inbound", "counter drop"),
        "pace": (
            "ct status confirmed accept",
            f"iifname {PUBLIC} {_over(pace, BEGUN)}",
            f"oifname {PUBLIC} {_over(pace, TAKEN)}",
        ),
        "input": (*_asked("iifname", PUBLIC, "guest_to_host"), f"iifname {BRIDGES} counter drop", *_tunnels(vteps)),
        "guest_to_host": (
            f"udp dport {VXLAN_PORT} counter drop",
            # Replies to what the host asked (health checks), neighbours, pings of the gateway, and the metadata.
            "ct state established,related accept",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
            f"ip daddr {GATEWAY4} icmp type echo-request goto ask_host",
            f"ip6 daddr {METADATA6} icmpv6 type echo-request goto ask_host",
            f"ip daddr {METADATA4} tcp dport 80 goto ask_host",
            f"ip6 daddr {METADATA6} tcp dport 80 goto ask_host",
            "counter drop",
        ),
        "ask_host": (_over(pace, BEGUN), "accept"),
    }


def bridged_chains(pace: int = PACE) -> Chains:
    """Of table bridge: private networks. Their bridges belong to guests alone, the host itself is in none of them."""
    state = (
        "ether type arp accept",  # as a guest sends it, it has been checked at its tap
        "ether type != ip counter drop",
        f"meta mark {STRAY} counter drop",
        f"meta mark {REPLY} accept",
    )
    return {
        "unmark": (f"iifname {PRIVATE} meta mark set 0", f"iifname {OVERLAYS} meta mark set 0"),
        "forward": (*_asked("iifname", PRIVATE, "members"), *_asked("oifname", PRIVATE, "members")),
        "members": (*state, f"iifname {PRIVATE} goto from_member", "goto to_member"),
        "from_member": ("iifname vmap @outbound", "counter drop"),
        "to_member": ("oifname vmap @inbound", f"oifname {OVERLAYS} accept", "counter drop"),
        "pace": (f"iifname {PRIVATE} goto paced", f"oifname {PRIVATE} goto paced"),
        "paced": (
            "ether type arp accept",
            f"meta mark {{ {REPLY}, {KNOWN} }} meta mark set 0 accept",  # the mark ends here
            f"iifname {PRIVATE} {_over(pace, BEGUN)}",
            f"oifname {PRIVATE} {_over(pace, TAKEN)}",
        ),
        "input": (f"iifname {PRIVATE} counter drop", f"iifname {OVERLAYS} counter drop"),
    }


def _asked(side: str, ports: str, chain: str) -> tuple[str, str]:
    """A packet of which nobody says anything, as where a chain on the way is empty, comes back from a jump."""
    return f"{side} {ports} jump {chain}", f"{side} {ports} counter drop"


def _refusals(forbidden: Sequence[str]) -> tuple[str, ...]:
    ranges = _by_family((LINK_LOCAL, *forbidden))
    return tuple(f"{family} daddr {_set(own)} counter drop" for family, own in ranges.items() if own)


def _over(pace: int, ports: str) -> str:
    key = "iifname" if ports == BEGUN else "oifname"
    return f"update @{ports} {{ {key} limit rate over {pace}/second burst {AT_ONCE * pace} packets }} counter drop"


def _tunnels(vteps: Sequence[str]) -> tuple[str, ...]:
    """Without ranges there are no tunnels."""
    tunnel = f"udp dport {VXLAN_PORT}"
    allowed = (f"{family} saddr {_set(own)} {tunnel} accept" for family, own in _by_family(vteps).items() if own)
    return (*allowed, f"{tunnel} counter drop") if vteps else ()


def _by_family(texts: Iterable[str]) -> Mapping[str, list[str]]:
    networks = [ip_network(text) for text in texts]
    return {
        family: [str(n) for n in collapse_addresses(n for n in networks if n.version == version)]  # type: ignore[type-var]
        for version, family in ((4, "ip"), (6, "ip6"))
    }


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(items)} }}"


def _interface(name: str) -> str:
    if not re.fullmatch(r"[^\s\"/*]{1,15}", name):
        raise ValueError(f"not the name of an interface: {name!r}")
    return f'"{name}"'
