"""Guests behind real ports, and the metadata service that answers them; the books are a table that tests write."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest_asyncio

from infra.domain.errors import StaleClaim, Unavailable
from infra.domain.metadata import METADATA, Guest
from infra.domain.models import Addresses
from infra.domain.port_plan import PortPlan
from infra.drivers.ports import HostPorts
from tests import guest_examples
from tests.fix_region import eventually
from tests.host.fix_host import machine_of
from tests.network import fix_guests
from tests.network.fix_guests import Guests
from tests.port_plans import plan_for
from workers.metadata import Metadata

NAME = f"{METADATA}/hostname"
ADDRESS, LINK = "169.254.169.254", "fe80::1%eth0"


@dataclass
class Books:
    """Instead of the API: what it knows of guests, and whether it answers."""

    guests: dict[int, Guest] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0
    now: float = 1000.0

    async def guest(self, server_id: int) -> Guest:
        self.asked += 1
        if self.is_away:
            raise Unavailable("a part of the service does not answer; try again")
        if server_id not in self.guests:
            raise StaleClaim("the server is not placed on this host any more")
        return self.guests[server_id]

    def add(self, plan: PortPlan, **more: str) -> None:
        name = f"server-{plan.server_id}"
        self.guests[plan.server_id] = guest_examples.guest_of(plan, **{"hostname": name, **more})

    def metadata(self) -> Metadata:
        return Metadata(self, lambda: self.now)


@dataclass(frozen=True)
class Asker:
    """A guest, as who asks of it."""

    end: fix_guests.Guest
    plan: PortPlan

    async def asks(
        self, path: str, method: str = "GET", of: str = ADDRESS, patience: float = 15, source: str = "", **said: str
    ) -> tuple[int, bytes]:
        """Status (0: none came) and body. ``said``: headers, with underscores."""

        def ask() -> tuple[int, bytes]:
            asking = http.client.HTTPConnection(of, 80, patience, (source, 0) if source else None)
            try:
                asking.request(method, path, headers={name.replace("_", "-"): text for name, text in said.items()})
                reply = asking.getresponse()
                return reply.status, reply.read()
            except OSError:
                return 0, b""
            finally:
                asking.close()

        return await asyncio.to_thread(self.end.do, ask)

    async def hears(self, path: str = NAME, of: str = ADDRESS) -> bytes:
        """Of a service that has just begun, or of a port that was just made."""

        async def answered() -> tuple[int, bytes] | None:
            status, body = await self.asks(path, of=of, patience=1)
            return (status, body) if status else None

        status, body = await eventually(answered)
        assert status == 200, body
        return bytes(body)


@dataclass
class Service:
    books: Books
    metadata: Metadata
    ports: HostPorts
    guests: Guests

    async def guest(self, server_id: int, has_addresses: bool = True, **more: str) -> Asker:
        """One behind its ports, and in the books."""
        machine = machine_of(server_id)
        plan = plan_for(machine if has_addresses else replace(machine, addresses=Addresses(None, None)))
        self.books.add(plan, **more)
        asker = await self.plug_in(plan)
        asker.end.configure("addr add fe80::2/64 dev eth0 nodad")  # at once, without two seconds of detection
        return asker

    async def plug_in(self, plan: PortPlan) -> Asker:
        await self.ports.attach(plan)
        self.metadata.changed(plan.server_id)
        return Asker(self.guests.of(plan), plan)


@asynccontextmanager
async def serving(books: Books, ports: HostPorts, guests: Guests) -> AsyncIterator[Service]:
    metadata = books.metadata()
    keeping = asyncio.create_task(metadata.keep_on())
    try:
        yield Service(books, metadata, ports, guests)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@pytest_asyncio.fixture
async def service(ports: HostPorts, guests: Guests) -> AsyncIterator[Service]:
    async with serving(Books(), ports, guests) as service:
        yield service
