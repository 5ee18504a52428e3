"""Named resources of a project: what networks, firewalls, load balancers and others have in common in the books.

Each is a table with ``id``, ``project_id``, ``name`` (unique in its project), ``labels`` and ``created``; most have
``protected``, which keeps them from being deleted. ``Kind`` says how one is read; what is special about it stands in
its own module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from psycopg import errors, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.selectors import conditions, hold
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import Selector
from infra.domain.refusals import Protected

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list's filter. ``among``: the values that a column may have; None or nothing there: any.

    ``more``: further conditions on the table's row ``r``, with their ``params``, and with what of the kind's own joins
    they speak of as well (``joined``).
    """

    project_id: int
    name: str | None = None
    labels: Selector = ()
    among: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    more: tuple[sql.Composable, ...] = ()
    params: Mapping[str, Any] | None = None
    joined: sql.Composable | None = None


EVERY = sql.SQL("true")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """``noun``: as messages call it. ``select``: the query up to WHERE, its own row called ``r``."""

    table: str
    noun: str
    select: sql.Composable
    build: Callable[[DictRow], T]
    sortable: tuple[str, ...] = ("id", "name", "created")
    protectable: bool = True

    async def get(self, connection: Connection, project_id: int, id: int) -> T:
        query = sql.SQL("{} WHERE r.id = %s AND r.project_id = %s").format(self.select)
        row = await (await connection.execute(query, (id, project_id))).fetchone()
        if row is None:
            raise self.unknown(id)
        return self.build(row)

    async def find_all(self, connection: Connection, wanted: Wanted, window: Window) -> Found[T]:
        tests: list[sql.Composable] = [sql.SQL("r.project_id = %(project)s"), *wanted.more]
        if wanted.name is not None:
            tests.append(sql.SQL("r.name = %(name)s"))
        tests += [
            sql.SQL("r.{} = ANY({})").format(sql.Identifier(column), sql.Placeholder(column))
            for column, values in wanted.among.items()
            if values
        ]
        tests += conditions(wanted.labels, sql.SQL("r.labels"))
        params = {"project": wanted.project_id, "name": wanted.name, **wanted.among, **(wanted.params or {})}
        source = sql.SQL("{} r {}").format(self._table, wanted.joined or sql.SQL(""))
        columns = {column: sql.SQL("r.") + sql.Identifier(column) for column in self.sortable}
        return await find(connection, self.select, source, tests, window, columns, self.build, params)

    async def insert(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """The new one's id. UniquenessError: the project has one of that name."""
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            self._table,
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        async with name_taken():
            row = await (await connection.execute(query, values)).fetchone()
        assert row is not None, "INSERT ... RETURNING returns a row or raises"
        return int(row["id"])

    async def keep_room(
        self, connection: Connection, project_id: int, most: int, counted: sql.Composable = EVERY
    ) -> None:
        """Until the transaction ends nobody else makes one in the project. QuotaExceeded: it has as many as it may.

        ``counted``: which of them the limit is for.
        """
        await hold(connection, project_id)
        query = sql.SQL("SELECT count(*) AS used FROM {} r WHERE project_id = %s AND ({})").format(self._table, counted)
        row = await (await connection.execute(query, (project_id,))).fetchone()
        used = row["used"] if row else 0
        if used >= most:
            limit = {"name": "project_limit", "resource": self.table, "limit": most, "used": used, "asked": 1}
            raise QuotaExceeded(f"a project has at most {most} {self.noun}s", {"limits": [limit]})

    async def update(
        self,
        connection: Connection,
        project_id: int,
        id: int,
        name: str | None,
        labels: dict[str, str] | None,
        **columns: Any,
    ) -> T:
        """None keeps what is there; labels replace the whole map. ``columns``: of the kind's own, by name."""
        values = {"name": name, "labels": Jsonb(labels) if labels is not None else None, **columns}
        change = sql.SQL("UPDATE {} SET {} WHERE id = %(id)s AND project_id = %(project_id)s").format(
            self._table,
            sql.SQL(", ").join(
                sql.SQL("{0} = coalesce({1}, {0})").format(sql.Identifier(column), sql.Placeholder(column))
                for column in values
            ),
        )
        async with name_taken():
            await connection.execute(change, {**values, "id": id, "project_id": project_id})
        return await self.get(connection, project_id, id)

    async def protect(self, connection: Connection, project_id: int, id: int, protected: bool | None) -> None:
        """None keeps it as it is."""
        change = sql.SQL("UPDATE {} SET protected = coalesce(%s, protected) WHERE id = %s AND project_id = %s").format(
            self._table
        )
        done = await connection.execute(change, (protected, id, project_id))
        if done.rowcount == 0:
            raise self.unknown(id)

    async def lock(self, connection: Connection, project_id: int, id: int) -> None:
        """Keep others from changing it until the transaction ends: what is checked then still holds when written."""
        query = sql.SQL("SELECT id FROM {} WHERE id = %s AND project_id = %s FOR UPDATE").format(self._table)
        if await (await connection.execute(query, (id, project_id))).fetchone() is None:
            raise self.unknown(id)

    async def locked(self, connection: Connection, project_id: int, id: int) -> T:
        """As it is and stays until the transaction ends."""
        await self.lock(connection, project_id, id)
        return await self.get(connection, project_id, id)

    async def delete(self, connection: Connection, project_id: int, id: int) -> None:
        """Protected; what hangs on it goes with it, or refuses by itself."""
        unprotected = sql.SQL(" AND NOT protected" if self.protectable else "")
        gone = sql.SQL("DELETE FROM {} WHERE id = %s AND project_id = %s{}").format(self._table, unprotected)
        if (await connection.execute(gone, (id, project_id))).rowcount:
            return
        query = sql.SQL("SELECT id FROM {} WHERE id = %s AND project_id = %s").format(self._table)
        if await (await connection.execute(query, (id, project_id))).fetchone():
            raise Protected(f"{self.noun} is delete protected")
        raise self.unknown(id)

    async def missing(self, connection: Connection, project_id: int, ids: Sequence[int]) -> list[int]:
        """Those of ``ids`` that the project does not have, in their order: what an order names wrongly."""
        query = sql.SQL("SELECT id FROM {} WHERE project_id = %s AND id = ANY(%s)").format(self._table)
        found = {row["id"] for row in await (await connection.execute(query, (project_id, list(ids)))).fetchall()}
        return [id for id in dict.fromkeys(ids) if id not in found]

    def unknown(self, id: int) -> NotFound:
        return NotFound.of(self.noun, id)

    @property
    def _table(self) -> sql.Identifier:
        return sql.Identifier(self.table)


@asynccontextmanager
async def name_taken() -> AsyncIterator[None]:
    """A unique name that is taken is the caller's to mend."""
    try:
        yield
    except errors.UniqueViolation as cause:
        raise UniquenessError.of("name") from cause
