"""A project's default network: the one named ``default``, which servers join that are ordered without naming any.

It is made with the first such order, and gets a subnet in each network zone that one comes to. Orders that come at once
wait for each other there, and only there: once it is made it is found without a lock.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from infra.db import networks
from infra.db.networks import KIND, NewNetwork
from infra.db.pool import Connection
from infra.db.selectors import hold
from infra.domain.networks import next_subnet

NAME = "default"
RANGE = IPv4Network("10.0.0.0/16")
SUBNET = 20
"""Of each network zone, where there is room for it: 4,093 servers."""

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
    values = {"project": project_id, "name": NAME, "zone": zone}
    for first in (True, False):
        if row := await (await connection.execute(READY, values)).fetchone():
            return int(row["id"])
        if first:
            await hold(connection, project_id)
    return await _furnish(connection, project_id, zone)


async def _furnish(connection: Connection, project_id: int, zone: str) -> int:
    query = "SELECT id FROM networks WHERE project_id = %s AND name = %s"
    row = await (await connection.execute(query, (project_id, NAME))).fetchone()
    new = NewNetwork(project_id, NAME, RANGE, vswitch_routes=False, labels={})
    id = int(row["id"]) if row else await networks.create(connection, new)
    network = await KIND.get(connection, project_id, id)
    small = network.ip_range.prefixlen > SUBNET
    ip_range = None if small else next_subnet(network.ip_range, network.subnets, SUBNET)
    await networks.add_subnet(connection, project_id, id, zone, "cloud", ip_range)
    return id
