"""The nftables text of a host: what guards the network, the host and the guests from each other.

Two tables named ``puchify``. ``netdev``: what a guest may *send*, checked where it leaves its tap, so that no later
hook sees a forged frame (stateless: connections are not tracked there yet). ``inet``: who may be forwarded to whom,
what a guest may ask of the host, and one chain of inbound rules per server. Traffic that touches no guest is left to
whoever rules the host.

Each text is one transaction for ``nft -f -`` and converges: it may be applied again at will, on top of anything of
ours. `PORT_CHAINS` is one server's share of it. nft 1.0.6 (Debian 12) is the oldest that has to read it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from ipaddress import IPv6Network

from infra.domain.port_names import PREFIX, server_of, tap_name

TABLE = "puchify"
GUESTS = f'"{PREFIX}*"'


def base_tables(uplinks: Sequence[str] = ()) -> str:
    """What stands once per host. A guest reaches other guests, and the world through ``uplinks`` only."""
    out = [f"oifname {{ {', '.join(map(_interface, sorted(set(uplinks))))} }} accept"] if uplinks else []
    hooks = {hook: f" {{ type filter hook {hook} priority filter; policy accept; }}" for hook in ("forward", "input")}
    chains = {
        "forward": (
            f"oifname {GUESTS} goto to_guest",
            f"iifname {GUESTS} goto from_guest",
        ),
        "from_guest": (*out, "counter drop"),
        "to_guest": (
            "ct state vmap { established : accept, related : accept, invalid : drop }",
            "oifname vmap @inbound",
            "counter drop",
        ),
        "input": (f"iifname {GUESTS} goto guest_to_host",),
        "guest_to_host": (
            # Replies to what the host asked (health checks), neighbours and pings; the host serves guests nothing.
            "ct state established,related accept",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, echo-request } accept",
            "icmp type echo-request accept",
            "counter drop",
        ),
    }
    return "\n".join(
        [
            *_ground(),
            *(f"add chain inet {TABLE} {name}{hooks.get(name, '')}" for name in chains),
            *(f"flush chain inet {TABLE} {name}" for name in chains),
            f"table inet {TABLE} {{",
            *(line for name, rules in chains.items() for line in _chain(name, rules)),
            "}",
            "",
        ]
    )


def base_removal() -> str:
    """All of ours away, the servers' chains included."""
    return "".join(f"add table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in ("netdev", "inet"))


def port_rules(tap: str, mac: str, ipv4: str | None, ipv6_network: str | None) -> str:
    """One server's port: anti-spoofing, and the default rules (replies, ICMP and SSH in; everything out)."""
    chain = _chain_of(tap)
    frame = (
        f"ether saddr != {mac} counter drop",
        "ether type != { arp, ip, ip6 } counter drop",  # said once: the rules below would look into a VLAN's frames
    )
    guard = (*frame, *_arp(mac, ipv4), *_ipv4(ipv4), *_ipv6(ipv6_network))
    hook = f'type filter hook ingress device "{tap}" priority -300; policy drop;'
    return "\n".join(
        [
            # A base chain may have lost its device (or, on Linux 6.1, itself) with an earlier tap of that name: anew.
            *_removed(f"chain netdev {TABLE} {chain}"),
            *_emptied(f"chain inet {TABLE} {chain}"),
            f"table netdev {TABLE} {{",
            *_chain(chain, (hook, *guard, "counter drop")),
            "}",
            f"table inet {TABLE} {{",
            *_chain(chain, inbound_rules()),
            "}",
            f'add element inet {TABLE} inbound {{ "{tap}" : goto {chain} }}',
            "",
        ]
    )


def inbound_rules() -> tuple[str, ...]:
    """What may open a connection to a server. Replies have been let through before these are asked."""
    return (
        "icmp type echo-request accept",  # errors about a connection count as replies to it
        "icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept",
        "tcp dport 22 accept",
        "counter drop",
    )


def port_removal(tap: str) -> str:
    """Everything of one server's port away; also when some or all of it is gone already."""
    chain = _chain_of(tap)
    return "\n".join(
        [
            *_ground(),
            f"add chain inet {TABLE} {chain}",
            f'add element inet {TABLE} inbound {{ "{tap}" : goto {chain} }}',
            f'delete element inet {TABLE} inbound {{ "{tap}" }}',
            *_removed(f"chain inet {TABLE} {chain}"),
            *_removed(f"chain netdev {TABLE} {chain}"),
            "",
        ]
    )


def servers_in(chains: Iterable[str]) -> set[int]:
    """The servers of which the named chains remain."""
    return {server for chain in chains if (server := server_of(chain)) is not None}


def guarded(server_id: int, chains: Container[tuple[str, str]]) -> bool:
    """Whether the rules of a server's port are among the ``chains`` (family, name), and those that lead to them."""
    tap = tap_name(server_id)
    return all(chain in chains for chain in (("netdev", tap), ("inet", tap), ("inet", "forward"), ("inet", "input")))


def _chain_of(tap: str) -> str:
    if server_of(tap) is None:
        raise ValueError(f"not a server's tap: {tap!r}")
    return tap


def _arp(mac: str, ipv4: str | None) -> tuple[str, ...]:
    if ipv4 is None:
        return ()
    return (
        f"arp htype 1 arp ptype ip arp saddr ether {mac} arp saddr ip {ipv4} accept",
        f"arp saddr ether {mac} arp saddr ip 0.0.0.0 arp daddr ip {ipv4} accept",  # RFC 5227: is my address taken?
    )


def _ipv4(ipv4: str | None) -> tuple[str, ...]:
    return () if ipv4 is None else ("meta protocol ip udp sport 67 counter drop", f"ip saddr {ipv4} accept")


def _ipv6(ipv6_network: str | None) -> tuple[str, ...]:
    if ipv6_network is None:
        return ()
    network = IPv6Network(ipv6_network)
    bits, ours = network.prefixlen, int(network.network_address) >> (128 - network.prefixlen)
    advert = "icmpv6 type nd-neighbor-advert"
    return (
        "icmpv6 type { nd-router-advert, nd-redirect } counter drop",
        "meta protocol ip6 udp sport 547 counter drop",
        # The target lies 8 bytes into ICMPv6; nft 1.0.6 has no name for it. 0x3fa is fe80::/10.
        f"{advert} @th,64,{bits} {ours:#x} accept",
        f"{advert} @th,64,10 0x3fa accept",
        f"{advert} counter drop",
        "ip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld2-listener-report } accept",  # before it has an address
        f"ip6 saddr {{ {network}, fe80::/10 }} accept",
    )


def _ground() -> list[str]:
    return [
        f"add table netdev {TABLE}",
        f"add table inet {TABLE}",
        f"add map inet {TABLE} inbound {{ type ifname : verdict; }}",
    ]


def _emptied(what: str) -> list[str]:
    """nft 1.0.6 knows no "if it is there": what was just added can be emptied, and deleted."""
    return [f"add {what}", f"flush {what}"]


def _removed(what: str) -> list[str]:
    return [*_emptied(what), f"delete {what}"]


def _chain(name: str, rules: Iterable[str]) -> list[str]:
    return [f"  chain {name} {{", *(f"    {rule}" for rule in rules), "  }"]


def _interface(name: str) -> str:
    if not re.fullmatch(r"[^\s\"/*]{1,15}", name):
        raise ValueError(f"not the name of an interface: {name!r}")
    return f'"{name}"'
