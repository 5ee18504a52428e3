"""The region worker: runs the stories, and the steps that only touch the books."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.addresses import AddressBook
from activities.audits import Audits
from activities.changes import Changes
from activities.dns import Names
from activities.hosts import Hosts
from activities.image_files import ImageFiles
from activities.image_sources import ImageSources
from activities.imports import Imports
from activities.load_balancers import LoadBalancers
from activities.orders import Orders
from activities.placement import Placements
from activities.power import Power
from activities.quota import Quotas
from activities.records import Records
from activities.store import StoreCare
from infra.beside import beside
from infra.config import Settings
from infra.db import image_imports, serving
from infra.db.placement_inputs import Notes
from infra.db.pool import Pool, open_pool
from infra.db.warm_hosts import WarmHosts
from infra.drivers.scratch import Scratch
from infra.drivers.store.chosen import image_store
from infra.drivers.web import Web
from infra.temporal import versions
from infra.temporal.connect import connect
from infra.temporal.names import region_queue
from infra.temporal.timeline import Timelines
from workers.names import kept_named, names_of
from workers.schedules import ensure_schedules
from workers.wiring import data_planes
from workflows.audit_region import AuditRegion
from workflows.care_for_images import CareForImages
from workflows.change_resource import ChangeResource
from workflows.delete_server import DeleteServer
from workflows.import_image import ImportImage
from workflows.options import UNWIND
from workflows.power_server import PowerServer
from workflows.provision_server import ProvisionServer
from workflows.sweep_orders import SweepOrders

log = logging.getLogger(__name__)

STORIES = (
    *(ProvisionServer, DeleteServer, PowerServer, ChangeResource, ImportImage),
    *(SweepOrders, AuditRegion, CareForImages),
)
SLOTS = 500
"""Steps that a worker does at a time. Those of imports may take hours, most of them waiting: the others must not."""
SCRATCH_EVERY = 600.0
"""Seconds between two looks for scratch that other workers were to clear away."""


def region_worker(
    client: Client,
    pool: Pool,
    settings: Settings,
    stories: Sequence[type] = STORIES,
    warm: WarmHosts | None = None,
    web: Web | None = None,
    names: Names | None = None,
) -> Worker:
    """``warm``: the hosts, where somebody keeps them so; without, a placement reads what changed since the last one.
    ``web``: where images are fetched from; unless given, the public web.
    ``names``: of the process, if it has to do with them elsewhere, too."""
    quotas, records = Quotas(pool), Records(pool, Timelines(client))
    placements = Placements(pool, warm or WarmHosts(settings.location), Notes(pool))
    address_book = AddressBook(pool, settings.address_rest)
    names, balancers = names or names_of(settings, pool), LoadBalancers(pool)
    changes = Changes(pool, Timelines(client), data_planes(names), serving.edges_of)
    power = Power(pool, Timelines(client))
    orders, audits = Orders(pool, client, settings.sweep_after, UNWIND), Audits(pool, settings.audit_grace, names)
    store, scratch = image_store(settings), Scratch(settings.image_scratch)
    care = StoreCare(pool, store, settings.image_grace, settings.image_verify_every)
    files = ImageFiles(pool, store, scratch)
    sources = ImageSources(pool, store, web or Web(tuple(settings.source_refused)), settings.timeout_factor)
    imports = Imports(pool, Timelines(client), store, scratch, settings.upload_patience)
    return Worker(
        client,
        task_queue=region_queue(settings.location),
        workflows=stories,
        activities=[
            *(quotas.reserve_quota, quotas.release_quota),
            *(placements.place_server, placements.release_claim),
            *(address_book.assign_addresses, address_book.release_addresses),
            *(records.finish, records.fail, records.read_holdings, records.finish_delete, records.bury),
            *(names.publish_dns, names.withdraw_dns),
            *(balancers.register_targets, balancers.deregister_targets),
            *(changes.follow_change, changes.read_affected, changes.read_machine, changes.finish_change),
            *(power.finish_power, power.settle_power),
            *(imports.read_import, imports.finish_import, imports.fail_import, imports.clear_import),
            *(sources.fetch_source, files.gather_image, files.convert_image, files.publish_image),
            Hosts(pool, client, settings.worker_pulse).hear_host,
            *(orders.stop_create, orders.sweep_orders, audits.audit_region),
            *(care.check_images, care.sweep_store),
        ],
        max_concurrent_activities=SLOTS,
        deployment_config=versions.deployment(settings),
        # A worker that dies takes its cache with it: its stories wait this long before another worker may go on.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        max_heartbeat_throttle_interval=timedelta(seconds=3),
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


async def run_region(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop``. Unavailable: Temporal does not answer at the start."""
    async with open_pool(settings.database_url, settings.database_pool, "puchify-region") as pool:
        client = await connect(settings)
        await ensure_schedules(client, settings)
        warm, names = WarmHosts(settings.location), names_of(settings, pool)
        async with (
            beside(warm.keep_warm(pool)),
            kept_clear(Scratch(settings.image_scratch), pool),
            kept_named(names),
            region_worker(client, pool, settings, warm=warm, names=names),
        ):
            if await versions.take_over(client, settings):
                log.info("new orders are done by version '%s' from now on", settings.build_id)
            await stop.wait()


@asynccontextmanager
async def kept_clear(scratch: Scratch, pool: Pool) -> AsyncIterator[None]:
    """No scratch of images that nobody makes any more: of a worker that was killed, or whose story ended elsewhere."""

    async def again_and_again() -> None:
        while True:
            try:
                async with pool.connection() as connection:
                    wanted = await image_imports.under_way(connection)
                if left := await scratch.sweep(wanted):
                    log.info("scratch of %d images that are not made any more is cleared away", len(left))
            except Exception:  # next time is soon
                log.exception("scratch is not cleared away")
            await asyncio.sleep(SCRATCH_EVERY)

    async with beside(again_and_again()):
        yield
