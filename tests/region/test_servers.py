"""Servers of the whole region: reached from the world wherever they are, and placed again when their host dies."""

from __future__ import annotations

import os
import time

import pytest

from infra.lab.places import ROUTERS
from tests.region.hosts import waited
from tests.region.live import END, LiveRegion, addresses_of

WITHDRAWN = 3.0
"""Seconds that a dead host's addresses may still lead to it."""
MANY, ENOUGH = 30, 20
"""Servers that are ordered, and that come about at least: two of three zones are there all the time."""

pytestmark = pytest.mark.timeout(900)


def test_the_world_logs_in_whichever_host_it_is_on(region: LiveRegion) -> None:
    group = region.asked("POST", "/placement_groups", {"name": "apart", "type": "spread"})["placement_group"]
    orders = [region.order(f"apart-{n}", placement_group=group["id"]) for n in range(2)]
    for order in orders:
        assert region.ended(order["action"]["id"])["status"] == "success"
    servers = [region.server(order["server"]["id"]) for order in orders]
    for server in servers:
        for address in addresses_of(server):
            assert region.log_in(address, "hostname") == server["name"]
    hosts = {hop for server in servers for hop in region.hops("r1", addresses_of(server)[0])}
    assert len(hosts) == 2
    region.emptied()
    region.api.delete(f"/placement_groups/{group['id']}")
    waited(lambda: not any(region.hops("r1", addresses_of(server)[0]) for server in servers), END)


def test_a_server_whose_host_dies_is_placed_again(region: LiveRegion) -> None:
    """With its addresses, which lead to the dead host for a moment only."""
    answer = region.order("survivor")
    server_id, addresses = answer["server"]["id"], list[str]()

    def boots() -> bool:
        if not addresses and region.server(server_id)["public_net"]["ipv4"]:
            addresses.extend(addresses_of(region.server(server_id)))
        return bool(addresses and region.hops("r1", addresses[0]) and qemu(region, region.hops("r1", addresses[0])[0]))

    waited(boots, END, every=0.05)
    (dead,) = region.hops("r1", addresses[0])
    killed = time.monotonic()
    region.kill(dead)
    waited(lambda: not any(dead in region.hops(one.name, addresses[0]) for one in ROUTERS), END)
    withdrawn = time.monotonic() - killed
    action = region.ended(answer["action"]["id"])
    took = time.monotonic() - killed
    assert action["status"] == "success", action
    assert addresses_of(region.server(server_id)) == addresses
    assert {region.log_in(address, "hostname") for address in addresses} == {"survivor"}
    print(f"\nroutes to the dead {dead} were gone after {withdrawn:.2f} s, the server ran elsewhere after {took:.1f} s")
    assert withdrawn <= WITHDRAWN
    region.heal(dead)
    (now,) = region.hops("r1", addresses[0])
    assert now != dead
    waited(lambda: not qemu(region, dead) and not region.leaks(), END, every=1)


@pytest.mark.timeout(2400)
@pytest.mark.skipif(not os.environ.get("LAB_ALL"), reason="a part of make lab-test")
def test_a_zone_is_cut_off_while_servers_are_made(region: LiveRegion) -> None:
    begun = time.monotonic()
    answers = [region.order(f"many-{number}") for number in range(MANY)]
    region.cut("z2")
    for answer in answers[: MANY // 2]:
        region.ended(answer["action"]["id"], 900)
    region.heal("z2")
    actions = [region.ended(answer["action"]["id"], 900) for answer in answers]
    ended = [action["status"] for action in actions]
    took = time.monotonic() - begun
    assert set(ended) <= {"success", "error"}
    servers = [server for server in region.servers() if server["status"] == "running"]
    assert len(servers) == ended.count("success")
    addresses = [address for server in servers for address in addresses_of(server)]
    assert len(set(addresses)) == len(addresses)
    for address in addresses:
        assert region.log_in(address, "true") == ""
    waited(lambda: not region.leaks(), 2 * END, every=1)
    why = [action["error"]["message"] for action in actions if action["error"]]
    print(f"\n{ended.count('success')} of {MANY} servers came about in {took:.0f} s while a zone was away; not: {why}")
    assert ended.count("success") >= ENOUGH


def qemu(region: LiveRegion, host: str) -> bool:
    """Whether a guest runs there."""
    return any(daemon.name.startswith("qemu-system") for daemon in region.lab.nodes[host].daemons())
