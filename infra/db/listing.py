"""Lists: filtered, sorted, paged and counted. A list that fits on its first page is not counted twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from psycopg import sql
from psycopg.rows import DictRow

from infra.db.pool import Connection
from infra.domain.errors import InvalidInput

T = TypeVar("T")
NOTHING = sql.SQL("true")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list. ``sort``: (column of the wire, descending), the first one weighing most."""

    page: int = 1
    per_page: int = 25
    sort: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """One page, and how many there are on all of them."""

    items: list[T]
    total: int


def where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" AND ").join(conditions) if conditions else NOTHING


async def find(
    connection: Connection,
    select: sql.Composable,
    source: sql.Composable,
    conditions: Sequence[sql.Composable],
    window: Window,
    columns: Mapping[str, sql.Composable],
    build: Callable[[DictRow], T],
    params: Mapping[str, Any] | None = None,
) -> Found[T]:
    """The window of what ``select WHERE conditions`` finds. ``columns``: what may be sorted by; ``id`` breaks ties.

    ``source``: the part of its FROM that the conditions speak of. The page is found there, and then told in full: what
    the rest of ``select`` joins is looked up for a page's rows only, however many match.
    """
    matching = sql.SQL("FROM {} WHERE {}").format(source, where(conditions))
    order = sql.SQL(", ").join([*_order(window, columns), columns["id"]])
    page = sql.SQL("SELECT {} {} ORDER BY {} LIMIT {} OFFSET {}").format(
        columns["id"], matching, order, sql.Literal(window.per_page), sql.Literal((window.page - 1) * window.per_page)
    )
    told = sql.SQL("{} WHERE {} IN ({}) ORDER BY {}").format(select, columns["id"], page, order)
    rows = await (await connection.execute(told, params)).fetchall()
    if window.page == 1 and len(rows) < window.per_page:
        return Found([build(row) for row in rows], len(rows))
    count = sql.SQL("SELECT count(*) AS total {}").format(matching)
    total = await (await connection.execute(count, params)).fetchone()
    return Found([build(row) for row in rows], int(total["total"]) if total else 0)


def _order(window: Window, columns: Mapping[str, sql.Composable]) -> list[sql.Composable]:
    unknown = [field for field, _ in window.sort if field not in columns]
    if unknown:
        raise InvalidInput.field("sort", f"{unknown[0]!r} is none of {', '.join(columns)}")
    return [columns[field] + sql.SQL(" DESC" if down else " ASC") for field, down in window.sort]
