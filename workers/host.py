"""The host worker: one to a host. It does the host's steps, reports, and keeps the host as the books say.

Before it takes the first step the host is rebuilt from the books (reports.py), after a power cut as after a restart.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.disks import Disks
from activities.fence import Fence
from activities.health import Health
from activities.heartbeats import Heartbeats
from activities.images import Images
from activities.machines import Machines
from activities.ports import Ports
from activities.seeds import Seeds
from infra.beside import beside
from infra.config import Settings
from infra.drivers.epochs import Epochs
from infra.drivers.protocols import Host
from infra.drivers.sole import sole
from infra.internal_api import InternalApi, open_internal_api
from infra.temporal.connect import connect
from infra.temporal.names import host_queue
from workers.metadata import Metadata, ToldPorts
from workers.prefetch import keep_prefetching
from workers.reports import Reports
from workers.wiring import driver_of, open_host
from workflows.options import FACTOR, PRESS


def host_worker(
    client: Client, host: Host, internal_api: InternalApi, settings: Settings, fence: Fence, ports: Ports
) -> Worker:
    """``ports``: the one that all of the host's ports are attached through."""
    images, disks, seeds = Images(host.images, internal_api), Disks(host.disks), Seeds(host.seeds, internal_api)
    machines, health = Machines(host, ports, PRESS * FACTOR), Health(host, ports, settings.guest_patience * FACTOR)
    return Worker(
        client,
        task_queue=host_queue(settings.host_id),
        activities=[
            images.ensure_image,
            *(disks.create_disk, disks.remove_disk),
            *(seeds.write_seed, seeds.remove_seed),
            *(ports.attach_ports, ports.detach_ports),
            *(machines.define_machine, machines.start_machine, machines.destroy_machine),
            *(machines.power_on, machines.power_off, machines.press_power),
            health.wait_ready,
        ],
        interceptors=[Heartbeats(), fence],
        max_concurrent_activities=settings.host_slots,
        # A story that is told to stop learns it through a heartbeat: the throttle is how long that may take.
        max_heartbeat_throttle_interval=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


async def run_host(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop``. The machines run on: a worker's end is no reason to stop a server. Conflict: another host
    worker is on this machine, whose links and rules it would take for nobody's."""
    with sole("host") if driver_of(settings) == "libvirt" else nullcontext():
        await _serve(settings, stop)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_host(settings) as host, open_internal_api(settings) as internal_api:
        client = await connect(settings)
        with Epochs(settings.host_path / "epochs.sqlite") as epochs:
            fence, metadata = Fence(epochs), Metadata(internal_api)
            host = replace(host, ports=ToldPorts(host.ports, metadata.changed))
            ports = Ports(host, internal_api)
            reports = Reports(settings.host_id, host, internal_api, fence, ports)
            await reports.begin()
            works = [reports.keep_on(), keep_prefetching(host.images, internal_api)]
            if settings.metadata and driver_of(settings) == "libvirt":
                works.append(metadata.keep_on())
            async with beside(*works), host_worker(client, host, internal_api, settings, fence, ports):
                # Told once more: who was sent a step before anybody here took it takes the host for a silent one.
                fence.moved.set()
                await stop.wait()
