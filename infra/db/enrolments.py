"""Enrolments: how a machine becomes a host. An operator notes one and gets a token; who shows it is let in.

A token works once, for one machine: the host's row and the use of the token are one transaction under the lock on the
enrolment. A machine that did not hear the answer asks again with the same key, and is answered the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow

from infra.db.hosts import already_there, host_of_key
from infra.db.keys import digest_of, new_key
from infra.db.locations import find_location
from infra.db.pool import Connection
from infra.domain.errors import Conflict, InvalidInput, NotFound, Unauthorized, UniquenessError
from infra.domain.topology import Standing, host_name_problem

KEPT = timedelta(days=7)
"""An enrolment that nobody used is forgotten so long after its end; until then its token is told to have expired."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One that is open. ``name`` None: the machine says what it is called."""

    id: int
    location: str
    name: str | None
    availability_zone: str
    rack: str
    switch: str
    overcommit: float
    age_s: float
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a machine says of itself. ``key_digest``: of the key that it made for itself."""

    key_digest: bytes
    name: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    id: int
    name: str
    location: str
    address_pools: list[str]
    """Networks of the location: the host lets packets to absent guests go no further."""


NOTE = """
INSERT INTO enrolments (digest, location_id, name, availability_zone, rack, switch, overcommit, expires)
VALUES (%(digest)s, %(location_id)s, %(name)s, coalesce(%(availability_zone)s, ''), coalesce(%(rack)s, ''),
        coalesce(%(switch)s, ''), coalesce(%(overcommit)s, 4), now() + %(lasts)s)
"""

OPEN = """
SELECT e.id, l.name AS location, e.name, e.availability_zone, e.rack, e.switch, e.overcommit,
       extract(epoch FROM now() - e.created)::float8 AS age_s,
       extract(epoch FROM e.expires - now())::float8 AS expires_in_s
FROM enrolments e JOIN locations l ON l.id = e.location_id
WHERE e.host_id IS NULL AND e.expires > now() ORDER BY e.id
"""

LOCK = """
SELECT *, expires <= now() AS ended FROM enrolments WHERE digest = %s FOR UPDATE
"""

# The next id that no host has: one may have been given by hand.
ADMIT = """
INSERT INTO hosts (name, location_id, key_digest, architecture, availability_zone, rack, switch, overcommit)
VALUES (%(name)s, %(location_id)s, %(key_digest)s, %(architecture)s, %(availability_zone)s, %(rack)s, %(switch)s,
        %(overcommit)s)
ON CONFLICT (id) DO NOTHING RETURNING id
"""

ENROLLED = """
SELECT h.id, h.name, l.name AS location,
       ARRAY(SELECT p.cidr::text FROM address_pools p WHERE p.location_id = l.id ORDER BY p.id) AS address_pools
FROM hosts h JOIN locations l ON l.id = h.location_id WHERE h.id = %s
"""


async def note_enrolment(
    connection: Connection, secret: bytes, location: str, standing: Standing, lasts: timedelta
) -> str:
    """The token, which is shown this once. NotFound: no such location. InvalidInput. UniquenessError: a host has that
    name."""
    standing.check()
    location_id = await find_location(connection, location)
    if standing.name is not None:
        await _free(connection, standing.name)
    token = new_key()
    await connection.execute("DELETE FROM enrolments WHERE host_id IS NULL AND expires < now() - %s", (KEPT,))
    values = {**asdict(standing), "location_id": location_id, "lasts": lasts, "digest": digest_of(secret, token)}
    await connection.execute(NOTE, values)
    return token


async def open_enrolments(connection: Connection) -> list[Enrolment]:
    return [Enrolment(**row) for row in await (await connection.execute(OPEN)).fetchall()]


async def revoke_enrolment(connection: Connection, enrolment_id: int) -> None:
    """Its token is worth nothing from now on. NotFound. Conflict: a host has come with it."""
    done = await connection.execute("DELETE FROM enrolments WHERE id = %s AND host_id IS NULL", (enrolment_id,))
    if done.rowcount:
        return
    found = await connection.execute(
        "SELECT h.name FROM enrolments e JOIN hosts h ON h.id = e.host_id WHERE e.id = %s", (enrolment_id,)
    )
    if row := await found.fetchone():
        raise Conflict(f"enrolment {enrolment_id} was used: host {row['name']} came with it, and can be removed")
    raise NotFound(f"there is no enrolment {enrolment_id}")


async def enrol(connection: Connection, token_digest: bytes, applicant: Applicant) -> Enrolled:
    """Let the machine in, or tell the one that was let in with this token once more.

    Unauthorized: the token is none of ours, another machine's, or has expired. InvalidInput, UniquenessError: its name
    or its key cannot be; the token can still be used.
    """
    async with connection.transaction():
        enrolment = await (await connection.execute(LOCK, (token_digest,))).fetchone()
        if enrolment is None or not await _is_open_to(connection, enrolment, applicant):
            # One answer for both: who guesses does not learn which tokens there were.
            raise Unauthorized("the token is not known, or was used by another machine: a new one is needed")
        host_id = enrolment["host_id"] or await _admit(connection, enrolment, applicant)
        row = await (await connection.execute(ENROLLED, (host_id,))).fetchone()
    assert row is not None
    return Enrolled(**row)


async def _is_open_to(connection: Connection, enrolment: DictRow, applicant: Applicant) -> bool:
    """Asked under the lock: whoever held it before has let its host in."""
    return enrolment["host_id"] is None or enrolment["host_id"] == await host_of_key(connection, applicant.key_digest)


async def _admit(connection: Connection, enrolment: DictRow, applicant: Applicant) -> int:
    if enrolment["ended"]:
        raise Unauthorized("the token has expired: a new one is needed")
    name = enrolment["name"] or applicant.name
    if problem := host_name_problem(name):
        raise InvalidInput.field("name", problem)
    values = {**enrolment, **asdict(applicant), "name": name}
    row = None
    try:
        while row is None:
            row = await (await connection.execute(ADMIT, values)).fetchone()
    except UniqueViolation as violation:
        raise already_there(violation, name) from violation
    await connection.execute("UPDATE enrolments SET host_id = %s WHERE id = %s", (row["id"], enrolment["id"]))
    return int(row["id"])


async def _free(connection: Connection, name: str) -> None:
    found = await connection.execute("SELECT FROM hosts WHERE name = %s", (name,))
    if found.rowcount:
        raise UniquenessError.of("name", f"another host is called {name}")
