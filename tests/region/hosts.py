"""Hosts of a fabric that carries no region: their ports made as a host worker makes them, with namespaces as guests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.domain.models import server_mac
from infra.domain.networks import mac_of
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort
from infra.lab.places import PLACES, PRIVATE_MTU, ROUTERS, UPLINKS
from infra.lab.region import Region
from tests.cli.run import environment
from tests.network.fix_guests import Guests
from tests.region.hand import PLAN

LOOK_EVERY = 0.01  # seconds
IP_RANGE = "10.0.0.0/16"


@dataclass
class Fabric:
    """``region``: its network and machines, without anything of ours on them."""

    region: Region
    guests: Guests
    hands: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def namespace(self, machine: str) -> str:
        return self.region.lab.network.namespace(machine).name

    def attach(self, host: str, plan: PortPlan) -> None:
        self._told(host, {"attach": PLAN.dump_python(plan, mode="json")})

    def detach(self, host: str, server_id: int) -> None:
        self._told(host, {"detach": server_id})

    def withdrawn(self, address: str, patience: float) -> float:
        """Seconds until no router has a route to it."""
        return waited(lambda: not any(self.next_hop(one.name, address) for one in ROUTERS), patience)

    def leads_to(self, address: str, host: str, patience: float) -> float:
        """Seconds until every router sends it to that host."""
        return waited(lambda: all(self.next_hop(one.name, address) == [host] for one in ROUTERS), patience)

    def next_hop(self, router: str, address: str) -> list[str]:
        """The interfaces by which the router sends what is for the address; none: nowhere. A router's bears the name
        of what is at its other end."""
        argv = ("ip", "-n", self.namespace(router), "-json", "route", "get", address, "fibmatch")
        told = subprocess.run(argv, capture_output=True, text=True)
        routes = json.loads(told.stdout or "[]") if told.returncode == 0 else []
        hops = [hop for route in routes for hop in route.get("nexthops", [route])]
        return [hop["dev"] for hop in hops if hop.get("dev") not in (None, "lo")]

    def clear(self, host: str, *server_ids: int) -> None:
        for server_id in server_ids:
            self.detach(host, server_id)

    def close(self) -> None:
        for hand in self.hands.values():
            hand.kill()
            with hand:
                pass

    def _told(self, host: str, what: object) -> None:
        hand = self.hands.get(host) or self._open(host)
        assert hand.stdin is not None
        assert hand.stdout is not None
        hand.stdin.write(json.dumps(what) + "\n")
        hand.stdin.flush()
        assert hand.stdout.readline() == "done\n", host

    def _open(self, host: str) -> subprocess.Popen[str]:
        into = ("nsenter", f"--net=/run/netns/{self.namespace(host)}", "--")
        words = (PLACES[host].router_id, str(PRIVATE_MTU), ",".join(UPLINKS))
        argv = (*into, sys.executable, str(Path(__file__).with_name("hand.py")), *words)
        hand = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        assert hand.stdout is not None
        assert hand.stdout.readline() == "ready\n"
        self.hands[host] = hand
        return hand


def waited(met: Callable[[], bool], patience: float, every: float = LOOK_EVERY) -> float:
    """Seconds until it was so."""
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < patience, f"not within {patience} s"
        time.sleep(every)
    return time.monotonic() - begun


def public(number: int, generation: int = 0) -> PublicPort:
    addresses = f"203.0.113.{number}", f"2001:db8:100:{number:x}::/64"
    return PublicPort(server_mac(number), *addresses, generation, generation)


def server(number: int, *private: PrivatePort, epoch: int = 1, generation: int = 0) -> PortPlan:
    return PortPlan(number, epoch, public(number, generation), private)


def member(member_id: int, vni: int, ip: str) -> PrivatePort:
    return PrivatePort(member_id, vni, vni, mac_of(member_id), ip, IP_RANGE)
