"""Hosts as operators read them: where each stands, how full and how fresh it is, and all there is to know of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.db.host_care import Holder, State, servers_on
from infra.db.locations import find_location
from infra.db.pool import Connection
from infra.domain.errors import NotFound
from infra.domain.placement import STALE_S


@dataclass(frozen=True, slots=True)
class HostUse:
    """A host as operators list it. ``cores``: what placement hands out, overcommitted. ``report_age_s`` None: never."""

    id: int
    name: str
    location: str
    availability_zone: str
    rack: str
    switch: str
    architecture: str
    state: State
    driver: str
    report_age_s: float | None
    unheard: bool
    """A create waited for it in vain, and it has not reported since; or it said itself that it does not work."""
    servers: int
    overcommit: float
    used_cores: int
    cores: int
    used_memory_mib: int
    memory_mib: int
    used_disk_gib: int
    disk_gib: int
    tombstones: int

    @property
    def fresh(self) -> bool:
        """Whether placement believes its report."""
        return self.report_age_s is not None and self.report_age_s <= STALE_S and not self.unheard

    @property
    def takes_servers(self) -> bool:
        return self.state == "accepting" and self.fresh


@dataclass(frozen=True, slots=True)
class HostReading:
    """What its last report said beside capacity. Free: really; None: it did not say. Loads in [0, 1]. ``images``: how
    many are in its cache. ``links``: its uplinks, as infra.domain.models.Link. ``problems``: what does not work."""

    free_memory_mib: int | None
    free_disk_gib: int | None
    cpu_busy: float
    io_wait: float
    net_saturation: float
    facts: dict[str, Any]
    images: int = 0
    links: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a host finds a server to be. ``machine``: its state; ``agent_speaks``: both None where it does not say."""

    machine: str | None = None
    agent_speaks: bool | None = None


@dataclass(frozen=True, slots=True)
class ShownHost:
    use: HostUse
    reading: HostReading
    servers: list[Holder]
    observed: dict[int, Observed]
    """By server; those of which the host holds nothing are left out."""


USE = """
SELECT h.id, h.name, l.name AS location, h.availability_zone, h.rack, h.switch, h.architecture, h.state, h.driver,
       extract(epoch FROM now() - h.reported)::float8 AS report_age_s,
       coalesce(h.silent >= h.reported, false) AS unheard,
       (SELECT count(*) FROM claims c WHERE c.host_id = h.id) AS servers,
       h.overcommit, h.used_cores, floor(h.cores * h.overcommit)::int AS cores,
       h.used_memory_mib, h.memory_mib, h.used_disk_gib, h.disk_gib,
       (SELECT count(*) FROM tombstones t WHERE t.host_id = h.id) AS tombstones
FROM hosts h JOIN locations l ON l.id = h.location_id
"""

READING = """
SELECT h.free_memory_mib, h.free_disk_gib, h.cpu_busy, h.io_wait, h.net_saturation, coalesce(d.facts, '{}') AS facts,
       coalesce(cardinality(d.images), 0) AS images, coalesce(d.links, '{}') AS links,
       coalesce(d.problems, '{}') AS problems
FROM hosts h LEFT JOIN host_details d ON d.host_id = h.id WHERE h.id = %s
"""

OBSERVED = "SELECT server_id, state, speaks FROM host_holdings WHERE host_id = %s"


async def list_hosts(connection: Connection, location: str | None = None) -> list[HostUse]:
    """All of them, or those of a location. NotFound: there is no such location."""
    if location is not None:
        await find_location(connection, location)
    found = await connection.execute(
        USE + "WHERE %(location)s::text IS NULL OR l.name = %(location)s ORDER BY h.id", {"location": location}
    )
    return [HostUse(**row) for row in await found.fetchall()]


async def show_host(connection: Connection, host_id: int) -> ShownHost:
    """NotFound."""
    use = await (await connection.execute(USE + "WHERE h.id = %s", (host_id,))).fetchone()
    reading = await (await connection.execute(READING, (host_id,))).fetchone()
    if use is None or reading is None:
        raise NotFound(f"there is no host {host_id}")
    held = await (await connection.execute(OBSERVED, (host_id,))).fetchall()
    observed = {row["server_id"]: Observed(row["state"], row["speaks"]) for row in held}
    return ShownHost(HostUse(**use), HostReading(**reading), await servers_on(connection, host_id), observed)
