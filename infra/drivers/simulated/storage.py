"""The storage of a simulated host: its image cache, the servers' disks and their seeds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import asdict

from infra.domain.errors import HostFull, ImageDoubtful, ImageUnusable
from infra.domain.models import Image
from infra.domain.seed import Seed
from infra.drivers.protocols import Progress
from infra.drivers.simulated.body import POLL, Body, CallerBug

ABSENT_DIGEST = "deadbeef" * 8
"""The one image that no store has; any other digest can be fetched."""
FETCH_PARTS = 4
"""In how many parts an image arrives, each reported as progress."""


class SimulatedImages:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def ensure(self, image: Image, progress: Progress) -> None:
        async with self.body.faults.around("images.ensure"):
            while image.digest in self.body.fetching:  # someone else brings it: wait, and keep the heartbeat going
                progress(self._fetched(image))
                await asyncio.sleep(POLL)
            if is_cached(self.body.db, image):
                return
            self.body.fetching.add(image.digest)
            try:
                await self._fetch(image, progress)
            finally:
                self.body.fetching.discard(image.digest)

    async def prefetch(self, image: Image) -> None:
        """Nothing comes: its images come when they are ordered, so that a first use is one."""
        async with self.body.faults.around("images.prefetch"):
            return

    async def _fetch(self, image: Image, progress: Progress) -> None:
        if image.digest == ABSENT_DIGEST:
            raise ImageDoubtful("the image is not in the store")
        for part in range(1, FETCH_PARTS + 1):
            await asyncio.sleep(self.body.latencies.fetch / FETCH_PARTS)
            fetched = (image.disk_gib << 30) * part // FETCH_PARTS
            self.body.db.execute(
                "INSERT OR REPLACE INTO images (digest, fetched, done) VALUES (?, ?, ?)",
                (image.digest, fetched, part == FETCH_PARTS),
            )
            progress(fetched)

    def _fetched(self, image: Image) -> int:
        row = self.body.db.execute("SELECT fetched FROM images WHERE digest = ?", (image.digest,)).fetchone()
        return int(row[0]) if row else 0


def is_cached(db: sqlite3.Connection, image: Image) -> bool:
    row = db.execute("SELECT done FROM images WHERE digest = ?", (image.digest,)).fetchone()
    return bool(row and row[0])


class SimulatedDisks:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def create(self, server_id: int, image: Image, size_gib: int) -> None:
        async with self.body.faults.around("disks.create", server_id):
            if not is_cached(self.body.db, image):
                raise CallerBug(f"server {server_id} wants a disk of image {image.name}, which was not ensured")
            if size_gib < image.disk_gib:
                raise ImageUnusable(f"the image needs a disk of at least {image.disk_gib} GiB")
            if self.body.is_done("disks", server_id):
                return
            self._require_room(server_id, size_gib)
            self.body.db.execute(
                "INSERT OR REPLACE INTO disks (server_id, size_gib, has_agent, done) VALUES (?, ?, ?, 0)",
                (server_id, size_gib, image.has_agent),
            )
            await asyncio.sleep(self.body.latencies.disk)
            self.body.finish("disks", server_id)

    def _require_room(self, server_id: int, size_gib: int) -> None:
        query = "SELECT coalesce(sum(size_gib), 0) FROM disks WHERE server_id != ?"
        if self.body.db.execute(query, (server_id,)).fetchone()[0] + size_gib > self.body.settings.capacity().disk_gib:
            raise HostFull("there is no room for the server's disk")

    async def remove(self, server_id: int) -> None:
        async with self.body.faults.around("disks.remove", server_id):
            await asyncio.sleep(self.body.latencies.remove)
            self.body.db.execute("DELETE FROM disks WHERE server_id = ?", (server_id,))

    async def held(self) -> set[int]:
        async with self.body.faults.around("disks.held"):
            await asyncio.sleep(self.body.latencies.look)
            return self.body.held("disks")


class SimulatedSeeds:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def write(self, server_id: int, seed: Seed) -> None:
        async with self.body.faults.around("seeds.write", server_id):
            await asyncio.sleep(self.body.latencies.seed)
            self.body.db.execute(
                "INSERT OR REPLACE INTO seeds (server_id, documents) VALUES (?, ?)",
                (server_id, json.dumps(asdict(seed))),
            )

    async def remove(self, server_id: int) -> None:
        async with self.body.faults.around("seeds.remove", server_id):
            await asyncio.sleep(self.body.latencies.remove)
            self.body.db.execute("DELETE FROM seeds WHERE server_id = ?", (server_id,))

    async def held(self) -> set[int]:
        async with self.body.faults.around("seeds.held"):
            await asyncio.sleep(self.body.latencies.look)
            return self.body.held("seeds")


def seed_on(db: sqlite3.Connection, server_id: int) -> Seed | None:
    row = db.execute("SELECT documents FROM seeds WHERE server_id = ?", (server_id,)).fetchone()
    return Seed(**json.loads(row[0])) if row else None
