"""Hosts in the hands of operators: whether one takes servers, its name and place, and how it is removed.

A state only says whether new servers may come: what a host has it keeps and serves. A host goes when nothing can be on
it: under the lock on its row nobody can claim it, so what is held then is all that there is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg.errors import UniqueViolation

from infra.db.hosts import already_there
from infra.db.pool import Connection
from infra.domain.errors import HostInUse, NotFound
from infra.domain.topology import Standing

State = Literal["accepting", "cordoned", "draining", "lost"]
NAMED = 20  # servers that a refusal names; an operator who has more of them lists them


@dataclass(frozen=True, slots=True)
class KnownHost:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Edited:
    """``changed``: by column, what it was and what it is. ``cores``: those offered now, overcommitted; more than these
    may be used."""

    name: str
    changed: dict[str, tuple[Any, Any]]
    used_cores: int
    cores: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A server that has something on a host, or will have at once."""

    id: int
    name: str
    status: str
    project_id: int


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


DOUBT = """
UPDATE servers s SET status = 'unknown' FROM claims c
WHERE c.host_id = %s AND c.server_id = s.id AND s.status = 'running' AND s.locked_by IS NULL
"""


async def lose_host(connection: Connection, host_id: int) -> int:
    """It will not be back soon: no server comes to it, and nobody waits for it. Nobody knows whether what ran on it
    still does: how many servers became ``unknown``. Their claims stay, so that it finds them there when it is back; a
    server that is locked is its operation's to judge. Two transactions, since whoever gives a claim back locks the
    server before the host."""
    await set_state(connection, host_id, "lost")
    return (await connection.execute(DOUBT, (host_id,))).rowcount


BEFORE = """
SELECT name, availability_zone, rack, switch, overcommit FROM hosts WHERE id = %s FOR UPDATE
"""

EDIT = """
UPDATE hosts SET name = coalesce(%(name)s, name), rack = coalesce(%(rack)s, rack),
                 availability_zone = coalesce(%(availability_zone)s, availability_zone),
                 switch = coalesce(%(switch)s, switch), overcommit = coalesce(%(overcommit)s, overcommit)
WHERE id = %(id)s
RETURNING name, availability_zone, rack, switch, overcommit, used_cores, floor(cores * overcommit)::int AS cores
"""


async def edit_host(connection: Connection, host_id: int, standing: Standing) -> Edited:
    """Call the host otherwise, or note where it stands now; what it holds it keeps. NotFound, InvalidInput,
    UniquenessError."""
    standing.check()
    async with connection.transaction():
        before = await (await connection.execute(BEFORE, (host_id,))).fetchone()
        if before is None:
            raise _unknown(host_id)
        try:
            after = await (await connection.execute(EDIT, {**asdict(standing), "id": host_id})).fetchone()
        except UniqueViolation as violation:
            raise already_there(violation, standing.name or "") from violation
    assert after is not None
    changed = {field: (old, after[field]) for field, old in before.items() if old != after[field]}
    return Edited(after["name"], changed, after["used_cores"], after["cores"])


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
