"""Hosts in the hands of operators: how full and how fresh each is, whether it takes servers, and how it is removed.

A state only says whether new servers may come: what a host has it keeps and serves. A host goes when nothing can be on
it: under the lock on its row nobody can claim it, so what is held then is all that there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.db.pool import Connection
from infra.domain.errors import HostInUse, NotFound
from infra.domain.placement import STALE_S

State = Literal["accepting", "cordoned", "draining", "lost"]
NAMED = 20  # servers that a refusal names; an operator who has more of them lists them


@dataclass(frozen=True, slots=True)
class HostUse:
    """A host as operators list it. ``cores``: what placement hands out, overcommitted. ``report_age_s`` None: never."""

    id: int
    name: str
    location: str
    state: State
    driver: str
    report_age_s: float | None
    unheard: bool
    """A create waited for it in vain, and it has not reported since."""
    servers: int
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


@dataclass(frozen=True, slots=True)
class KnownHost:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A server that has something on a host, or will have at once."""

    id: int
    name: str
    status: str
    project_id: int


async def list_hosts(connection: Connection) -> list[HostUse]:
    found = await connection.execute(
        "SELECT h.id, h.name, l.name AS location, h.state, h.driver,"
        " extract(epoch FROM now() - h.reported)::float8 AS report_age_s,"
        " coalesce(h.silent >= h.reported, false) AS unheard,"
        " (SELECT count(*) FROM claims c WHERE c.host_id = h.id) AS servers,"
        " h.used_cores, floor(h.cores * h.overcommit)::int AS cores,"
        " h.used_memory_mib, h.memory_mib, h.used_disk_gib, h.disk_gib,"
        " (SELECT count(*) FROM tombstones t WHERE t.host_id = h.id) AS tombstones"
        " FROM hosts h JOIN locations l ON l.id = h.location_id ORDER BY h.id"
    )
    return [HostUse(**row) for row in await found.fetchall()]


async def find_host(connection: Connection, word: str) -> KnownHost:
    """By its id or its name; NotFound. A name that is another host's id is that host's id."""
    found = await connection.execute(
        "SELECT id, name FROM hosts WHERE id::text = %(word)s OR name = %(word)s"
        " ORDER BY id::text = %(word)s DESC LIMIT 1",
        {"word": word},
    )
    row = await found.fetchone()
    if row is None:
        raise _unknown(word)
    return KnownHost(**row)


async def set_state(connection: Connection, host_id: int, state: State) -> None:
    """From its end on no claim is made that the state forbids; claims that were made before stay."""
    done = await connection.execute("UPDATE hosts SET state = %s WHERE id = %s", (state, host_id))
    if done.rowcount == 0:
        raise _unknown(host_id)


async def servers_on(connection: Connection, host_id: int) -> list[Holder]:
    """Every server with a claim on the host: those that live there, those on their way, those not gone yet."""
    found = await connection.execute(
        "SELECT s.id, s.name, s.status, s.project_id FROM claims c JOIN servers s ON s.id = c.server_id"
        " WHERE c.host_id = %s ORDER BY s.id",
        (host_id,),
    )
    return [Holder(**row) for row in await found.fetchall()]


async def remove_host(connection: Connection, host_id: int) -> int:
    """Forget the host, its key and what it had to forget; the number of tombstones that went. HostInUse, NotFound."""
    async with connection.transaction():
        found = await connection.execute("SELECT name FROM hosts WHERE id = %s FOR UPDATE", (host_id,))
        row = await found.fetchone()
        if row is None:
            raise _unknown(host_id)
        if holders := await servers_on(connection, host_id):
            raise HostInUse(f"host {row['name']} holds {_named(holders)}; they have to be deleted first")
        buried = await connection.execute("DELETE FROM tombstones WHERE host_id = %s", (host_id,))
        await connection.execute("DELETE FROM hosts WHERE id = %s", (host_id,))
        return buried.rowcount


def _named(holders: list[Holder]) -> str:
    names = ", ".join(f"{holder.id} ({holder.name})" for holder in holders[:NAMED])
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    return f"{len(holders)} server{'s' * (len(holders) != 1)}: {names}{more}"


def _unknown(word: int | str) -> NotFound:
    return NotFound(f"there is no host {word}")
