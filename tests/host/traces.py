"""Every trace that a server can leave on a real host, counted by server: one of each is right, or none of any."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from infra.domain.domain_xml import NAME_PREFIX
from infra.domain.firewall_rules import INBOUND, OUTBOUND, TABLE
from infra.domain.port_names import server_of
from infra.drivers import nft
from infra.drivers.layout import servers_in
from infra.drivers.protocols import Host
from infra.drivers.public_ports import ROUTE_PROTOCOL
from tests.host.fix_host import RealHost

GUEST = re.compile(rf"guest={NAME_PREFIX}(\d+),")

DEFINED = {"domain": 1, "disk": 1, "seed": 1, "tap": 1, "chain": 3, "route": 2}
"""Of a server that is off. A chain each for what it may send at all, what may come in
and what may go out; a route each for IPv4 and IPv6."""
RUNNING = {**DEFINED, "process": 1, "console": 1, "socket": 1}


@dataclass(frozen=True)
class Traces:
    """``kinds``: by kind, how many of it each server has. ``unfinished``: what lies where things are being made."""

    kinds: dict[str, Counter[int]]
    unfinished: list[str]

    def of(self, server_id: int) -> dict[str, int]:
        return {kind: held[server_id] for kind, held in self.kinds.items() if held[server_id]}

    @property
    def servers(self) -> set[int]:
        return {server_id for held in self.kinds.values() for server_id in held}


async def traces(host: Host, real: RealHost) -> Traces:
    root, domains = real.options.root, Counter(list(await host.machines.held()))
    links, routes = await asyncio.to_thread(_links), await asyncio.to_thread(_routes)
    kinds = {
        "domain": domains,
        "process": Counter(list(processes(real))),
        "disk": Counter(servers_in(root / "disks")),
        "seed": Counter(servers_in(root / "seeds")),
        "console": Counter(servers_in(root / "consoles")),
        "socket": Counter(servers_in(real.options.run / "agents")),
        "tap": _servers(links),
        "chain": _servers([_tap(name) for _, name in await asyncio.to_thread(nft.chains, TABLE)]),
        "route": _servers(routes),
    }
    return Traces(kinds, sorted(path.name for path in (root / "tmp").iterdir()))


def processes(real: RealHost) -> dict[int, int]:
    """By server: the process that its machine is (other hosts' are on this machine, too). It may not be two."""
    found: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        guest = GUEST.search(words)
        if guest and str(real.options.root) in words:
            server_id = int(guest[1])
            assert server_id not in found, f"server {server_id} runs twice"
            found[server_id] = int(path.parent.name)
    return found


def _servers(names: list[str]) -> Counter[int]:
    return Counter(server for name in names if (server := server_of(name)) is not None)


def _tap(chain: str) -> str:
    return chain.removeprefix(INBOUND).removeprefix(OUTBOUND)


def _links() -> list[str]:
    return [link["ifname"] for link in _ip("link", "show")]


def _routes() -> list[str]:
    found = [route for family in ("-4", "-6") for route in _ip(family, "route", "show", "proto", str(ROUTE_PROTOCOL))]
    return [route.get("dev", "") for route in found]


def _ip(*words: str) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = json.loads(subprocess.check_output(("ip", "-j", *words), text=True) or "[]")
    return shown
