"""A project's default network: the one named ``default``, which servers join that are ordered without naming any.

It is made with the first such order, and gets a subnet in each network zone that one comes to. Orders that come at once
wait for each other there, and only there: once it is made it is found without a lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network

from infra.db import networks
from infra.db.networks import KIND, Network, NewNetwork
from infra.db.pool import Connection
from infra.db.selectors import hold
from infra.domain.networks import Subnet, next_subnet

NAME = "default"
RANGE = IPv4Network("10.0.0.0/16")
SUBNET = 20
"""Of each network zone, where there is room for it: 4,093 servers."""


async def is_wanted(connection: Connection, project_id: int) -> bool:
    found = await connection.execute("SELECT default_network FROM projects WHERE id = %s", (project_id,))
    row = await found.fetchone()
    return bool(row and row["default_network"])


async def ensure(connection: Connection, project_id: int, zone: str) -> int:
    """Its id; a server in that network zone can join it. NoSubnetAvailable: it has no room for a subnet there."""
    found = await _find(connection, project_id)
    if found is None or not networks.in_zone(found.subnets, zone):
        await hold(connection, project_id)
        found = await _find(connection, project_id) or await _make(connection, project_id)
    if not networks.in_zone(found.subnets, zone):
        ip_range = _next(found.ip_range, found.subnets)
        await networks.add_subnet(connection, project_id, found.id, zone, "cloud", ip_range)
    return found.id


def _next(ip_range: IPv4Network, subnets: Sequence[Subnet]) -> IPv4Network | None:
    """None: whatever is free."""
    return next_subnet(ip_range, subnets, SUBNET) if ip_range.prefixlen <= SUBNET else None


async def _find(connection: Connection, project_id: int) -> Network | None:
    found = await connection.execute("SELECT id FROM networks WHERE project_id = %s AND name = %s", (project_id, NAME))
    row = await found.fetchone()
    return await KIND.get(connection, project_id, row["id"]) if row else None


async def _make(connection: Connection, project_id: int) -> Network:
    id = await networks.create(connection, NewNetwork(project_id, NAME, RANGE, vswitch_routes=False, labels={}))
    return await KIND.get(connection, project_id, id)
