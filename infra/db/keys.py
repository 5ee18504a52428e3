"""API keys and host keys: shown once, kept only as HMAC-SHA256 under the server's secret.

A key is 64 random characters (381 bits), so the digest needs no salt and no slow hash: nobody can try them all, and one
indexed look-up finds the row without comparing the key itself.
"""

from __future__ import annotations

import hmac
import os
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from infra.config import Settings
from infra.db.pool import Connection
from infra.db.principals import ensure_project, ensure_user
from infra.domain.errors import Conflict, InvalidInput, NotFound
from infra.domain.names import title_problem

LOCK = """
SELECT revoked IS NOT NULL OR coalesce(expires <= now(), false) AS ended FROM api_keys WHERE id = %s FOR UPDATE
"""
SUCCEED = """
INSERT INTO api_keys (digest, name, user_id, project_id, read_only, expires, replaces)
SELECT %(digest)s, name, user_id, project_id, read_only, now() + (expires - created), id
FROM api_keys WHERE id = %(id)s
RETURNING id, expires
"""
END = """
UPDATE api_keys SET expires = least(expires, now() + %(overlap)s) WHERE id = %(id)s RETURNING expires
"""

ALPHABET = string.ascii_letters + string.digits
KEY_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the key says."""

    user_id: int
    project_id: int
    read_only: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it can be listed: without the key. ``last_used``: to the minute. ``replaces``: the key it succeeded."""

    id: int
    name: str
    user: str
    project: str
    read_only: bool
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None
    replaces: int | None


@dataclass(frozen=True, slots=True)
class Rotated:
    """``key`` is shown once; the old one is good until ``old_expires``."""

    id: int
    key: str
    expires: datetime | None
    old_expires: datetime


def server_secret(settings: Settings) -> bytes:
    """The secret of this installation: the setting, or a file in ``state`` that the first process to ask makes."""
    if settings.api_secret:
        return settings.api_secret.encode()
    path = settings.state / "api-secret"
    if not path.exists():
        make_secret(path, secrets.token_hex(32))
    return path.read_bytes()


def make_secret(path: Path, secret: str) -> None:
    """A file that its owner alone reads, and that stays as the first process wrote it, also when the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret.encode())
        file.flush()
        os.fsync(descriptor)
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


async def make_key(
    connection: Connection,
    secret: bytes,
    *,
    user: str,
    project: str,
    name: str,
    read_only: bool = False,
    expires: datetime | None = None,
) -> str:
    """A new key for ``user`` in ``project``, both made when they are missing. What is returned is shown once."""
    if problem := title_problem(name):
        raise InvalidInput.field("name", problem)
    key = new_key()
    async with connection.transaction():
        user_id, project_id = await ensure_user(connection, user), await ensure_project(connection, project)
        await connection.execute(
            "INSERT INTO api_keys (digest, name, user_id, project_id, read_only, expires)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (digest_of(secret, key), name, user_id, project_id, read_only, expires),
        )
    return key


async def caller_of(connection: Connection, digest: bytes) -> Caller | None:
    """Whose key this is; None for one that never was, is revoked or has expired."""
    found = await connection.execute(
        "SELECT user_id, project_id, read_only FROM api_keys"
        " WHERE digest = %s AND revoked IS NULL AND (expires IS NULL OR expires > now())",
        (digest,),
    )
    row = await found.fetchone()
    return Caller(row["user_id"], row["project_id"], row["read_only"]) if row else None


async def list_keys(connection: Connection) -> list[ApiKey]:
    found = await connection.execute(
        "SELECT k.id, k.name, u.name AS user, p.name AS project, k.read_only, k.created, k.expires, k.last_used,"
        " k.revoked, k.replaces"
        " FROM api_keys k JOIN users u ON u.id = k.user_id JOIN projects p ON p.id = k.project_id ORDER BY k.id"
    )
    return [ApiKey(**row) for row in await found.fetchall()]


async def revoke_key(connection: Connection, key_id: int) -> None:
    """The key is refused from now on; again at will."""
    done = await connection.execute("UPDATE api_keys SET revoked = coalesce(revoked, now()) WHERE id = %s", (key_id,))
    if done.rowcount == 0:
        raise NotFound(f"there is no key {key_id}")


async def rotate_key(connection: Connection, secret: bytes, key_id: int, overlap: timedelta) -> Rotated:
    """A new key with the rights of the old one, which is to live as long as that was made for; the old one is good for
    ``overlap`` more, or until its own end if that is earlier.

    NotFound. Conflict: it has ended, or it was rotated before; two keys never come of one.
    """
    async with connection.transaction():
        found = await connection.execute(LOCK, (key_id,))
        old = await found.fetchone()
        if old is None:
            raise NotFound(f"there is no key {key_id}")
        if old["ended"]:
            raise Conflict(f"key {key_id} has ended: make a new one")
        # Asked under the lock: whoever held it before has written the successor.
        found = await connection.execute("SELECT id FROM api_keys WHERE replaces = %s", (key_id,))
        if successor := await found.fetchone():
            raise Conflict(f"key {key_id} was rotated before: key {successor['id']} takes its place, rotate that one")
        key = new_key()
        row = await (await connection.execute(SUCCEED, {"id": key_id, "digest": digest_of(secret, key)})).fetchone()
        ending = await (await connection.execute(END, {"id": key_id, "overlap": overlap})).fetchone()
    assert row is not None
    assert ending is not None
    return Rotated(row["id"], key, row["expires"], ending["expires"])
