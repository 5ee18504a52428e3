"""Imports: how far one is, how it ended, and that nothing is left of the way."""

from __future__ import annotations

from temporalio import activity

from activities.heartbeats import beating
from infra.db import image_imports
from infra.db.pool import Pool
from infra.domain.changes import Change
from infra.domain.errors import Unavailable
from infra.domain.imports import FailedImport, FinishedImport, ImportState
from infra.drivers.scratch import Scratch
from infra.drivers.store.errors import StoreError
from infra.drivers.store.mount import ImageStore
from infra.temporal.timeline import Timelines

LOOK = 300.0
"""Seconds between two looks at an upload: who uploads tells of its end, and this is for what was not heard."""


class Imports:
    def __init__(self, pool: Pool, timelines: Timelines, store: ImageStore, scratch: Scratch, patience: float) -> None:
        """``patience``: seconds without a byte after which an upload is given up."""
        self._pool = pool
        self._timelines = timelines
        self._store = store
        self._scratch = scratch
        self._patience = patience

    @activity.defn
    async def read_import(self, change: Change) -> ImportState:
        async with self._pool.connection() as connection:
            found = await image_imports.find(connection, change.resource.id)
        if found is None or found.image_gone:
            return ImportState("gone")
        if found.uploaded is not None:
            return ImportState("received")
        if found.source_url is not None:
            return ImportState("fetching")
        left = self._patience - found.silent
        return ImportState("receiving" if left > 0 else "given_up", max(1.0, min(left, LOOK)))

    @activity.defn
    async def finish_import(self, finished: FinishedImport) -> None:
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection:
            await image_imports.finish(connection, finished, timeline)

    @activity.defn
    async def fail_import(self, failed: FailedImport) -> None:
        """The image came to nothing: its action says why, and it is gone."""
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection:
            await image_imports.fail(connection, failed, timeline)

    @activity.defn
    async def clear_import(self, change: Change) -> None:
        """What was uploaded, and what was made of it here. What another machine has of it, that one clears away."""
        async with beating():
            await self._scratch.remove(change.resource.id)
            try:
                await self._store.discard(change.resource.id)
            except StoreError as cause:
                raise Unavailable("the image store does not answer; try again in a moment") from cause
