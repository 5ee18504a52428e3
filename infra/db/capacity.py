"""Capacity as the books have it: the hosts of each location, and what can be ordered there."""

from __future__ import annotations

from dataclasses import dataclass

from infra.db.locations import find_location
from infra.db.pool import Connection
from infra.db.server_types import server_types
from infra.db.warm_hosts import WarmHosts
from infra.domain.capacity import Plan, Room, rooms
from infra.domain.errors import NotFound
from infra.domain.models import Resources


@dataclass(frozen=True, slots=True)
class Capacity:
    location: str
    rooms: list[Room]


async def capacity(connection: Connection, location: str | None) -> list[Capacity]:
    """Of one location, or of each by its name. NotFound."""
    if location is not None:
        await find_location(connection, location)
    found = await (await connection.execute("SELECT name FROM locations ORDER BY name")).fetchall()
    names = [row["name"] for row in found if location in (None, row["name"])]
    if not names:
        raise NotFound("there is no location")
    plans = await _plans(connection)
    told = []
    for name in names:
        moment = await WarmHosts(name).look(connection)
        told.append(Capacity(name, rooms(moment.hosts, moment.now, plans)))
    return told


async def _plans(connection: Connection) -> list[Plan]:
    return [
        Plan(one.name, one.architecture, Resources(one.cores, one.memory_mib, one.disk_gib))
        for one in await server_types(connection)
    ]
