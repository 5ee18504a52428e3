"""What runs on one machine, and in which order: each part starts when what it needs answers, and ends before it.

PostgreSQL; then, side by side, the books (migrated, furnished), Temporal, PowerDNS, and the ground of guests; then the
API and the region worker; at last the host worker and the edge, which ask the API what should be on them.
"""

from __future__ import annotations

import asyncio
from asyncio import Task, TaskGroup

from temporalio.client import Client

from infra.config import Settings
from infra.db import image_care
from infra.db.built_images import NewImage, register_image
from infra.db.cluster import PostgresCluster
from infra.db.migrate import migrate
from infra.db.pool import Pool, open_pool
from infra.drivers.store.chosen import image_store
from infra.drivers.store.errors import StoreAway
from infra.drivers.store.mounts import mount_of
from infra.drivers.store.self_check import KINDS
from infra.runtime_dir import RuntimeDir
from infra.temporal.cluster import TemporalCluster
from infra.temporal.connect import connect
from infra.temporal.install import ensure_binaries
from workers.local import books, engines, roles
from workers.local.edge_ground import check_alone, clear_edge, haproxy_process, of_edge, runs_haproxy
from workers.local.ground import Ground, SimulatedGround
from workers.local.place import Place, resolved, runs_dns
from workers.processes import Supervisor
from workers.progress import Teller

STOP_FIRST = ("edge", "haproxy", "host", "region", "api")  # who works, before what they work with
STOP_LAST = ("temporal-ui", "temporal", "powerdns", "postgres")


class Stack:
    """``settings`` are those of all its processes, once it is started."""

    def __init__(self, asked: Settings, runtime: RuntimeDir, supervisor: Supervisor, teller: Teller) -> None:
        self.place = Place(runtime.state)
        self._supervisor = supervisor
        self._teller = teller
        self._postgres = PostgresCluster.within(runtime, self.place.postgres)
        self.settings = resolved(asked, self.place, self._postgres.url())
        self._runtime, self._names = runtime, runs_dns(asked, self.settings)
        self._ground = self._ground_of(asked, runtime)
        self.settings = of_edge(asked, self._ground.settings, runtime)

    @property
    def names(self) -> str:
        """Who answers for names, for the operator."""
        if self._names:
            return f"dig @{self.settings.dns_address[0]} -p {self.settings.dns_port} NAME"
        return self.settings.dns_api_url or "kept only: nobody answers for them"

    def _ground_of(self, asked: Settings, runtime: RuntimeDir) -> Ground:
        return ground_of(asked, self.settings, runtime, self._supervisor, self._teller)

    async def start(self) -> None:
        """CannotRun. Conflict: another instance has this machine's network; nothing has begun then."""
        await asyncio.to_thread(check_alone, self.settings)
        with self._teller.timed("PostgreSQL"):
            await self._start_postgres()
        async with TaskGroup() as together:
            opening = together.create_task(self._open_books())
            together.create_task(self._start_temporal())
            if self._names:
                together.create_task(self._start_names())
            preparing = together.create_task(self._prepare(opening))
        await self._offer(preparing.result())
        client = await connect(self.settings)
        with self._teller.timed("API and region worker"):
            async with TaskGroup() as together:
                together.create_task(self._supervisor.start(roles.api_process(self.settings, self.place)))
                together.create_task(self._supervisor.start(roles.region_process(self.settings, self.place, client)))
        await self._start_host(client)

    async def _start_host(self, client: Client) -> None:
        with self._teller.timed("host and edge worker"):
            async with TaskGroup() as together:
                together.create_task(self._supervisor.start(roles.host_process(self.settings, self.place, client)))
                together.create_task(self._start_edge(client))

    async def stop(self, hurry: asyncio.Event) -> None:
        """Newest first. What was not started is passed over, so this ends a start that failed half-way as well."""
        for name in STOP_FIRST:
            await self._supervisor.stop(name)
        try:
            await clear_edge(self.settings)
        except Exception as error:  # guests are still to be put to rest, and the books to be closed
            self._teller.say(f"What the edge left in the network stays there (puchify clean tries again): {error}")
        if ended := await self._ground.clear(hurry):
            self._teller.say(f"Guests that did not shut down in time and were switched off: {ended}.")
        for name in STOP_LAST:
            await self._supervisor.stop(name)

    async def _start_edge(self, client: Client) -> None:
        if runs_haproxy(self.settings):
            await self._supervisor.start(haproxy_process(self.settings, self.place))
        await self._supervisor.start(roles.edge_process(self.settings, self.place, client))

    async def _start_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.ensure_initialised)
        await self._supervisor.start(engines.postgres_process(self._postgres, self.place))
        await self._postgres.ensure_databases(engines.OWNERS)

    async def _open_books(self) -> None:
        await migrate(self.settings.database_url)
        async with open_pool(self.settings.database_url, 2, "puchify-up") as pool:
            await self._furnish(pool)
            async with pool.connection() as connection:
                ours = await image_care.installation(connection)
        await self._mark_store(ours)

    async def _furnish(self, pool: Pool) -> None:
        await books.furnish(pool, self.settings, self.place)
        await books.furnish_host(pool, self.settings)

    async def _mark_store(self, ours: str) -> None:
        """One that nobody marked; another's stays another's (`puchify store init --take-over`)."""
        engine, path = self.settings.image_store_engine, self.settings.image_store.absolute()
        if KINDS[engine] and mount_of(path)[0] not in KINDS[engine]:
            raise StoreAway(f"the image store {path} is not on {engine}: is it mounted?")
        store = image_store(self.settings)
        if await store.marker() is None:
            await store.mark(ours)

    async def _prepare(self, opening: Task[None]) -> NewImage:
        if self.settings.image_store_engine != "directory":
            await opening  # only a store that is marked takes an image
        return await self._ground.prepare()

    async def _offer(self, image: NewImage) -> None:
        async with open_pool(self.settings.database_url, 2, "puchify-up") as pool, pool.connection() as connection:
            await register_image(connection, image)

    async def _start_names(self) -> None:
        with self._teller.timed("PowerDNS"):
            process = await asyncio.to_thread(
                engines.powerdns_process, self.settings, self._postgres, self._runtime, self.place.log("powerdns")
            )
            await self._supervisor.start(process)

    async def _start_temporal(self) -> None:
        binaries = await asyncio.to_thread(ensure_binaries, self._teller.say)
        cluster: TemporalCluster = engines.temporal_cluster(self.settings, self.place, self._postgres, binaries)
        with self._teller.timed("Temporal"):
            await cluster.prepare()
            await self._supervisor.start(engines.temporal_process(cluster, self.place))
            await cluster.furnish()
        await self._supervisor.start(engines.ui_process(cluster, self.place))


def ground_of(
    asked: Settings, settings: Settings, runtime: RuntimeDir, supervisor: Supervisor, teller: Teller
) -> Ground:
    if settings.host == "simulated":
        return SimulatedGround(settings)
    from workers.local.libvirt_ground import LibvirtGround  # libvirt's library is not everywhere

    return LibvirtGround(asked, settings, runtime, supervisor, teller)
