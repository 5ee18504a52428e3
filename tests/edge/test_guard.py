"""What a member of a private network sends into its edge stays in the network: nothing of it reaches the machine, nor
the networks that the machine is in."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.domain.edge_plan import EdgePlan
from infra.domain.port_names import bridge_name, cable_name
from infra.drivers.edge_guard import TABLE
from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.edges import clear
from tests.edge.conftest import RunningEdge
from tests.edge.test_private_sides import balancer
from tests.fix_netns import enter

VNI = 5001
OWN, NEIGHBOUR = "192.0.2.1", "192.0.2.2"  # of the management network
PORT = 9
FORWARDING = Path("/proc/sys/net/ipv4/conf")
SEND = "import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
SEND += "[s.sendto(b'x', (to, 9)) for to in sys.argv[1:] for _ in range(5)]"


@dataclass
class Ground:
    """``sockets``: by address, what is listened with there."""

    member: str
    cable: str
    sockets: dict[str, socket.socket]

    def plug_in(self) -> None:
        """Into the network's bridge, which is there."""
        _shell(f"ip link set {self.cable} master {bridge_name(VNI)}")

    def arrived(self) -> dict[str, int]:
        """After the member sent five packets to each address, by way of the edge's bridge."""
        mac = json.loads(_shell(f"ip -j link show {bridge_name(VNI)}"))[0]["address"]
        _shell(f"ip -n {self.member} neigh replace 10.0.0.254 lladdr {mac} dev eth0 nud permanent")
        _shell("ip", "netns", "exec", self.member, "python3", "-c", SEND, OWN, NEIGHBOUR)
        return {address: _taken(one) for address, one in self.sockets.items()}


@pytest.fixture
def ground(edge: RunningEdge) -> Iterator[Ground]:
    """A machine that forwards, as hosts and routers do, with a neighbour on its management network."""
    member, neighbour = f"{edge.prefix}member", f"{edge.prefix}neighbour"
    mine, others = f"px-x{os.getpid()}"[:15], f"mg{os.getpid()}"
    before = {name: (FORWARDING / name / "forwarding").read_text() for name in ("all", "default")}
    (FORWARDING / "all/forwarding").write_text("1")
    for line in (
        f"netns add {member}",
        f"netns add {neighbour}",
        f"link add {mine} type veth peer name eth0 netns {member}",
        f"link add {others} type veth peer name eth0 netns {neighbour}",
        f"addr add {OWN}/24 dev {others}",
        f"link set {others} up",
        f"link set {mine} up",
        f"-n {neighbour} addr add {NEIGHBOUR}/24 dev eth0",
        f"-n {neighbour} link set eth0 up",
        f"-n {member} addr add 10.0.0.7/16 dev eth0",
        f"-n {member} link set eth0 up",
        f"-n {member} route add default via 10.0.0.254 dev eth0",
    ):
        _shell(f"ip {line}")
    with ExitStack() as stack:
        sockets = {OWN: stack.enter_context(_listening()), NEIGHBOUR: stack.enter_context(_listening(neighbour))}
        yield Ground(member, mine, sockets)
    for name in (member, neighbour):
        _shell(f"ip netns del {name}")
    for name, value in before.items():
        (FORWARDING / name / "forwarding").write_text(value)


async def test_a_member_reaches_neither_the_edge_nor_what_is_behind_it(edge: RunningEdge, ground: Ground) -> None:
    await edge.follow(EdgePlan(1, (balancer(1),)))
    ground.plug_in()
    assert ground.arrived() == {OWN: 0, NEIGHBOUR: 0}
    _shell(f"nft delete table bridge {TABLE}")
    assert ground.arrived()[NEIGHBOUR] == 0  # its links forward nothing, either
    for name in (bridge_name(VNI), cable_name(1)):
        (FORWARDING / name / "forwarding").write_text("1")
    assert ground.arrived() == {OWN: 5, NEIGHBOUR: 5}  # but for both there is a way
    await edge.follow(EdgePlan(1, (balancer(1),)))
    assert ground.arrived() == {OWN: 0, NEIGHBOUR: 0}


async def test_an_edge_that_is_cleared_leaves_no_rules(edge: RunningEdge) -> None:
    await edge.follow(EdgePlan(1, (balancer(1),)))
    assert TABLE in _shell("nft list tables")
    await asyncio.to_thread(clear, EdgeNetworks(edge.prefix))
    assert TABLE not in _shell("nft list tables")


def _shell(*words: str) -> str:
    argv = words if len(words) > 1 else words[0].split()
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _listening(namespace: str | None = None) -> socket.socket:
    """A socket that is there, whoever reads it."""

    def opened() -> socket.socket:
        if namespace:
            enter(f"/run/netns/{namespace}")
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind(("", PORT))
        return found

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(opened).result()


def _taken(one: socket.socket) -> int:
    """Packets that came, when nothing more does for a moment."""
    one.settimeout(0.3)
    count = 0
    while True:
        try:
            one.recv(100)
        except TimeoutError:
            return count
        count += 1
