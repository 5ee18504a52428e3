"""Who may talk to a guest, and whom it may talk to: default rules and users' rules as the chains of its ports.

A chain is asked about the first packet of a connection only; what belongs to one that was let through has passed
before. So connections outlive the rule that let them in, as with hcloud: a rule that is taken away refuses new ones.
Rules of all firewalls count together. Those that differ in their ports alone, or in their ranges alone, become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from infra.domain.firewalls import LAST_PORT, WITH_PORTS, Direction, Protocol, Rule
from infra.domain.port_plan import PortPlan

REFUSED = "counter drop"
PINGS, SSH = ("icmp type echo-request accept", "icmpv6 type echo-request accept"), "tcp dport 22 accept"
NUMBERS: dict[Protocol, str] = {"tcp": "6", "udp": "17", "icmp": "{ 1, 58 }", "gre": "47", "esp": "50"}
"""IANA's; nft would look names up in a file that not every machine has."""

Ports = tuple[tuple[int, int], ...]
Ranges = tuple[str, ...]
Network = IPv4Network | IPv6Network
ALL: Ports = ((0, LAST_PORT),)


def public_inbound(plan: PortPlan) -> list[str]:
    rules = [f"{match} accept" for _, match in _matches(plan.rules, "in")]
    open_to_all = plan.accepts and not plan.firewalls
    return [*PINGS, SSH, *rules, "accept" if open_to_all else REFUSED]


def private_inbound(plan: PortPlan) -> list[str]:
    """Members of its network are let in until a firewall says which."""
    if not plan.firewalls:
        return ["accept"]
    rules = [f"{match} accept" for family, match in _matches(plan.rules, "in") if family == "ip"]
    return [PINGS[0], SSH, *rules, REFUSED]


def outbound(plan: PortPlan, allowed: str, families: Sequence[str]) -> list[str]:
    """``allowed``: the verdict on what may leave. Without rules about it, everything may."""
    if not any(rule.direction == "out" for rule in plan.rules):
        return [allowed]
    rules = [f"{match} {allowed}" for family, match in _matches(plan.rules, "out") if family in families]
    return [*rules, REFUSED]


@lru_cache(maxsize=64)  # the servers of a firewall have the same rules, and 5,000 ranges take 60 ms to read
def _matches(rules: tuple[Rule, ...], direction: Direction) -> list[tuple[str, str]]:
    """By family, nft's expressions, each for what rules of the direction let through."""
    by_ports: dict[tuple[str, Protocol, Ports], list[Network]] = {}
    for rule in rules:
        if rule.direction == direction:
            for text in rule.source_ips if direction == "in" else rule.destination_ips:
                network = ip_network(text)
                family = "ip" if network.version == 4 else "ip6"
                by_ports.setdefault((family, rule.protocol, _ports(rule)), []).append(network)
    by_ranges: dict[tuple[str, Protocol, Ranges], list[tuple[int, int]]] = {}
    for (family, protocol, ports), networks in by_ports.items():
        by_ranges.setdefault((family, protocol, _collapsed(networks)), []).extend(ports)
    address = "saddr" if direction == "in" else "daddr"
    return [
        (family, " ".join([f"{family} {address} {_listed(ranges)}", *_transport(protocol, _merged(ports))]))
        for (family, protocol, ranges), ports in by_ranges.items()
    ]


def _ports(rule: Rule) -> Ports:
    if rule.protocol not in WITH_PORTS or rule.port in (None, "any"):
        return ALL
    first, _, last = str(rule.port).partition("-")
    return ((int(first), int(last or first)),)


def _merged(ports: Iterable[tuple[int, int]]) -> Ports:
    """Apart from each other, in their order: nft refuses a set whose ranges overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _collapsed(networks: Iterable[Network]) -> Ranges:
    return tuple(str(network) for network in collapse_addresses(networks))  # type: ignore[type-var]


def _transport(protocol: Protocol, ports: Ports) -> list[str]:
    if protocol not in WITH_PORTS or ports == ALL:
        return [f"meta l4proto {NUMBERS[protocol]}"]
    written = [str(first) if first == last else f"{first}-{last}" for first, last in ports]
    return [f"{protocol} dport {_listed(written)}"]


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{{ {', '.join(items)} }}"
