"""Migrations: plain SQL files applied in order, each in its own transaction, under an advisory lock, refused on drift.

A file that was applied may never change, and none may be missing: the books remember each one's sha256. Run by
``puchify db migrate`` and by ``puchify up``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from psycopg import AsyncConnection

FILES = Path(__file__).parent / "migrations"
LOCK = 0x70756368  # "puch": one migration at a time, whoever runs it

TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name    text PRIMARY KEY,
    digest  text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
)"""


class Drift(Exception):
    """What was applied and what is in the files are not the same history. The message names every difference."""


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Path = FILES) -> list[Migration]:
    return [Migration(path.stem, path.read_text()) for path in sorted(directory.glob("*.sql"))]


def pending(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Those still to do. ``applied``: digest by name. Drift unless what was applied is a prefix of the files."""
    known = {migration.name: migration.digest for migration in migrations}
    changed = [name for name, digest in applied.items() if known.get(name, digest) != digest]
    problems = [f"{name} was applied and has changed since" for name in changed]
    problems += [f"{name} was applied and is missing here" for name in applied if name not in known]
    todo = [migration for migration in migrations if migration.name not in applied]
    problems += [f"{m.name} comes before one that was applied" for m in todo if applied and m.name < max(applied)]
    if problems:
        raise Drift("; ".join(problems))
    return todo


async def migrate(url: str, directory: Path = FILES) -> list[str]:
    """Bring the books up to date; the names of the migrations applied. Drift is refused before anything is done."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            await connection.execute(TABLE)
            rows = await (await connection.execute("SELECT name, digest FROM schema_migrations")).fetchall()
            todo = pending(load(directory), dict(rows))
            for migration in todo:
                async with connection.transaction():
                    await connection.execute(migration.sql.encode())
                    await connection.execute(
                        "INSERT INTO schema_migrations (name, digest) VALUES (%s, %s)",
                        (migration.name, migration.digest),
                    )
            return [migration.name for migration in todo]
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
