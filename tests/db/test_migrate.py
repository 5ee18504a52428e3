"""Migrations: applied once whoever comes at the same time, and refused when the history is another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from infra.db.cluster import PostgresCluster
from infra.db.migrate import FILES, Drift, Migration, load, migrate, pending


@pytest_asyncio.fixture
async def empty(postgres: PostgresCluster) -> AsyncIterator[str]:
    """The URL of a database that nobody has migrated."""
    await postgres.ensure_databases({"empty": "puchify"})
    yield postgres.url("empty")
    async with await psycopg.AsyncConnection.connect(postgres.url("puchify"), autocommit=True) as connection:
        await connection.execute("DROP DATABASE empty")  # WITH (FORCE) takes a superuser when autovacuum is at it


async def test_two_at_once_apply_each_migration_once(empty: str) -> None:
    first, second = await asyncio.gather(migrate(empty), migrate(empty))

    assert sorted([*first, *second]) == [migration.name for migration in load()]
    assert await migrate(empty) == []


async def test_a_file_that_was_applied_and_changed_is_refused(empty: str, tmp_path: Path) -> None:
    for file in FILES.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(empty, tmp_path)
    (tmp_path / "0001_spine.sql").write_text("SELECT 1")
    (tmp_path / "0099_next.sql").write_text("CREATE TABLE never ()")

    with pytest.raises(Drift, match="0001_spine was applied and has changed since"):
        await migrate(empty, tmp_path)

    async with await psycopg.AsyncConnection.connect(empty) as connection:
        found = await connection.execute("SELECT to_regclass('never')")
        assert await found.fetchone() == (None,)


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty: str, tmp_path: Path) -> None:
    (tmp_path / "0001_half.sql").write_text("CREATE TABLE half (); SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(empty, tmp_path)

    (tmp_path / "0001_half.sql").write_text("CREATE TABLE half ()")
    assert await migrate(empty, tmp_path) == ["0001_half"]


def test_every_difference_is_named_at_once() -> None:
    files = [Migration("0002_b", "new"), Migration("0004_d", "d")]
    applied = {"0002_b": "old", "0003_c": "c"}

    with pytest.raises(Drift) as drift:
        pending(files, applied)

    assert str(drift.value) == "0002_b was applied and has changed since; 0003_c was applied and is missing here"


def test_a_migration_before_one_that_was_applied_is_refused() -> None:
    second = Migration("0002_b", "b")
    with pytest.raises(Drift, match="0001_a comes before one that was applied"):
        pending([Migration("0001_a", "a"), second], {"0002_b": second.digest})
