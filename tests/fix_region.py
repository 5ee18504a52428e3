"""A region of a test's own: its location, project, pools and simulated hosts, on the session's PostgreSQL and Temporal.

Workers run in the test's own process. Ids never collide, because all regions of a session share one database and one
namespace; what a test must not see of the others, it does not see, because everything is asked for by location.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.worker import Replayer

from activities.fence import Fence
from activities.ports import Ports
from api import errors
from api.app import lifespan_of
from api.internal import edges as internal_edges
from api.internal import hosts as internal_hosts
from api.internal import ports as internal_ports
from api.stories import Stories
from infra.config import Settings
from infra.db import changes, keys, ledger, orders, power
from infra.db.orders import NewServer
from infra.db.pool import Pool, open_pool
from infra.domain.changes import Change, Resource
from infra.domain.models import Admission, Resources, ServerOrder
from infra.drivers.epochs import Epochs
from infra.drivers.protocols import Host
from infra.drivers.simulated import Latencies, SimulatedHost
from infra.internal_api import InternalApi
from infra.temporal.cluster import TemporalCluster
from infra.temporal.connect import connect, plugin
from infra.temporal.names import change_id, delete_id, provision_id
from tests.fix_dns import NameServer
from tests.fix_stack import NewDatabase
from tests.furnished import furnish, furnish_host
from workers.host import host_worker
from workers.names import kept_named, names_of
from workers.region import STORIES, region_worker
from workers.reports import Reports

ROOM = Resources(cores=64, memory_mib=65_536, disk_gib=2_000)


@dataclass
class Region:
    """What a test needs to order servers and to see what became of them."""

    settings: Settings
    pool: Pool
    client: Client
    location: str
    location_id: int
    project_id: int
    user_id: int
    token: str
    server_type_id: int
    image_id: int
    hosts: dict[int, SimulatedHost]
    orders: list[ServerOrder] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    domain: str | None = None
    """That the names of servers lie in, unless an order says otherwise."""
    _names: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def host(self) -> SimulatedHost:
        """The first one; most tests have no other."""
        return next(iter(self.hosts.values()))

    async def order(self, name: str | None = None, **wishes: Any) -> ServerOrder:
        """An accepted order, as the API leaves it in the books; its story has not begun."""
        new = NewServer(
            self.project_id,
            self.user_id,
            name or ".".join(filter(None, (f"server-{next(self._names)}", self.domain))),
            wishes.pop("server_type_id", self.server_type_id),
            self.location_id,
            wishes.pop("image_id", self.image_id),
            **wishes,
        )
        async with self.pool.connection() as connection:
            accepted = await orders.accept(connection, new)
            order = await orders.load_order(connection, accepted.server_id)
        assert order is not None
        self.orders.append(order)
        return order

    async def admit(self, order: ServerOrder) -> Admission:
        admission = await Stories(self.client).admit(order)
        assert admission is not None
        return admission

    async def ended(self, order: ServerOrder) -> BaseException | None:
        """Wait for the end of the order's story; the error it ended with, if any."""
        return await _end(self.client, provision_id(order.server_id))

    async def create(self, **wishes: Any) -> ServerOrder:
        """A server that runs."""
        order = await self.order(**wishes)
        await self.admit(order)
        assert await self.ended(order) is None
        return order

    async def delete(self, order: ServerOrder) -> None:
        await self.begin_delete(order)
        assert await _end(self.client, delete_id(order.server_id)) is None

    async def begin_delete(self, order: ServerOrder) -> None:
        async with self.pool.connection() as connection:
            delete = await orders.order_delete(connection, self.project_id, order.server_id)
        await Stories(self.client).begin_delete(delete)

    async def accept(self, order: ServerOrder, command: str) -> Change:
        """A power command, as the API leaves it in the books; its story has not begun. NotFound, Locked."""
        about = [Resource("server", order.server_id)]
        async with self.pool.connection() as connection, connection.transaction():
            place = await power.order(connection, self.project_id, order.server_id, command)
            _, change = await changes.accept(connection, self.project_id, place, command, about, locks_server=True)
        self.changes.append(change)
        return change

    async def command(self, order: ServerOrder, command: str) -> Change:
        """A power command that is under way."""
        change = await self.accept(order, command)
        await Stories(self.client).begin_change(change)
        return change

    async def done(self, order: ServerOrder, command: str) -> dict[str, Any]:
        """The server after a power command that succeeded."""
        change = await self.command(order, command)
        assert await _end(self.client, change_id(change)) is None
        action = await self.one("SELECT status FROM actions WHERE id = %s", change.action_id)
        assert action == {"status": "success"}
        server = await self.server(order)
        assert server is not None
        return server

    async def one(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        async with self.pool.connection() as connection:
            return await (await connection.execute(query.encode(), parameters)).fetchone()

    async def execute(self, query: str, *parameters: Any) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(query.encode(), parameters)

    async def server(self, order: ServerOrder) -> dict[str, Any] | None:
        return await self.one("SELECT * FROM servers WHERE id = %s", order.server_id)

    async def action(self, order: ServerOrder) -> dict[str, Any]:
        row = await self.one("SELECT * FROM actions WHERE id = %s", order.action_id)
        assert row is not None
        return row

    async def set_quota(self, **limits: int) -> None:
        columns = ", ".join(f"{name} = %s" for name in limits)
        await self.execute(
            f"UPDATE quotas SET {columns} WHERE (scope, subject_id) IN (('project', %s), ('user', %s))",
            *limits.values(),
            self.project_id,
            self.user_id,
        )

    async def assert_balanced(self) -> None:
        """The ledger: the books agree with themselves, and no host holds what they do not say."""
        async with self.pool.connection() as connection:
            assert await ledger.imbalances(connection) == []
            for host_id, host in self.hosts.items():
                assert held(host) <= await ledger.held_by_host(connection, host_id)

    async def assert_nothing_left(self, order: ServerOrder) -> None:
        """The order came to nothing: no row, no hold, no trace on any host."""
        assert await self.server(order) is None
        async with self.pool.connection() as connection:
            left = await ledger.held_by_server(connection, order.server_id)
        assert [hold for hold in left if hold.kind != "parts"] == []  # those are as old as the host's last report
        for host in self.hosts.values():
            assert order.server_id not in held(host)
        await self.assert_balanced()

    async def replay_all(self) -> None:
        """Every story told here replays: what a test provoked is also a test of determinism."""
        replayer = Replayer(workflows=list(STORIES), plugins=[plugin()])
        told = [story(order.server_id) for order in self.orders for story in (provision_id, delete_id)]
        for workflow_id in (*told, *map(change_id, self.changes)):
            history = await _history(self.client, workflow_id)
            if history is not None:
                await replayer.replay_workflow(history)


def held(host: SimulatedHost) -> set[int]:
    inventory = host.inventory()
    return {*inventory.disks, *inventory.seeds, *inventory.ports, *inventory.machines}


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 200, every: float = 0.05) -> Any:
    """Wait until the condition gives something true, and return it. The limit is for what never comes about."""
    async with asyncio.timeout(seconds):
        while not (answer := await condition()):  # noqa: ASYNC110  what is waited for is in other processes
            await asyncio.sleep(every)
        return answer


async def _end(client: Client, workflow_id: str) -> BaseException | None:
    from temporalio.client import WorkflowFailureError

    try:
        await client.get_workflow_handle(workflow_id).result()
    except WorkflowFailureError as error:
        return error.cause
    return None


async def _history(client: Client, workflow_id: str) -> Any:
    from temporalio.service import RPCError

    try:
        return await client.get_workflow_handle(workflow_id).fetch_history()
    except RPCError:
        return None  # it never began


@pytest_asyncio.fixture(scope="session")
async def books(new_database: NewDatabase) -> AsyncIterator[str]:
    """The URL of the one database that all regions of the session share."""
    async with new_database() as url:
        yield url


NewRegion = Callable[..., Any]


@pytest_asyncio.fixture
async def new_region(books: str, temporal: TemporalCluster, name_server: NameServer, tmp_path: Path) -> NewRegion:
    """``async with new_region(number_of_hosts=2) as region``; ``workers=False`` leaves the workers to the test."""
    return partial(open_region, region_settings(books, temporal, tmp_path, name_server), tmp_path)


@pytest_asyncio.fixture(scope="module")
async def module_region(
    books: str, temporal: TemporalCluster, name_server: NameServer, tmp_path_factory: pytest.TempPathFactory
) -> NewRegion:
    """The same for a module that shares one region."""
    directory = tmp_path_factory.mktemp("region")
    return partial(open_region, region_settings(books, temporal, directory, name_server), directory)


def region_settings(
    books: str, temporal: TemporalCluster, directory: Path, name_server: NameServer | None = None
) -> Settings:
    """Without a ``name_server`` names are book-keeping."""
    return Settings(
        state=directory,
        host="simulated",
        database_url=books,
        temporal_address=temporal.settings.address,
        temporal_namespace=temporal.settings.namespace,
        worker_pulse=1,  # the quickest there is: silence is known after two and a half
        rate_limit=0,
        image_store=directory / "images",
        image_scratch=directory / "scratch",
        **(name_server.settings if name_server else {}),
    )


@asynccontextmanager
async def open_region(
    settings: Settings,
    directory: Path,
    number_of_hosts: int = 1,
    workers: bool = True,
    latencies: Latencies | None = None,
    room: Resources = ROOM,
    ipv4_prefix: int = 24,
    rest: float = 300,
    patience: float = 290,
) -> AsyncIterator[Region]:
    name = f"t{secrets.token_hex(4)}"
    ours = settings.model_copy(update={"location": name, "address_rest": rest, "guest_patience": patience})
    async with open_pool(settings.database_url, 20) as pool, AsyncExitStack() as stack:
        client = await connect(ours)
        found = await furnish(ours, pool, name, ipv4_prefix)
        ids = (found.location_id, found.project_id, found.user_id, found.token, found.server_type_id, found.image_id)
        region = Region(ours, pool, client, name, *ids, {})
        for _ in range(number_of_hosts):
            await _add_host(region, directory, latencies or Latencies.none(), room)
        if workers:
            names = names_of(ours, pool)
            await stack.enter_async_context(region_worker(client, pool, ours, names=names))
            await stack.enter_async_context(kept_named(names))
            for host_id in region.hosts:
                await stack.enter_async_context(working_host(region, host_id))
        yield region
        await region.replay_all()


@pytest_asyncio.fixture
async def region(new_region: NewRegion) -> AsyncIterator[Region]:
    """One region with one simulated host, its workers at work."""
    async with new_region() as region:
        yield region


@asynccontextmanager
async def working_host(
    region: Region, host_id: int, purge: bool = False, hands: Host | None = None
) -> AsyncIterator[Reports]:
    """A host worker at work in this process, on the product's own internal endpoints; it reports when it is told to,
    and at its start if it is to ``purge``. ``hands``: of a real host."""
    ours = region.settings.model_copy(update={"host_id": host_id})
    app = internal_app(ours)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {host_key(region, host_id)}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
            internal_api, host = InternalApi(http, host_id), hands or region.hosts[host_id].host()
            with Epochs(host_path(region.settings.state, host_id) / "epochs.sqlite") as epochs:
                fence = Fence(epochs)
                ports = Ports(host, internal_api)
                reports = Reports(host_id, host, internal_api, fence, ports)
                if purge:
                    await reports.begin()
                async with host_worker(region.client, host, internal_api, ours, fence, ports):
                    yield reports


def internal_app(settings: Settings) -> FastAPI:
    """What hosts ask, without all that callers ask: its routes take seconds to build."""
    app = FastAPI(lifespan=lifespan_of(settings))
    errors.install(app)
    app.include_router(internal_hosts.router)
    app.include_router(internal_ports.router)
    app.include_router(internal_edges.router)
    return app


def host_path(directory: Path, host_id: int) -> Path:
    """Where a host worker in a process of its own finds the same host."""
    path = directory / f"host-{host_id}"
    path.mkdir(exist_ok=True)
    return path


def host_key(region: Region, host_id: int) -> str:
    return f"{region.location}-{host_id}".ljust(64, "x")


async def _add_host(region: Region, directory: Path, latencies: Latencies, room: Resources) -> None:
    place = (region.location, region.location_id)
    host_id = await furnish_host(region.settings, region.pool, *place, room, lambda id: host_key(region, id))
    region.hosts[host_id] = SimulatedHost(host_path(directory, host_id) / "simulated.sqlite", room, latencies)


@asynccontextmanager
async def serving_another_project(region: Region, read_only: bool = False) -> AsyncIterator[str]:
    """A key of a project that is not the region's."""
    name = f"{region.location}-other"
    async with region.pool.connection() as connection:
        secret = keys.server_secret(region.settings)
        yield await keys.make_key(connection, secret, user=name, project=name, name="other", read_only=read_only)
