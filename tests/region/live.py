"""A whole region as its users have it: servers ordered over HTTP, and logins from the world outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.lab.errors import LabError
from infra.lab.network import SWITCH
from infra.lab.places import CONTROL, OUTSIDE, PLACES
from infra.lab.region import Region
from tests.region.hosts import waited
from workers.lab.control import KEY_NAME
from workers.lab.machines import API, control_address, control_state
from workers.local.place import Place

OURS = "10.231.7.200/24"
BOOT = 240.0
"""Seconds for a server, on a machine with two cores that emulates all of them."""
END = 120.0
Wire = dict[str, Any]


@dataclass
class LiveRegion:
    """``api``: speaks with the token of the lab's project."""

    lab: Region
    api: httpx.Client
    _broken: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def joined(cls, region: Region) -> Iterator[LiveRegion]:
        """With a cable from this process's network to the lab's switch."""
        switch = region.lab.network.namespace(SWITCH).name
        cable = f"link add ours type veth peer name lab0 netns {os.getpid()}\nlink set ours master lab up\n"
        subprocess.run(("ip", "-n", switch, "-batch", "-"), input=cable, text=True, check=True)
        subprocess.run(
            ("ip", "-batch", "-"), input=f"address add {OURS} dev lab0\nlink set lab0 up\n", text=True, check=True
        )
        token = Place(control_state(region)).token.read_text().strip()
        base = f"http://{control_address()}:{API}/api/v1"
        with httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as api:
            yield cls(region, api)

    def asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Wire:
        reply = self.api.request(method, path, json=body)
        assert reply.is_success, reply.text
        return dict(reply.json()) if reply.content else {}

    def order(self, name: str, **wishes: Any) -> Wire:
        """The answer to an order: server and action."""
        order = {"name": name, "server_type": "px1", "image": "tiny", "ssh_keys": [KEY_NAME], **wishes}
        return self.asked("POST", "/servers", order)

    def ended(self, action_id: int, patience: float = BOOT) -> Wire:
        """The action, once it has ended."""
        seen: list[Wire] = []

        def over() -> bool:
            seen[:] = [self.asked("GET", f"/actions/{action_id}")["action"]]
            return bool(seen[0]["status"] != "running")

        waited(over, patience, every=0.2)
        return seen[0]

    def running(self, name: str, **wishes: Any) -> Wire:
        answer = self.order(name, **wishes)
        action = self.ended(answer["action"]["id"])
        assert action["status"] == "success", action
        return self.server(answer["server"]["id"])

    def server(self, server_id: int) -> Wire:
        return dict(self.asked("GET", f"/servers/{server_id}")["server"])

    def servers(self) -> list[Wire]:
        return list(self.asked("GET", "/servers?per_page=50")["servers"])

    def log_in(self, address: str, command: str, patience: float = END) -> str:
        """From the world outside."""
        said: list[str] = []

        def entered() -> bool:
            try:
                said[:] = [self.lab.nodes[OUTSIDE].run(*self.ssh(address), command)]
            except LabError:
                return False
            return True

        waited(entered, patience, every=0.5)
        return said[0].strip()

    def ssh(self, address: str) -> tuple[str, ...]:
        """What a command follows that is run on a server."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10", "LogLevel=ERROR")
        words = [word for option in options for word in ("-o", option)]
        return ("ssh", *words, "-i", str(Place(control_state(self.lab)).ssh_key), f"root@{address}")

    def control(self, *argv: str) -> str:
        """A command on the control machine; what it says, whatever its exit code."""
        init = self.lab.nodes[CONTROL].init()
        assert init is not None
        path = f"PATH={os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        env = ("env", path, f"PUCHIFY_STATE={control_state(self.lab)}")
        argv = (*self.lab.nodes[CONTROL].entering(init), *env, *argv)
        return subprocess.run(argv, capture_output=True, text=True).stdout

    def leaks(self) -> list[Wire]:
        """What the audit finds now, but for what waits for a silent host."""
        found = json.loads(self.control("puchify", "audit", "--json", "--grace", "0"))["findings"]
        return [one for one in found if one["state"] == "leak"]

    def kill(self, name: str) -> None:
        self._broken.add(name)
        self.lab.kill(name)

    def cut(self, name: str) -> None:
        self._broken.add(name)
        self.lab.cut(name)

    def heal(self, name: str) -> None:
        self.lab.heal(name)
        self._broken.discard(name)

    def healed(self) -> None:
        for name in sorted(self._broken):
            self.heal(name)

    def emptied(self) -> None:
        for server in self.servers():
            self.api.delete(f"/servers/{server['id']}")
        waited(lambda: not self.servers(), END, every=0.2)

    def hops(self, router: str, address: str) -> list[str]:
        """Where the router sends what is for the address."""
        try:
            told = self.lab.nodes[router].run("ip", "-json", "route", "get", address, "fibmatch")
        except LabError:
            return []
        routes = json.loads(told or "[]")
        return [hop["dev"] for route in routes for hop in route.get("nexthops", [route]) if hop.get("dev") in PLACES]


def addresses_of(server: Wire) -> list[str]:
    public = server["public_net"]
    return [public["ipv4"]["ip"], public["ipv6"]["ip"].replace("::/64", "::1")]
