"""The host worker: one to a host. It does the host's steps, reports, and keeps the host as the books say.

Before it takes the first step it purges what no claim confirms and starts again what should run: the books are the
truth, a host is rebuilt from them after a power cut as after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.disks import Disks
from activities.health import Health
from activities.images import Images
from activities.machines import Machines, bring_up
from activities.ports import Ports
from activities.seeds import Seeds
from infra.config import Settings
from infra.domain.errors import HostFailure
from infra.domain.models import Confirmed, HostClaims
from infra.drivers.protocols import Host
from infra.internal_api import InternalApi, open_internal_api
from infra.temporal.connect import connect
from infra.temporal.names import host_queue
from workers.wiring import open_host
from workflows.options import FACTOR

log = logging.getLogger(__name__)

REPORT_EVERY = 10.0
"""Seconds; placement takes a report for fresh for 90."""


def host_worker(client: Client, host: Host, internal_api: InternalApi, settings: Settings) -> Worker:
    images, disks, seeds = Images(host.images), Disks(host.disks), Seeds(host.seeds, internal_api)
    ports, machines = Ports(host.ports), Machines(host.machines)
    health = Health(host, settings.guest_patience * FACTOR)
    return Worker(
        client,
        task_queue=host_queue(settings.host_id),
        activities=[
            images.ensure_image,
            *(disks.create_disk, disks.remove_disk),
            *(seeds.write_seed, seeds.remove_seed),
            *(ports.attach_ports, ports.detach_ports),
            *(machines.define_machine, machines.start_machine, machines.destroy_machine),
            health.wait_ready,
        ],
        max_concurrent_activities=settings.host_slots,
        # A story that is told to stop learns it through a heartbeat: the throttle is how long that may take.
        max_heartbeat_throttle_interval=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


async def run_host(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop``. The machines run on: a worker's end is no reason to stop a server."""
    async with open_host(settings) as host, open_internal_api(settings) as internal_api:
        client = await connect(settings)
        await report_once(settings, host, internal_api)
        await reconcile(host, await held_and_claimed(host, internal_api), internal_api)
        reporting = asyncio.create_task(keep_reporting(settings, host, internal_api))
        try:
            async with host_worker(client, host, internal_api, settings):
                await stop.wait()
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting


async def report_once(settings: Settings, host: Host, internal_api: InternalApi) -> None:
    await internal_api.report(await host.facts.report(settings.host_id))


async def keep_reporting(settings: Settings, host: Host, internal_api: InternalApi) -> None:
    """Report, and forget what the books have buried while this host was away."""
    while True:
        await asyncio.sleep(REPORT_EVERY)
        try:
            await report_once(settings, host, internal_api)
            claims = await internal_api.claims()
            if claims.tombstones:
                await forget(host, claims, internal_api)
        except HostFailure as error:
            log.warning("no report: %s", error)


async def held_and_claimed(host: Host, internal_api: InternalApi) -> tuple[set[int], HostClaims]:
    """What is here, then what should be: in this order, so that a server claimed in between is no stray."""
    machines, ports = await host.machines.held(), await host.ports.held()
    disks, seeds = await host.disks.held(), await host.seeds.held()
    return {*machines, *ports, *disks, *seeds}, await internal_api.claims()


async def reconcile(host: Host, state: tuple[set[int], HostClaims], internal_api: InternalApi) -> None:
    held, claims = state
    confirmed = {claim.machine.server_id for claim in claims.claims}
    for server_id in sorted(held - confirmed):
        log.warning("server %s is not this host's any more: purged", server_id)
        await purge(host, server_id)
    await forget(host, claims, internal_api)
    for claim in claims.claims:
        if claim.runs:
            await restore(host, claim)


async def forget(host: Host, claims: HostClaims, internal_api: InternalApi) -> None:
    """Do what a story could not: a server that was placed here again since keeps what is its own."""
    epochs = {claim.machine.server_id: claim.machine.epoch for claim in claims.claims}
    for tombstone in claims.tombstones:
        if epochs.get(tombstone.server_id, -1) <= tombstone.epoch:
            await purge(host, tombstone.server_id)
        await internal_api.forgotten(tombstone)


async def purge(host: Host, server_id: int) -> None:
    await host.machines.destroy(server_id)
    await host.ports.detach(server_id)
    await host.seeds.remove(server_id)
    await host.disks.remove(server_id)


async def restore(host: Host, claim: Confirmed) -> None:
    """Bring a server back that ran when the host went down."""
    try:
        await bring_up(host, claim.machine)
    except HostFailure as error:
        log.error("server %s should run and does not: %s", claim.machine.server_id, error)
