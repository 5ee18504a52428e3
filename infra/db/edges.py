"""Edges in the books: who they are, when they last spoke, and which load balancers each of them serves.

A load balancer is given to a live edge of its location in one guarded write. When an edge falls silent, whoever speaks
next takes over, if it was not away itself: after an outage of the API all have been silent, and none is dead. The old
one drops what is not its own any more as soon as it reads its plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow

from infra.db.locations import find_location
from infra.db.pool import Connection
from infra.domain.edge_plan import Served
from infra.domain.errors import InvalidInput, NotFound, UniquenessError
from infra.domain.topology import host_name_problem

SILENT = timedelta(seconds=15)
"""After so long without a word an edge's load balancers are another's to take."""

REGISTER = """
INSERT INTO edges (id, name, location_id, key_digest)
VALUES (coalesce(%(id)s, nextval('edges_id_seq')), %(name)s, %(location_id)s, %(key_digest)s)
ON CONFLICT (id) DO UPDATE SET location_id = excluded.location_id, key_digest = excluded.key_digest
RETURNING id
"""

PASS_OVER = """
SELECT setval('edges_id_seq', %(id)s) FROM edges_id_seq WHERE last_value < %(id)s OR NOT is_called
"""

LIST = """
SELECT e.id, e.name, l.name AS location, extract(epoch FROM now() - e.reported)::float8 AS report_age_s, e.problems,
       e.differs IS NOT NULL AS differs,
       (SELECT count(*) FROM load_balancers b WHERE b.edge_id = e.id)::int AS load_balancers
FROM edges e JOIN locations l ON l.id = e.location_id ORDER BY e.id
"""

# By the hash of both, so that what one leaves behind is spread over all others, and whoever looks decides the same.
ASSIGN = """
WITH live AS MATERIALIZED (
    SELECT id FROM edges WHERE location_id = %(location_id)s AND reported > now() - %(silent)s
), orphans AS (
    SELECT b.id FROM load_balancers b
    WHERE b.location_id = %(location_id)s AND EXISTS (SELECT FROM live)
      AND NOT EXISTS (SELECT FROM live WHERE live.id = b.edge_id)
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE load_balancers b SET edge_epoch = edge_epoch + 1,
    edge_id = (SELECT live.id FROM live ORDER BY md5(format('%%s on %%s', b.id, live.id)) LIMIT 1)
FROM orphans WHERE orphans.id = b.id
"""

# Whether it was live before this report.
HEAR = """
WITH before AS (SELECT reported FROM edges WHERE id = %(id)s)
UPDATE edges SET reported = now(), digest = %(digest)s, problems = %(problems)s
WHERE id = %(id)s
RETURNING location_id, ((SELECT reported FROM before) > now() - %(silent)s) IS TRUE AS was_live
"""

DIFFERS = """
UPDATE edges SET differs = CASE WHEN %(same)s THEN NULL ELSE coalesce(differs, now()) END
WHERE id = %(id)s AND (differs IS NULL) IS DISTINCT FROM %(same)s
"""


@dataclass(frozen=True, slots=True)
class NewEdge:
    """``id`` None: the next one. ``key_digest``: HMAC-SHA256 of its key (infra.db.keys.digest_of)."""

    name: str
    location_id: int
    key_digest: bytes
    id: int | None = None


@dataclass(frozen=True, slots=True)
class ShownEdge:
    """``report_age_s`` None: it never reported. ``differs``: it does not serve what the books say by now."""

    id: int
    name: str
    location: str
    report_age_s: float | None
    problems: Sequence[str]
    differs: bool
    load_balancers: int

    @property
    def is_live(self) -> bool:
        return self.report_age_s is not None and self.report_age_s < SILENT.total_seconds()


async def register_edge(connection: Connection, edge: NewEdge) -> int:
    """Make it known, or give the one of that id a new key or location; its id. UniquenessError. InvalidInput."""
    if problem := host_name_problem(edge.name):
        raise InvalidInput.field("name", problem)
    values = {"id": edge.id, "name": edge.name, "location_id": edge.location_id, "key_digest": edge.key_digest}
    async with connection.transaction():
        try:
            row = await (await connection.execute(REGISTER, values)).fetchone()
        except UniqueViolation as violation:
            raise UniquenessError.of("name", f"another edge is called {edge.name}, or has this key") from violation
        assert row is not None, "INSERT ... RETURNING returns a row or raises"
        await connection.execute(PASS_OVER, {"id": row["id"]})
    return int(row["id"])


async def add_edge(connection: Connection, location: str, name: str, key_digest: bytes) -> int:
    """NotFound: no such location. UniquenessError, InvalidInput: the name."""
    return await register_edge(connection, NewEdge(name, await find_location(connection, location), key_digest))


async def list_edges(connection: Connection) -> list[ShownEdge]:
    return [ShownEdge(**row) for row in await (await connection.execute(LIST)).fetchall()]


async def remove_edge(connection: Connection, name: str) -> None:
    """By its name, or its id where no edge is named so; what it served is another's to take. NotFound."""
    async with connection.transaction():
        gone = await connection.execute("DELETE FROM edges WHERE name = %(e)s", {"e": name})
        if gone.rowcount == 0:
            gone = await connection.execute("DELETE FROM edges WHERE id::text = %(e)s", {"e": name})
        if gone.rowcount == 0:
            raise NotFound(f"there is no edge {name}")
        for row in await (await connection.execute("SELECT id FROM locations")).fetchall():
            await assign(connection, row["id"])


async def edge_of_key(connection: Connection, digest: bytes) -> int | None:
    row = await (await connection.execute("SELECT id FROM edges WHERE key_digest = %s", (digest,))).fetchone()
    return int(row["id"]) if row else None


async def assign(connection: Connection, location_id: int) -> None:
    """Give the location's load balancers that no live edge has to one each. None lives: they wait for one."""
    await connection.execute(ASSIGN, {"location_id": location_id, "silent": SILENT})


async def hear(connection: Connection, edge_id: int, served: Served) -> None:
    """It lives, and says what it serves; and takes over from those who are silent, unless it was so itself."""
    values = {"id": edge_id, "digest": served.digest, "problems": list(served.problems), "silent": SILENT}
    row: DictRow | None = await (await connection.execute(HEAR, values)).fetchone()
    if row and row["was_live"]:
        await assign(connection, row["location_id"])


async def compare(connection: Connection, edge_id: int, same: bool) -> None:
    """Whether it serves what the books say: since when it does not is remembered."""
    await connection.execute(DIFFERS, {"id": edge_id, "same": same})
