"""API keys and host keys: shown once, kept only as HMAC-SHA256 under the server's secret; users and projects with them.

A key is 64 random characters (381 bits), so the digest needs no salt and no slow hash: nobody can try them all, and one
indexed look-up finds the row without comparing the key itself.
"""

from __future__ import annotations

import hmac
import os
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import LiteralString

from infra.config import Settings
from infra.db.pool import Connection
from infra.domain.errors import NotFound

ALPHABET = string.ascii_letters + string.digits
KEY_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the key says."""

    key_id: int
    user_id: int
    project_id: int
    read_only: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it can be listed: without the key."""

    id: int
    name: str
    user: str
    project: str
    read_only: bool
    created: datetime
    revoked: datetime | None


def server_secret(settings: Settings) -> bytes:
    """The secret of this installation: the setting, or a file in ``state`` that the first process to ask makes."""
    if settings.api_secret:
        return settings.api_secret.encode()
    path = settings.state / "api-secret"
    if not path.exists():
        _make_secret(path)
    return path.read_bytes()


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(32).encode())
    try:
        os.link(fresh, path)  # of two processes that start together, one wins and both read the same
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def digest_of(secret: bytes, key: str) -> bytes:
    return hmac.digest(secret, key.encode("utf-8", "surrogateescape"), "sha256")


def new_key() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(KEY_LENGTH))


async def ensure_user(connection: Connection, name: str) -> int:
    """The user of that name, made together with its quota if there is none."""
    return await _ensure(connection, "users", "user", name)


async def ensure_project(connection: Connection, name: str) -> int:
    """The project of that name, made together with its quota if there is none."""
    return await _ensure(connection, "projects", "project", name)


async def make_key(
    connection: Connection, secret: bytes, *, user: str, project: str, name: str, read_only: bool = False
) -> str:
    """A new key for ``user`` in ``project``, both made when they are missing. What is returned is shown once."""
    key = new_key()
    async with connection.transaction():
        user_id, project_id = await ensure_user(connection, user), await ensure_project(connection, project)
        await connection.execute(
            "INSERT INTO api_keys (digest, name, user_id, project_id, read_only) VALUES (%s, %s, %s, %s, %s)",
            (digest_of(secret, key), name, user_id, project_id, read_only),
        )
    return key


async def caller_of(connection: Connection, digest: bytes) -> Caller | None:
    """Whose key this is; None for one that never was, is revoked or has expired."""
    found = await connection.execute(
        "SELECT id, user_id, project_id, read_only FROM api_keys"
        " WHERE digest = %s AND revoked IS NULL AND (expires IS NULL OR expires > now())",
        (digest,),
    )
    row = await found.fetchone()
    return Caller(row["id"], row["user_id"], row["project_id"], row["read_only"]) if row else None


async def list_keys(connection: Connection) -> list[ApiKey]:
    found = await connection.execute(
        "SELECT k.id, k.name, u.name AS user, p.name AS project, k.read_only, k.created, k.revoked"
        " FROM api_keys k JOIN users u ON u.id = k.user_id JOIN projects p ON p.id = k.project_id ORDER BY k.id"
    )
    return [ApiKey(**row) for row in await found.fetchall()]


async def revoke_key(connection: Connection, key_id: int) -> None:
    """The key is refused from now on; again at will."""
    done = await connection.execute("UPDATE api_keys SET revoked = coalesce(revoked, now()) WHERE id = %s", (key_id,))
    if done.rowcount == 0:
        raise NotFound(f"there is no key {key_id}")


async def _ensure(connection: Connection, table: LiteralString, scope: str, name: str) -> int:
    async with connection.transaction():
        await connection.execute(f"INSERT INTO {table} (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", (name,))
        found = await connection.execute(f"SELECT id FROM {table} WHERE name = %s", (name,))
        row = await found.fetchone()
        assert row is not None, "users and projects are never deleted"
        await connection.execute(
            "INSERT INTO quotas (scope, subject_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (scope, row["id"])
        )
        return int(row["id"])
