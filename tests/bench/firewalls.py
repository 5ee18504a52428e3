"""A change of a firewall on a host, alone there and among many: from the plan to the rules in the kernel.

In a network of its own, which ends with the thread that made it. Every server has a public port and a private one,
and a firewall with rules of all kinds.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pyroute2 import IPRoute

from infra.domain.firewall_rules import base_tables, network_rules, server_filters, server_removal, server_rules
from infra.domain.firewalls import MOST_RANGES, MOST_RULES, Rule
from infra.domain.networks import mac_of
from infra.domain.port_names import VNIS, private_tap_name, tap_name
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort
from infra.drivers import nft
from tests.bench import machine
from tests.bench.figures import Summary, summary
from tests.bench.network import CLONE_NEWNET

SIZES = (1, 50, 200)
NETWORKS = 20
TUN_TAP = 2
ANYBODY, OFFICES = ("0.0.0.0/0", "::/0"), ("198.51.100.0/24", "203.0.113.0/25", "2001:db8:1::/48", "2001:db8:2::/48")


@dataclass(frozen=True, slots=True)
class Firewalls:
    """Milliseconds, on a host with so many ``servers``. ``change``: of one server's firewall; ``largest``: to one of
    as many rules and ranges as there may be; ``ports``: all that a server's ports need; ``removal``: of those."""

    load: tuple[float, float]
    servers: int
    change: Summary
    largest: Summary
    ports: Summary
    removal: Summary


def measure(samples: int, sizes: Sequence[int] = SIZES) -> list[Firewalls]:
    """Nothing: not root, so there are no rules to change."""
    if os.geteuid() != 0:
        return []
    with ThreadPoolExecutor(1, initializer=_enter_own) as thread:
        return thread.submit(lambda: list(_measure(samples, sizes))).result()


def _measure(samples: int, sizes: Sequence[int]) -> Iterator[Firewalls]:
    nft.apply(base_tables(["uplink"], ["10.255.0.0/16"]))
    for number in range(NETWORKS):
        nft.apply(network_rules(VNIS.start + number, 1 + number))
    there = 0
    with IPRoute() as netlink:
        for size in sizes:
            for number in range(there + 1, size + 1):
                _attach(netlink, plan_of(number))
            there = size
            before = machine.load()
            change = _timed(samples, lambda turn: server_filters(plan_of(1, turn)))
            ports = _timed(samples, lambda turn: server_rules(plan_of(1, turn)))
            largest = _timed(max(2, samples // 4), lambda turn: server_filters(replace(plan_of(1), rules=most(turn))))
            removal = [_once(removed) for _ in range(samples) if _once(attached)]
            yield Firewalls((before, machine.load()), size, change, largest, ports, summary(removal))


def plan_of(number: int, turn: int = 0) -> PortPlan:
    """``turn``: of its rules, which differ from one to the next."""
    rules = (
        *(Rule("in", "tcp", str(80 + turn + port), ANYBODY) for port in range(3)),
        *(Rule("in", "udp", f"{2000 + turn + 100 * port}-{2050 + turn + 100 * port}", OFFICES) for port in range(3)),
        Rule("in", "icmp", None, ANYBODY),
        Rule("out", "tcp", "any", (), ANYBODY),
    )
    public = PublicPort(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", f"203.0.113.{number}", _network6(number))
    vni, ip = VNIS.start + number % NETWORKS, f"10.0.0.{1 + number}"
    private = PrivatePort(number, vni, vni, mac_of(number), ip, "10.0.0.0/16")
    return PortPlan(number, 1, public, (private,), (1,), rules)


def most(turn: int) -> tuple[Rule, ...]:
    """No two of its ranges are one, none of its rules can be said with another."""
    return tuple(
        Rule("in", "tcp", str(1 + rule + turn), tuple(f"10.{rule}.{2 * part}.0/24" for part in range(MOST_RANGES)))
        for rule in range(MOST_RULES)
    )


def _network6(number: int) -> str:
    return f"2001:db8:100:{number:x}::/64"


def _attach(netlink: IPRoute, plan: PortPlan) -> None:
    for tap in (tap_name(plan.server_id), private_tap_name(plan.private[0].member_id)):
        netlink.link("add", ifname=tap, kind="tun", tun_type=TUN_TAP)
    nft.apply(server_rules(plan))


def attached() -> str:
    return server_rules(plan_of(1))


def removed() -> str:
    return server_removal([tap_name(1), private_tap_name(1)])


def _timed(samples: int, text: Callable[[int], str]) -> Summary:
    """Of rendering and applying."""
    return summary(_once(lambda turn=turn: text(turn)) for turn in range(samples))  # type: ignore[misc]


def _once(text: Callable[[], str]) -> float:
    begun = time.perf_counter()
    nft.apply(text())
    return (time.perf_counter() - begun) * 1000


def _enter_own() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
