"""The edge worker: one to an edge node. It serves what the books say, and tells them how it does.

Every two seconds it says that it lives and how the targets do, and is told in return whether its plan is still the one
that it serves. So it comes to what the books say by itself as well: at its start, after it was cut off, and whatever
order was lost. HAProxy goes on when the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.load_balancers import Edges
from infra.config import Settings
from infra.domain.edge_plan import Health
from infra.domain.errors import HostFailure, PuchifyError
from infra.edge_api import EdgeApi, open_edge_api
from infra.temporal.connect import connect
from infra.temporal.names import edge_queue
from workers.wiring import open_edge

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two reports."""
LOOK_EVERY = 60.0
"""Seconds after which the edge itself is looked at again, whether it still is what it was made."""


def edge_worker(client: Client, edges: Edges, edge_id: int) -> Worker:
    return Worker(
        client,
        task_queue=edge_queue(edge_id),
        activities=[edges.follow_plan],
        max_concurrent_activities=100,  # all but one of them wait
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


async def keep_reporting(edges: Edges, api: EdgeApi, every: float = EVERY) -> None:
    """Again and again; nothing that goes wrong here ends it. ``every``: seconds."""
    loop = asyncio.get_running_loop()
    looked = -LOOK_EVERY
    while True:
        try:
            wanted = await api.report(edges.served, await _health(edges))
            if wanted != edges.served.digest or loop.time() - looked >= LOOK_EVERY:
                await edges.follow()
                looked = loop.time()
                await api.report(edges.served, await _health(edges))
        except PuchifyError as error:
            log.warning("the edge does not follow its plan: %s", error)
        except Exception:
            log.exception("the edge does not follow its plan")
        await asyncio.sleep(every)


async def _health(edges: Edges) -> Sequence[Health] | None:
    """None: nobody knows at the moment."""
    try:
        return await edges.health()
    except HostFailure as error:
        log.warning("the health of targets is not known: %s", error)
        return None


async def run_edge(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop``."""
    async with open_edge_api(settings) as api:
        edges = Edges(open_edge(settings), api)
        client = await connect(settings)
        reporting = asyncio.create_task(keep_reporting(edges, api))
        try:
            async with edge_worker(client, edges, settings.edge_id):
                await stop.wait()
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
