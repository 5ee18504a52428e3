"""Rules and packets by chance, seeded: packets at the edges of rules, where mistakes are."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from infra.domain.firewalls import WITH_PORTS, Direction, Protocol, Rule
from tests.network.packets import KINDS, Packet

WORLD4, WORLD6 = IPv4Network("198.18.0.0/15"), IPv6Network("2001:db8:a000::/36")
"""Where the other ends of connections are (RFC 2544, 3849)."""
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "icmp", "gre", "esp")


@dataclass
class Chance:
    random: random.Random
    _number: int = field(default=0)

    def rules(self, most: int = 8) -> tuple[Rule, ...]:
        return tuple(self.rule() for _ in range(self.random.randrange(most + 1)))

    def rule(self) -> Rule:
        direction: Direction = self.random.choice(("in", "in", "out"))
        protocol = self.random.choice(PROTOCOLS)
        port = self.ports() if protocol in WITH_PORTS else None
        ranges = tuple(dict.fromkeys(self.range() for _ in range(self.random.choice((1, 1, 2, 3, 12)))))
        sides = {"in": (ranges, ()), "out": ((), ranges)}[direction]
        return Rule(direction, protocol, port, *sides)

    def ports(self) -> str:
        first = self.random.randint(1, 65_535)
        last = min(65_535, first + self.random.choice((0, 1, 10, 5000)))
        return self.random.choice(("any", "80", str(first), f"{first}-{last}" if last > first else str(first)))

    def range(self) -> str:
        world = self.random.choice((WORLD4, WORLD6))
        if self.random.random() < 0.15:
            return "0.0.0.0/0" if world is WORLD4 else "::/0"
        length = self.random.choice((16, 20, 24, 31, 32) if world is WORLD4 else (40, 48, 64, 127, 128))
        return str(ip_network((self.inside(world), length), strict=False))

    def inside(self, world: IPv4Network | IPv6Network) -> int:
        return int(world.network_address) + self.random.randrange(world.num_addresses)

    def packet(self, direction: Direction, rules: tuple[Rule, ...], versions: tuple[int, ...] = (4, 6)) -> Packet:
        """Often one that a rule is about, or would nearly be."""
        self._number += 1
        rules = tuple(rule for rule in rules if rule.direction == direction)
        rule = self.random.choice(rules) if rules and self.random.random() < 0.85 else None
        kind, port = self.random.choice(KINDS), self.random.choice((22, 80, self.random.randint(1, 65_535)))
        if rule is not None and self.random.random() < 0.85:
            kind = {"icmp": "other icmp"}.get(rule.protocol, rule.protocol)  # type: ignore[assignment]
            port = self.near(rule.port)
        remote = self.remote(rule, versions)
        return Packet(self._number, kind, remote, port)

    def near(self, port: str | None) -> int:
        if port is None or port == "any":
            return self.random.randint(1, 65_535)
        first, _, last = port.partition("-")
        edges = (int(first), int(last or first), int(first) - 1, int(last or first) + 1)
        return min(65_535, max(1, self.random.choice(edges)))

    def remote(self, rule: Rule | None, versions: tuple[int, ...]) -> str:
        """An address of the world; at an edge of one of the rule's ranges if it can be."""
        version = self.random.choice(versions)
        world = WORLD4 if version == 4 else WORLD6
        ranges = [ip_network(text) for text in (rule.source_ips or rule.destination_ips if rule else ())]
        ranges = [one for one in ranges if one.version == version and one.prefixlen > 0]
        address = self.inside(world)
        if ranges and self.random.random() < 0.8:
            chosen = self.random.choice(ranges)
            first, last = int(chosen[0]), int(chosen[-1])
            address = self.random.choice((first, last, first - 1, last + 1, self.random.randint(first, last)))
        if not int(world[0]) < address < int(world[-1]):
            address = int(world[1])
        return str(ip_address(address))
