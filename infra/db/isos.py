"""ISO images: what a server may be booted from besides its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psycopg import sql
from psycopg.rows import DictRow

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.terms import deprecation_of
from infra.domain.errors import NotFound
from infra.domain.terms import Deprecation

SELECT = sql.SQL("SELECT * FROM isos")
SORTABLE = {column: sql.Identifier(column) for column in ("id", "name")}


@dataclass(frozen=True, slots=True)
class Iso:
    """``architecture`` None: not known, so it may fit any."""

    id: int
    name: str
    description: str
    type: Literal["public", "private"]
    architecture: Literal["x86", "arm"] | None
    deprecation: Deprecation | None


@dataclass(frozen=True, slots=True)
class IsoFilter:
    """``wildcard``: those of no known architecture fit ``architectures`` too."""

    name: str | None = None
    architectures: tuple[str, ...] = ()
    wildcard: bool = False


async def get(connection: Connection, iso_id: int) -> Iso:
    row = await (await connection.execute("SELECT * FROM isos WHERE id = %s", (iso_id,))).fetchone()
    if row is None:
        raise NotFound.of("ISO", iso_id)
    return _iso(row)


async def find_all(connection: Connection, wanted: IsoFilter, window: Window) -> Found[Iso]:
    tests: list[sql.Composable] = []
    if wanted.name is not None:
        tests.append(sql.SQL("name = %(name)s"))
    if wanted.architectures:
        fits = sql.SQL("architecture = ANY(%(architectures)s)")
        tests.append(sql.SQL("({} OR architecture IS NULL)").format(fits) if wanted.wildcard else fits)
    params = {"name": wanted.name, "architectures": list(wanted.architectures)}
    return await find(connection, SELECT, sql.SQL("isos"), tests, window, SORTABLE, _iso, params)


def _iso(row: DictRow) -> Iso:
    own = {column: row[column] for column in ("id", "name", "description", "type", "architecture")}
    return Iso(**own, deprecation=deprecation_of(row))
