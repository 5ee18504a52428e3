"""SSH keys of a project: public halves only. Names and fingerprints are unique in a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.selectors import conditions
from infra.domain.errors import NotFound, UniquenessError
from infra.domain.labels import Selector
from infra.domain.ssh_public_key import SshPublicKey

COLUMNS = sql.SQL("id, name, fingerprint, public_key, labels, created")
SELECT = sql.SQL("SELECT {} FROM ssh_keys").format(COLUMNS)
SORTABLE = {"id": sql.SQL("id"), "name": sql.SQL("name")}


@dataclass(frozen=True, slots=True)
class SshKey:
    id: int
    name: str
    fingerprint: str
    public_key: str
    labels: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class SshKeyFilter:
    project_id: int
    name: str | None = None
    fingerprint: str | None = None
    labels: Selector = ()


async def create(
    connection: Connection, project_id: int, name: str, key: SshPublicKey, labels: dict[str, str]
) -> SshKey:
    """UniquenessError names the field that another key of the project has already."""
    insert = sql.SQL(
        "INSERT INTO ssh_keys (project_id, name, fingerprint, public_key, labels)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING {}"
    ).format(COLUMNS)
    try:
        found = await connection.execute(insert, (project_id, name, key.fingerprint, key.line, Jsonb(labels)))
    except errors.UniqueViolation as cause:
        raise _taken(cause) from cause
    row = await found.fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    return SshKey(**row)


async def get(connection: Connection, project_id: int, key_id: int) -> SshKey:
    query = sql.SQL("{} WHERE id = %s AND project_id = %s").format(SELECT)
    row = await (await connection.execute(query, (key_id, project_id))).fetchone()
    if row is None:
        raise NotFound(f"SSH key with ID '{key_id}' not found")
    return SshKey(**row)


async def find_all(connection: Connection, wanted: SshKeyFilter, window: Window) -> Found[SshKey]:
    tests: list[sql.Composable] = [sql.SQL("project_id = %(project)s")]
    if wanted.name is not None:
        tests.append(sql.SQL("name = %(name)s"))
    if wanted.fingerprint is not None:
        tests.append(sql.SQL("fingerprint = %(fingerprint)s"))
    tests += conditions(wanted.labels, sql.SQL("labels"))
    params = {"project": wanted.project_id, "name": wanted.name, "fingerprint": wanted.fingerprint}
    return await find(
        connection, SELECT, sql.SQL("ssh_keys"), tests, window, SORTABLE, lambda row: SshKey(**row), params
    )


async def update(
    connection: Connection, project_id: int, key_id: int, name: str | None, labels: dict[str, str] | None
) -> SshKey:
    """None keeps what is there; labels replace the whole map."""
    change = sql.SQL(
        "UPDATE ssh_keys SET name = coalesce(%s, name), labels = coalesce(%s, labels)"
        " WHERE id = %s AND project_id = %s RETURNING {}"
    ).format(COLUMNS)
    new_labels = Jsonb(labels) if labels is not None else None
    try:
        row = await (await connection.execute(change, (name, new_labels, key_id, project_id))).fetchone()
    except errors.UniqueViolation as cause:
        raise _taken(cause) from cause
    if row is None:
        raise NotFound(f"SSH key with ID '{key_id}' not found")
    return SshKey(**row)


async def delete(connection: Connection, project_id: int, key_id: int) -> None:
    """Servers that were ordered with it keep it."""
    done = await connection.execute("DELETE FROM ssh_keys WHERE id = %s AND project_id = %s", (key_id, project_id))
    if done.rowcount == 0:
        raise NotFound(f"SSH key with ID '{key_id}' not found")


async def lines_of(connection: Connection, project_id: int, asked: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """The public key lines that ids or names stand for, in that order, and what was asked for and is not there."""
    names = [one for one in asked if isinstance(one, str)]
    ids = [int(one) for one in asked if isinstance(one, int) or (one.isascii() and one.isdecimal() and len(one) < 19)]
    found = await connection.execute(
        "SELECT id, name, public_key FROM ssh_keys WHERE project_id = %s AND (id = ANY(%s) OR name = ANY(%s))",
        (project_id, ids, names),
    )
    rows = await found.fetchall()
    # A name wins over an id that reads the same.
    lines: dict[int | str, str] = {row["id"]: row["public_key"] for row in rows}
    lines |= {str(row["id"]): row["public_key"] for row in rows}
    lines |= {row["name"]: row["public_key"] for row in rows}
    missing = [str(one) for one in asked if one not in lines]
    return list(dict.fromkeys(lines[one] for one in asked if one in lines)), missing


async def all_lines(connection: Connection, project_id: int) -> list[str]:
    """Every public key of the project: what a server gets that is ordered with none."""
    found = await connection.execute("SELECT public_key FROM ssh_keys WHERE project_id = %s ORDER BY id", (project_id,))
    return [row["public_key"] for row in await found.fetchall()]


def _taken(cause: errors.UniqueViolation) -> UniquenessError:
    if "fingerprint" in (cause.diag.constraint_name or ""):
        return UniquenessError.of("public_key", "SSH key with the same fingerprint already exists")
    return UniquenessError.of("name")
