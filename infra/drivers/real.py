"""A host of libvirt, QEMU, XFS and nftables: its hands made from settings, its ground prepared."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.beside import beside
from infra.domain.domain_xml import Accel
from infra.drivers.consoles import shorten
from infra.drivers.disks import ClonedDisks
from infra.drivers.facts import HostFacts
from infra.drivers.guests import SshAndAgent
from infra.drivers.image_room import ImageRoom
from infra.drivers.images import CachedImages
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.libvirtd import kvm_usable
from infra.drivers.loose_ends import LooseEnds
from infra.drivers.machines import LibvirtMachines
from infra.drivers.ports import HostNetwork, HostPorts
from infra.drivers.protocols import Host
from infra.drivers.seeds import IsoSeeds
from infra.drivers.store.mount import ImageStore

CARE_EVERY = 10.0
"""Seconds: so long may a guest be without its guard, and so long write to its console at the speed of its processor."""
MEND_EVERY = 3
"""Rounds until everything else of its ports is looked at, too: half a second's work where there are 400 of them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LibvirtHost:
    """Where everything of a real host is. ``root``: on a file system with reflink. ``run``: short, for sockets."""

    root: Path
    run: Path
    store: ImageStore
    uri: str
    network: HostNetwork = field(default_factory=HostNetwork)
    cache_gib: int = 20

    @property
    def accel(self) -> Accel:
        return "kvm" if kvm_usable() else "qemu"


@asynccontextmanager
async def open_libvirt_host(options: LibvirtHost) -> AsyncIterator[Host]:
    """The hands of the host. When they are let go the machines run on, and so do their ports."""
    layout = HostLayout(options.root.absolute(), options.run.absolute())
    layout.prepare()
    ports = HostPorts(options.network)
    machines = LibvirtMachines(options.uri, layout, options.accel, options.network.private_mtu)
    ends = LooseEnds(ports, machines)
    await ports.open()
    room = ImageRoom(layout, options.cache_gib * GIB)
    images = CachedImages(layout, options.store, room)

    def hindrances() -> list[str]:
        return [*images.hindrances(), *ports.hindrances(), *ends.hindrances()]

    facts = HostFacts(layout, options.uri, options.network.uplinks, cache=room.facts, hindrances=hindrances)
    order = keep_in_order(ports, ends, layout.root / "consoles")
    try:
        async with beside(order, facts.keep_looking(), images.keep_looking()):
            yield Host(
                images=images,
                disks=ClonedDisks(layout),
                seeds=IsoSeeds(layout),
                ports=ports,
                machines=machines,
                guests=SshAndAgent(layout),
                facts=facts,
            )
    finally:
        await facts.close()
        await machines.close()
        await ports.close()


async def keep_in_order(ports: HostPorts, ends: LooseEnds, consoles: Path) -> None:
    """What somebody else on the machine, or a guest, can upset."""
    for round in itertools.count(1):
        await asyncio.sleep(CARE_EVERY)
        try:
            if mended := await (ports.guard() if round % MEND_EVERY else ports.mend()):
                log.error("the ports of %d servers were not as they should be, and are again", len(mended))
            if round % MEND_EVERY == 0:
                await ends.join()
            await asyncio.to_thread(shorten, consoles)
        except Exception:  # whatever it is: nobody else looks after the host
            log.exception("the host could not be kept in order")
