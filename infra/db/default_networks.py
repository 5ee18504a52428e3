"""A project's default network: the one named ``default``, which servers join that are ordered without naming any.

It is made with the first such order, and gets a subnet in each network zone that one comes to, and a further one when
those are full. Orders that come at once wait for the first of them, and then for nothing more: it is found without a
lock.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from psycopg import Rollback

from infra.db import network_members, networks
from infra.db.network_members import Holder
from infra.db.networks import KIND, NewNetwork
from infra.db.pool import Connection
from infra.db.selectors import hold
from infra.domain.networks import next_subnet
from infra.domain.refusals import IpNotAvailable

NAME = "default"
RANGE = IPv4Network("10.0.0.0/16")
SUBNET = 20
"""At a time, where there is room for it: 4,093 servers."""

NAMED = "SELECT id FROM networks WHERE project_id = %s AND name = %s"

READY = """
SELECT n.id FROM networks n WHERE n.project_id = %(project)s AND n.name = %(name)s
  AND EXISTS (SELECT FROM subnets s WHERE s.network_id = n.id AND s.network_zone = %(zone)s)
"""


async def is_wanted(connection: Connection, project_id: int) -> bool:
    found = await connection.execute("SELECT default_network FROM projects WHERE id = %s", (project_id,))
    row = await found.fetchone()
    return bool(row and row["default_network"])


async def ensure(connection: Connection, project_id: int, zone: str) -> int:
    """Its id; a server in that network zone can join it. NoSubnetAvailable: it has no room for a subnet there."""
    if (id := await _ready(connection, project_id, zone)) is not None:
        return id
    async with connection.transaction() as waiting:
        await hold(connection, project_id)
        if await _ready(connection, project_id, zone) is None:
            return await _furnish(connection, project_id, zone)
        raise Rollback(waiting)  # another has made it meanwhile: who waits behind this order need not
    return await ensure(connection, project_id, zone)


class Full(IpNotAvailable):
    """Its owner has named neither it nor its subnets: the order is to be tried again when there is a further one."""

    def __init__(self, subnets: int) -> None:
        super().__init__("no address is free in the default network")
        self.subnets = subnets


async def join(connection: Connection, project_id: int, id: int, holder: Holder) -> None:
    """NotFound: it is gone. Full: its subnets in that network zone are."""
    try:
        await network_members.join(connection, project_id, id, holder)
    except IpNotAvailable as full:
        network = await KIND.get(connection, project_id, id)
        raise Full(len(networks.in_zone(network.subnets, holder.network_zone))) from full


async def make_room(connection: Connection, project_id: int, zone: str, full: Full) -> None:
    """A further subnet, unless it has one by now, or is gone. NoSubnetAvailable: there is no room for it.

    In a transaction of its own: orders that find it full share its lock, and none could have it alone.
    """
    async with connection.transaction():
        await hold(connection, project_id)
        row = await (await connection.execute(NAMED, (project_id, NAME))).fetchone()
        if row is None:
            return
        network = await KIND.get(connection, project_id, row["id"])
        if len(networks.in_zone(network.subnets, zone)) == full.subnets:
            await _add_subnet(connection, project_id, row["id"], zone)


async def _ready(connection: Connection, project_id: int, zone: str) -> int | None:
    values = {"project": project_id, "name": NAME, "zone": zone}
    row = await (await connection.execute(READY, values)).fetchone()
    return int(row["id"]) if row else None


async def _furnish(connection: Connection, project_id: int, zone: str) -> int:
    row = await (await connection.execute(NAMED, (project_id, NAME))).fetchone()
    new = NewNetwork(project_id, NAME, RANGE, vswitch_routes=False, labels={})
    id = int(row["id"]) if row else await networks.create(connection, new)
    await _add_subnet(connection, project_id, id, zone)
    return id


async def _add_subnet(connection: Connection, project_id: int, id: int, zone: str) -> None:
    network = await KIND.get(connection, project_id, id)
    small = network.ip_range.prefixlen > SUBNET
    ip_range = None if small else next_subnet(network.ip_range, network.subnets, SUBNET)
    await networks.add_subnet(connection, project_id, id, zone, "cloud", ip_range)
