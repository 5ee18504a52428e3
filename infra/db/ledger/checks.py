"""How a check is written: a kind, its words, what it is about, and the rows for which it is true.

Every check is one SELECT of the same columns, so that all of them are asked in one statement and see one moment.
"""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = {
    "subject": "text",
    "location_id": "bigint",
    "server_id": "bigint",
    "host_id": "bigint",
    "since": "timestamptz",
    "pending": "boolean",
}
"""``subject`` tells it from others of its kind; NULL: its server and its host do. ``location_id`` NULL: it is about the
books as a whole. ``since`` NULL: the books do not say. ``pending``: it waits for a host that is silent."""


@dataclass(frozen=True, slots=True)
class Check:
    """``kind`` is the label of the metric, too."""

    kind: str
    sql: str


def check(kind: str, text: str, rows: str, **about: str) -> Check:
    """``text`` and ``about`` are SQL expressions over the FROM clause ``rows``."""
    told = ", ".join(f"({about.pop(name, 'NULL')})::{type_} AS {name}" for name, type_ in COLUMNS.items())
    assert not about, f"no such columns: {about}"
    return Check(kind, f"SELECT '{kind}' AS kind, {text} AS text, {told} FROM {rows}")


def last_ended(server_id: str) -> str:
    """When the last operation on a server ended: with a server that is gone, when it went."""
    return f"SELECT max(finished) FROM actions WHERE actions.server_id = {server_id}"
