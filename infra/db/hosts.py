"""Hosts: how they come into the books, and what the books confirm to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow

from infra.db.pool import Connection
from infra.domain.errors import PuchifyError, UniquenessError
from infra.domain.models import (
    Addresses,
    Confirmed,
    HostClaims,
    Image,
    Machine,
    Resources,
    Tombstone,
)


@dataclass(frozen=True, slots=True)
class NewHost:
    """``key_digest``: HMAC-SHA256 of the host's key (infra.db.keys.digest_of); the key itself is not kept."""

    id: int
    name: str
    location_id: int
    key_digest: bytes
    architecture: str = "x86"
    availability_zone: str = ""
    rack: str = ""
    switch: str = ""
    overcommit: float = 4.0


@dataclass(frozen=True, slots=True)
class ClaimedSeed:
    """All that a seed is made of."""

    machine: Machine
    ssh_keys: list[str]
    user_data: str


# What an operator may have edited since stays: name, zone, rack, switch, overcommit.
REGISTER = """
INSERT INTO hosts (id, name, location_id, key_digest, architecture, availability_zone, rack, switch, overcommit)
VALUES (%(id)s, %(name)s, %(location_id)s, %(key_digest)s, %(architecture)s, %(availability_zone)s, %(rack)s,
        %(switch)s, %(overcommit)s)
ON CONFLICT (id) DO UPDATE
SET location_id = excluded.location_id, key_digest = excluded.key_digest, architecture = excluded.architecture
"""

# An id that was given by hand is never given to another host: its steps would go to this one's queue.
PASS_OVER = """
SELECT setval('hosts_id_seq', %(id)s) FROM hosts_id_seq WHERE last_value < %(id)s OR NOT is_called
"""


async def register_host(connection: Connection, host: NewHost) -> None:
    """Make the host known, or give the one of that id a new key or location; what operators edited, what it holds and
    what it reports stays. UniquenessError: another host has the name or the key."""
    async with connection.transaction():
        try:
            await connection.execute(REGISTER, asdict(host))
        except UniqueViolation as violation:
            raise already_there(violation, host.name) from violation
        await connection.execute(PASS_OVER, {"id": host.id})


def already_there(violation: UniqueViolation, name: str) -> PuchifyError:
    """What a refused row of a host means to who asked for it."""
    if violation.diag.constraint_name == "hosts_key_digest_key":
        return UniquenessError.of("key", "a host with this key is there already")
    return UniquenessError.of("name", f"another host is called {name}")


async def host_of_key(connection: Connection, digest: bytes) -> int | None:
    row = await (await connection.execute("SELECT id FROM hosts WHERE key_digest = %s", (digest,))).fetchone()
    return int(row["id"]) if row else None


async def is_lost(connection: Connection, host_id: int) -> bool:
    """An operator has said that it will not be back soon."""
    found = await connection.execute("SELECT FROM hosts WHERE id = %s AND state = 'lost'", (host_id,))
    return found.rowcount > 0


async def mark_silent(connection: Connection, host_id: int) -> None:
    """It was waited for in vain: placement passes it over until its next report."""
    await connection.execute("UPDATE hosts SET silent = now() WHERE id = %s", (host_id,))


MACHINES = """
SELECT s.id AS server_id, s.name, s.user_data, s.authorized_keys,
       s.desired = 'on' AND s.status IN ('running', 'starting', 'unknown') AS runs,
       s.desired = 'off' AND s.status IN ('off', 'unknown') AS rests,
       CASE WHEN s.locked_by IS NULL AND s.status IN ('running', 'off', 'unknown') THEN s.status END AS status,
       c.epoch, c.host_id, c.cores, c.memory_mib, c.disk_gib, i.id AS image_id, i.name AS image_name, i.digest,
       i.architecture, i.disk_gib AS image_disk_gib, i.has_agent,
       (SELECT a.address FROM addresses a WHERE a.server_id = s.id AND a.type = 'ipv4') AS ipv4,
       (SELECT a.address FROM addresses a WHERE a.server_id = s.id AND a.type = 'ipv6') AS ipv6,
       ARRAY(SELECT m.id FROM network_members m WHERE m.server_id = s.id ORDER BY m.id) AS members
FROM claims c
JOIN servers s ON s.id = c.server_id
JOIN images i ON i.id = s.image_id
"""
OF_HOST = MACHINES + "WHERE c.host_id = %s "


async def claims_of(connection: Connection, host_id: int) -> HostClaims:
    """What the host should hold, and what it has to forget; whatever else it has, it purges."""
    machines = await connection.execute(OF_HOST + "ORDER BY s.id", (host_id,))
    tombstones = await connection.execute(
        "SELECT server_id, host_id, epoch FROM tombstones WHERE host_id = %s ORDER BY server_id", (host_id,)
    )
    rows = await machines.fetchall()
    return HostClaims(
        claims=[Confirmed(_machine(row), row["runs"], row["rests"], row["status"]) for row in rows],
        tombstones=[Tombstone(**row) for row in await tombstones.fetchall()],
    )


async def machines(connection: Connection, servers: Collection[int]) -> list[Machine]:
    """Of those among the servers that are on a host, by their ids."""
    found = await connection.execute(MACHINES + "WHERE c.server_id = ANY(%s) ORDER BY s.id", (list(servers),))
    return [_machine(row) for row in await found.fetchall()]


async def forgotten(connection: Connection, tombstone: Tombstone) -> None:
    """The host holds nothing of the server any more, up to that epoch."""
    await connection.execute(
        "DELETE FROM tombstones WHERE host_id = %s AND server_id = %s AND epoch <= %s",
        (tombstone.host_id, tombstone.server_id, tombstone.epoch),
    )


async def seed_of_claim(connection: Connection, host_id: int, server_id: int, epoch: int) -> ClaimedSeed | None:
    """None unless exactly this claim stands: a host reads the secrets of no server but those it holds now."""
    row = await (
        await connection.execute(OF_HOST + "AND c.server_id = %s AND c.epoch = %s", (host_id, server_id, epoch))
    ).fetchone()
    return ClaimedSeed(_machine(row), row["authorized_keys"], row["user_data"]) if row else None


def _machine(row: DictRow) -> Machine:
    image = Image(
        row["image_id"],
        row["image_name"] or "",
        row["digest"],
        row["architecture"],
        row["image_disk_gib"],
        row["has_agent"],
    )
    return Machine(
        server_id=row["server_id"],
        epoch=row["epoch"],
        host_id=row["host_id"],
        name=row["name"],
        resources=Resources(row["cores"], row["memory_mib"], row["disk_gib"]),
        image=image,
        addresses=Addresses(row["ipv4"], row["ipv6"], tuple(row["members"])),
    )
