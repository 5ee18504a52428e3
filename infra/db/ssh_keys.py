"""SSH keys of a project: public halves only. Names and fingerprints are unique in a project.

A key is kept as it was sent, since clients compare (Terraform reads it out of a file, to the newline at its end); what
is written into a guest is its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.errors import UniquenessError
from infra.domain.names import as_id
from infra.domain.ssh_public_key import parse

SELECT = sql.SQL("SELECT r.id, r.name, r.fingerprint, r.public_key, r.labels, r.created FROM ssh_keys r")


@dataclass(frozen=True, slots=True)
class SshKey:
    id: int
    name: str
    fingerprint: str
    public_key: str
    labels: dict[str, str]
    created: datetime


KIND = Kind("ssh_keys", "SSH key", SELECT, lambda row: SshKey(**row), sortable=("id", "name"), protectable=False)
"""Servers that were ordered with a key keep it when it is deleted."""


async def create(connection: Connection, project_id: int, name: str, public_key: str, labels: dict[str, str]) -> SshKey:
    """UniquenessError names the field that another key of the project has already. BadKey: it is none."""
    insert = (
        "INSERT INTO ssh_keys (project_id, name, fingerprint, public_key, labels) VALUES (%s, %s, %s, %s, %s)"
        " RETURNING id, name, fingerprint, public_key, labels, created"
    )
    try:
        found = await connection.execute(
            insert, (project_id, name, parse(public_key).fingerprint, public_key, Jsonb(labels))
        )
    except errors.UniqueViolation as cause:
        raise _taken(cause) from cause
    row = await found.fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    return SshKey(**row)


async def lines_of(connection: Connection, project_id: int, asked: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """The public key lines that ids or names stand for, in that order, and what was asked for and is not there."""
    names = [one for one in asked if isinstance(one, str)]
    ids = [id for id in map(as_id, asked) if id is not None]
    found = await connection.execute(
        "SELECT id, name, public_key FROM ssh_keys WHERE project_id = %s AND (id = ANY(%s) OR name = ANY(%s))",
        (project_id, ids, names),
    )
    rows = [(row["id"], row["name"], parse(row["public_key"]).line) for row in await found.fetchall()]
    # A name wins over an id that reads the same.
    lines: dict[int | str, str] = {id: line for id, _, line in rows}
    lines |= {str(id): line for id, _, line in rows}
    lines |= {name: line for _, name, line in rows}
    missing = [str(one) for one in asked if one not in lines]
    return list(dict.fromkeys(lines[one] for one in asked if one in lines)), missing


async def all_lines(connection: Connection, project_id: int) -> list[str]:
    """Every public key of the project: what a server gets that is ordered with none."""
    found = await connection.execute("SELECT public_key FROM ssh_keys WHERE project_id = %s ORDER BY id", (project_id,))
    return [parse(row["public_key"]).line for row in await found.fetchall()]


def _taken(cause: errors.UniqueViolation) -> UniquenessError:
    if "fingerprint" in (cause.diag.constraint_name or ""):
        return UniquenessError.of("public_key", "SSH key with the same fingerprint already exists")
    return UniquenessError.of("name")
