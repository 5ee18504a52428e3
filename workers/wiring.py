"""The wiring: settings in, the hands of a host and of the network out.

The only place that knows which driver stands behind a protocol.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from infra.config import Settings
from infra.domain.changes import ResourceType
from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.edges import Edge, HaproxyEdge, SimulatedEdge
from infra.drivers.protocols import Host
from infra.drivers.simulated import SimulatedHost
from infra.drivers.store.chosen import image_store

if TYPE_CHECKING:  # every command passes here, and few need Temporal, which takes long to import
    from activities.changes import DataPlane
    from activities.dns import Names
    from infra.db.pool import Pool
    from infra.dns.serving import Serving
    from infra.drivers.ports import HostNetwork


def driver_of(settings: Settings) -> str:
    """``libvirt`` or ``simulated``; ``auto`` takes libvirt where its daemon and QEMU are installed."""
    if settings.host != "auto":
        return settings.host
    return "libvirt" if shutil.which("libvirtd") and shutil.which("qemu-system-x86_64") else "simulated"


@asynccontextmanager
async def open_host(settings: Settings) -> AsyncIterator[Host]:
    if driver_of(settings) == "simulated":
        settings.host_path.mkdir(parents=True, exist_ok=True)
        with SimulatedHost(settings.host_path / "simulated.sqlite") as simulated:
            yield simulated.host()
        return
    from infra.drivers.real import LibvirtHost, open_libvirt_host  # libvirt's library is not everywhere

    options = LibvirtHost(
        root=settings.host_path,
        run=settings.host_run,
        store=image_store(settings),
        uri=settings.libvirt_uri,
        network=host_network(settings),
        cache_gib=settings.image_cache_gib,
    )
    async with open_libvirt_host(options) as host:
        yield host


def host_network(settings: Settings) -> HostNetwork:
    from infra.drivers.ports import HostNetwork

    return HostNetwork(
        uplinks=tuple(settings.uplinks),
        # Where there are other hosts, routers know who has an address, and have an end for those that nobody has.
        pools=() if settings.vtep else tuple(settings.address_pools),
        forbidden=tuple(settings.forbidden),
        vtep=settings.vtep,
        vteps=tuple(settings.vteps),
        private_mtu=settings.private_mtu,
        pace=settings.connections_pace,
        idle=settings.connections_idle,
    )


def edge_is_simulated(settings: Settings) -> bool:
    """Where somebody says so, or `puchify up` found no libvirt: a real edge never passes for one in silence."""
    return settings.host == "simulated"


def open_edge(settings: Settings) -> Edge:
    """haproxy.CannotRun: this machine has not what it takes."""
    if edge_is_simulated(settings):
        return SimulatedEdge()
    return HaproxyEdge(settings.edge_run, edge_networks(settings), settings.edge_connections)


def edge_networks(settings: Settings) -> EdgeNetworks:
    prefix = settings.edge_namespaces.format(edge=settings.edge_id)
    return EdgeNetworks(prefix, settings.vtep or None, settings.private_mtu)


def serving_of(settings: Settings, pool: Pool) -> Serving | None:
    """What brings zones to the name servers; None where there are none."""
    from infra.dns.serving import Serving
    from infra.drivers.powerdns import PowerDns

    if not settings.dns_api_url:
        return None
    return Serving(pool, PowerDns(settings.dns_api_url, settings.dns_api_key))


def data_planes(names: Names) -> Mapping[ResourceType, DataPlane]:
    """What carries a type of resource out of the books into the world. A type that has none is book-keeping."""
    return dict.fromkeys(("zone", "server", "primary_ip", "load_balancer"), names.follow)
