"""Load balancers in private networks: two of them with one range on one edge, each reaching its own servers only."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from infra.domain.edge_plan import Backend, Balancer, EdgePlan, PrivateSide
from infra.domain.networks import mac_of
from infra.domain.port_names import bridge_name
from infra.drivers import nft
from tests.edge.conftest import RunningEdge
from tests.edge.test_haproxy import service, until

ANSWER = "import http.server,sys; H=http.server.BaseHTTPRequestHandler\n"
ANSWER += "H.do_GET=lambda s: (s.send_response(200), s.end_headers(), s.wfile.write(sys.argv[2].encode()))\n"
ANSWER += "http.server.HTTPServer((sys.argv[1], 8080), H).serve_forever()"
INSIDE = "10.0.0.7"


def balancer(number: int) -> Balancer:
    """With the same range and the same addresses as every other, in a network of its own."""
    side = PrivateSide(number, 5000 + number, mac_of(number), "10.0.0.5", "10.0.0.0/16")
    public = f"203.0.113.{number}"
    return Balancer(
        *(number, 1, "round_robin", 100, public),
        private=side,
        services=(service(),),
        backends=(Backend(INSIDE, by_network=True),),
    )


@pytest.fixture
def guests(edge: RunningEdge) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Namespaces for guests; each test plugs its own in."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for one in running:
        one.kill()
        one.wait()
    for number in (1, 2):
        subprocess.run(("ip", "netns", "del", f"{edge.prefix}guest{number}"), check=False, stderr=subprocess.DEVNULL)


def plug_in(edge: RunningEdge, number: int) -> subprocess.Popen[bytes]:
    """A guest of network ``number`` that says which it is of."""
    name, cable = f"{edge.prefix}guest{number}", f"g{number}-{os.getpid()}"[:15]
    for line in (
        f"netns add {name}",
        f"link add {cable} type veth peer name eth0 netns {name}",
        f"link set {cable} master {bridge_name(5000 + number)} up",
        f"-n {name} addr add {INSIDE}/16 dev eth0",
        f"-n {name} link set eth0 up",
    ):
        subprocess.run(("ip", *line.split()), check=True)
    return subprocess.Popen(
        ("ip", "netns", "exec", name, "python3", "-c", ANSWER, INSIDE, f"network {number}"), stderr=subprocess.DEVNULL
    )


async def test_two_networks_with_one_range(edge: RunningEdge, guests: list[subprocess.Popen[bytes]]) -> None:
    await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))
    guests += [plug_in(edge, 1), plug_in(edge, 2)]
    await until(edge, "healthy", INSIDE)
    async with asyncio.timeout(60):
        while {health.status for health in await edge.health()} != {"healthy"}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    from_outside = [(await _body(f"http://203.0.113.{number}/")) for number in (1, 2)]
    from_inside = [
        await _body("http://10.0.0.5/", "ip", "netns", "exec", f"{edge.prefix}guest{number}") for number in (1, 2)
    ]
    assert from_outside == from_inside == ["network 1", "network 2"]


STATEFUL = f"""
add table inet beside
add chain inet beside zones {{ type filter hook prerouting priority raw; }}
add rule inet beside zones iifname "{bridge_name(5001)}" ct zone set 9
add chain inet beside judges {{ type filter hook forward priority 0; }}
add rule inet beside judges ct state invalid drop
"""
"""What a machine may have beside the edge: rules that ask for connections, and a host's zone for one network."""


async def test_connections_of_one_network_are_not_taken_for_those_of_another(
    edge: RunningEdge, guests: list[subprocess.Popen[bytes]]
) -> None:
    nft.apply(STATEFUL)
    try:
        await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))
        guests += [plug_in(edge, 1), plug_in(edge, 2)]
        async with asyncio.timeout(60):
            while {health.status for health in await edge.health()} != {"healthy"}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await asyncio.to_thread(_zones_of_connections, INSIDE) == {9}  # where a host tracks them, by themselves
    finally:
        nft.apply("delete table inet beside")


def _zones_of_connections(address: str) -> set[int]:
    """Of those that the machine knows to that address; 0: of no network's own."""
    with NFCTSocket() as conntrack:
        found = [one for one in conntrack.dump() if _destination(one) == address]
    return {one.get_attr("CTA_ZONE") or 0 for one in found}


def _destination(connection: Any) -> str | None:
    there = connection.get_attr("CTA_TUPLE_ORIG").get_attr("CTA_TUPLE_IP")
    return there and there.get_attr("CTA_IP_V4_DST")


async def test_a_network_that_it_leaves_is_gone_from_the_edge(edge: RunningEdge) -> None:
    await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))
    await edge.follow(EdgePlan(1, (balancer(2),)))
    links = _links()
    assert [name in links for name in ("pb-5001", "px-l1@", "pb-5002", "px-l2@")] == [False, False, True, True]
    await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))
    assert {health.load_balancer_id for health in await edge.health()} == {1, 2}


def _links() -> str:
    return subprocess.run(("ip", "-o", "link"), capture_output=True, text=True, check=True).stdout


async def _body(url: str, *before: str) -> str:
    asking = await asyncio.create_subprocess_exec(
        *(*before, "curl", "-s", "--noproxy", "*", "-m", "5", url), stdout=subprocess.PIPE
    )
    told, _ = await asking.communicate()
    return told.decode()


async def test_one_side_that_cannot_be_made_leaves_the_others(edge: RunningEdge) -> None:
    # A group's MAC is no machine's.
    impossible = replace(balancer(1), private=PrivateSide(1, 5001, "01:00:00:00:00:01", "10.0.0.5", "10.0.0.0/16"))
    served = await edge.follow(EdgePlan(1, (impossible, balancer(2))))
    assert served.problems == ("lb1: its private side cannot be made",)
    assert {health.load_balancer_id for health in await edge.health()} == {2}
    assert (await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))).problems == ()


async def test_a_namespace_that_nobody_can_enter_is_made_anew(edge: RunningEdge) -> None:
    """As a boot leaves it: a file that nothing is mounted on."""
    name = f"{edge.prefix}1"
    _do(f"touch /run/netns/{name}")
    assert (await edge.follow(EdgePlan(1, (balancer(1),)))).problems == ()
    _do(f"umount -l /run/netns/{name}")  # HAProxy is in there
    assert (await edge.follow(EdgePlan(1, (balancer(1),)))).problems == ()
    assert "10.0.0.5/16" in _do(f"ip -n {name} addr")


async def test_a_side_that_is_in_order_is_not_entered_again(edge: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    await edge.follow(EdgePlan(1, (balancer(1),)))
    entered: list[str] = []
    monkeypatch.setattr("infra.drivers.edge_networks._ensure_inside", lambda name, _: entered.append(name))
    await edge.follow(EdgePlan(1, (balancer(1),)))
    assert entered == []
    await edge.follow(EdgePlan(1, (balancer(1), balancer(2))))
    assert entered == [f"{edge.prefix}2"]


async def test_neighbours_are_there_whatever_port_came_or_went(edge: RunningEdge) -> None:
    """Two load balancers in one network: the bridge takes its own address from its ports."""
    one, two = (replace(balancer(n), private=_side(n, f"10.0.0.{n}")) for n in (1, 2))
    await edge.follow(EdgePlan(1, (two,)))
    await edge.follow(EdgePlan(1, (one, two)))
    assert _neighbours() == {("10.0.0.1", mac_of(1)), ("10.0.0.2", mac_of(2))}
    await edge.follow(EdgePlan(1, (two,)))
    await edge.follow(EdgePlan(1, (two,)))
    assert _neighbours() == {("10.0.0.2", mac_of(2))}


async def test_a_bridge_that_a_killed_worker_left_goes(edge: RunningEdge) -> None:
    for vni in (5009, 5010):
        _do(f"ip link add {bridge_name(vni)} type bridge")
    _do(f"ip link set {bridge_name(5010)} alias", "puchify network 7 zone 3")  # a host's
    await edge.follow(EdgePlan(1, (balancer(1),)))
    links = _links()
    _do(f"ip link del {bridge_name(5010)}")
    assert [bridge_name(vni) in links for vni in (5001, 5009, 5010)] == [True, False, True]


def _side(number: int, ip: str) -> PrivateSide:
    return PrivateSide(number, 5001, mac_of(number), ip, "10.0.0.0/16")


def _neighbours() -> set[tuple[str, str]]:
    told = _do(f"ip neigh show dev {bridge_name(5001)} nud permanent")
    return {(line.split()[0], line.split()[2]) for line in told.splitlines()}


def _do(line: str, *words: str) -> str:
    return subprocess.run((*line.split(), *words), capture_output=True, text=True, check=True).stdout
