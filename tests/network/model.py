"""What the firewall's semantics say of one packet: written for people, rule by rule, with nothing of the product's."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from infra.domain.firewalls import Direction, Rule
from infra.domain.port_plan import PortPlan
from tests.network.packets import Packet


def comes_in_from_the_world(plan: PortPlan, packet: Packet) -> bool:
    if by_default(packet) or named(plan.rules, "in", packet):
        return True
    return plan.accepts and not plan.firewalls


def comes_in_from_its_network(plan: PortPlan, packet: Packet) -> bool:
    if not plan.firewalls:
        return True
    return by_default(packet) or named(plan.rules, "in", packet)


def goes_out(plan: PortPlan, packet: Packet, forbidden: Sequence[str] = ()) -> bool:
    if any(within(packet.remote, range_) for range_ in forbidden):
        return False
    chosen = [rule for rule in plan.rules if rule.direction == "out"]
    return not chosen or named(chosen, "out", packet)


def by_default(packet: Packet) -> bool:
    return packet.kind == "echo" or (packet.kind == "tcp" and packet.port == 22)


def named(rules: Sequence[Rule], direction: Direction, packet: Packet) -> bool:
    return any(rule.direction == direction and lets_pass(rule, packet) for rule in rules)


def lets_pass(rule: Rule, packet: Packet) -> bool:
    protocol = "icmp" if packet.kind in ("echo", "other icmp") else packet.kind
    if rule.protocol != protocol:
        return False
    if rule.port not in (None, "any"):
        first, _, last = str(rule.port).partition("-")
        if not int(first) <= packet.port <= int(last or first):
            return False
    ranges = rule.source_ips if rule.direction == "in" else rule.destination_ips
    return any(within(packet.remote, range_) for range_ in ranges)


def within(address: str, range_: str) -> bool:
    one, network = ip_address(address), ip_network(range_)
    return one.version == network.version and one in network
