"""The network step by itself, on the real kernel: a server's ports, public and private, beside so many others' here.

Each server has a tap of its own and one in a network that nine others are in, too. Runs in the bench's own network.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from infra.domain.firewalls import Rule
from infra.domain.models import server_mac
from infra.domain.networks import mac_of
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort
from infra.drivers.ports import HostNetwork, HostPorts
from tests.bench import machine
from tests.bench.figures import Summary, summary, timed

IN_A_NETWORK = 10
NETWORK = HostNetwork(pools=("10.77.0.0/16", "2001:db8:77::/48"), vtep="10.255.0.1")
RULE = Rule(direction="in", protocol="tcp", port="443", source_ips=("0.0.0.0/0", "::/0"))


@dataclass(frozen=True, slots=True)
class PortStep:
    """Milliseconds, by the number of servers on the host. ``attach``: of a server that is new here; ``change``: of its
    firewalls' rules; ``detach``: of it. ``look``: all that is here compared with what should be, once."""

    load: tuple[float, float]
    attach: Mapping[int, Summary]
    change: Mapping[int, Summary]
    detach: Mapping[int, Summary]
    look: Mapping[int, float]


async def measure(sizes: Sequence[int], samples: int) -> PortStep | None:
    """None: not root, so there is no network of the bench's own."""
    if os.geteuid() != 0:
        return None
    before, rows, looks = machine.load(), dict[int, list[Summary]](), dict[int, float]()
    host = HostPorts(NETWORK)
    await host.open()
    here = 0
    for size in sizes:
        for number in range(here + 1, size):
            await host.attach(plan_of(number))
        here = size - 1
        rows[size] = await _one_more(host, samples)
        looks[size] = round((await timed(host.mend))[0], 1)
    await asyncio.gather(*(host.detach(number) for number in range(1, here + 1)))
    await host.close()
    attach, change, detach = ({size: row[at] for size, row in rows.items()} for at in range(3))
    return PortStep((before, machine.load()), attach, change, detach, looks)


async def _one_more(host: HostPorts, samples: int) -> list[Summary]:
    plan = plan_of(5_000)
    changed = replace(plan, firewalls=(1,), rules=(RULE,))
    work = (lambda: host.attach(plan), lambda: host.attach(changed), lambda: host.detach(plan.server_id))
    rows = [[(await timed(step))[0] for step in work] for _ in range(samples)]
    return [summary(column) for column in zip(*rows, strict=True)]


def plan_of(number: int) -> PortPlan:
    member, vni = 10_000 + number, 5_000 + number // IN_A_NETWORK
    private = PrivatePort(member, vni, vni, mac_of(member), f"10.8.{number >> 8}.{number & 255}", "10.8.0.0/16")
    public = PublicPort(server_mac(number), f"10.77.{number >> 8}.{number & 255}", f"2001:db8:77:{number:x}::/64")
    return PortPlan(number, 1, public, (private,))
