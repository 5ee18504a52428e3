"""The machine that controls the lab's region: PostgreSQL, Temporal, the API and the region worker.

`python -m workers.lab.control DIRECTORY` runs on that machine until it is told to stop, as `puchify up` does elsewhere,
but for the hosts, which are machines of their own here. The file /run/ready on it says that all of it answers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from temporalio.client import Client

from infra.catalog.default import ensure_catalogue
from infra.config import Settings, settings
from infra.db import edges, hosts, keys
from infra.db.built_images import NewImage
from infra.db.edges import NewEdge
from infra.db.host_views import list_hosts
from infra.db.hosts import NewHost
from infra.db.pool import Pool, open_pool
from infra.lab.lab import Lab
from infra.lab.places import EDGES, HOSTS
from infra.lab.region import Region
from infra.runtime_dir import RuntimeDir
from infra.trust import trust_of
from workers.first.caller import open_caller
from workers.first.login import ensure_key
from workers.lab.machines import READY, node_key
from workers.local import books
from workers.local.ground import Ground
from workers.local.images import build_into_store
from workers.local.place import Place
from workers.local.stack import Stack
from workers.processes import Supervisor
from workers.progress import Teller
from workers.up import Stop

IMAGE = "tiny"
KEY_NAME = "lab"
LOOK_EVERY = 0.5  # seconds between two looks at the hosts


class Store:
    """The ground of a machine without guests: only the image to offer."""

    def __init__(self, settings: Settings, teller: Teller) -> None:
        self.settings = settings
        self._teller = teller

    async def prepare(self) -> NewImage:
        return await asyncio.to_thread(build_into_store, IMAGE, self.settings, self._teller.say)

    async def clear(self, hurry: asyncio.Event) -> int:
        return 0


class Control(Stack):
    """``region``: whose hosts the books are told of."""

    def __init__(
        self, asked: Settings, runtime: RuntimeDir, supervisor: Supervisor, teller: Teller, region: Region
    ) -> None:
        self._region = region
        super().__init__(asked, runtime, supervisor, teller)

    def _ground_of(self, asked: Settings, runtime: RuntimeDir) -> Ground:
        return Store(self.settings, self._teller)

    async def _furnish(self, pool: Pool) -> None:
        await books.furnish(pool, self.settings, self.place)
        secret = keys.server_secret(self.settings)
        async with pool.connection() as connection:
            location_id = await ensure_catalogue(connection, self.settings.location)
            for place in HOSTS:
                digest = keys.digest_of(secret, node_key(self._region, place))
                host = NewHost(
                    id=place.number,
                    name=place.name,
                    location_id=location_id,
                    key_digest=digest,
                    availability_zone=place.zone,
                    rack=place.rack,
                    switch=place.switch,
                )
                await hosts.register_host(connection, host)
            for place in EDGES:
                digest = keys.digest_of(secret, node_key(self._region, place))
                await edges.register_edge(connection, NewEdge(place.name, location_id, digest, place.number))

    async def _start_host(self, client: Client) -> None:
        """Each is a machine of its own: they are waited for, each once."""
        await self._ensure_key()
        async with open_pool(self.settings.database_url, 2, "lab") as pool:
            while await self._unheard(pool):  # noqa: ASYNC110 - what others write to the books is no event
                await asyncio.sleep(LOOK_EVERY)

    async def _unheard(self, pool: Pool) -> int:
        """How many hosts have never reported."""
        async with pool.connection() as connection:
            return sum(host.report_age_s is None for host in await list_hosts(connection))

    async def _ensure_key(self) -> None:
        public_key = ensure_key(self.place.ssh_key)
        token = self.place.token.read_text().strip()
        async with open_caller(f"{self.settings.internal_url}/api/v1", token, trust_of(self.settings)) as caller:
            await caller.ensure_ssh_key(KEY_NAME, public_key)


async def control(directory: Path) -> None:
    stop, teller, region = Stop(), Teller(), Region(Lab(directory))
    stop.listen()
    asked = settings()
    with RuntimeDir(asked.state) as runtime:
        async with Supervisor(Place(runtime.state).pids, teller.say) as supervisor:
            stack = Control(asked, runtime, supervisor, teller, region)
            try:
                if await stop.unless(stack.start()):
                    READY.touch()
                    await stop.asked.wait()
            finally:
                await stack.stop(stop.hurry)


if __name__ == "__main__":
    asyncio.run(control(Path(sys.argv[1])))
