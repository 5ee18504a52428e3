"""Migrations: applied once whoever comes, and refused when files and books do not tell the same history."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import psycopg
import pytest

from infra.db.migrate import FILES, Drift, Migration, load, migrate, pending

FIRST = load()[0].name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The product's migrations, to be tampered with."""
    return Path(shutil.copytree(FILES, tmp_path / "migrations"))


async def empty(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")


async def tables(url: str) -> set[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in await found.fetchall()}


async def test_five_at_once_apply_each_file_once(database: str) -> None:
    await empty(database)

    applied = await asyncio.gather(*(migrate(database) for _ in range(5)))

    assert sorted(name for names in applied for name in names) == [migration.name for migration in load()]
    assert "servers" in await tables(database)


async def test_again_is_nothing(database: str) -> None:
    assert await migrate(database) == []


async def test_a_changed_file_is_refused_before_anything_is_done(database: str, files: Path) -> None:
    changed = files / f"{FIRST}.sql"
    changed.write_text(changed.read_text() + "\n-- a word too many\n")
    (files / "9999_new.sql").write_text("CREATE TABLE brand_new (id bigint)")

    with pytest.raises(Drift, match=f"{FIRST} was applied and has changed since"):
        await migrate(database, files)

    assert "brand_new" not in await tables(database)


async def test_a_missing_file_is_refused(database: str, files: Path) -> None:
    (files / f"{FIRST}.sql").unlink()

    with pytest.raises(Drift, match=f"{FIRST} was applied and is missing here"):
        await migrate(database, files)


async def test_a_file_that_fails_leaves_nothing_of_it(database: str, files: Path) -> None:
    (files / "9998_good.sql").write_text("CREATE TABLE good (id bigint)")
    (files / "9999_bad.sql").write_text("CREATE TABLE half (id bigint); SELECT nothing_of_this_name()")

    with pytest.raises(psycopg.errors.UndefinedFunction):
        await migrate(database, files)

    assert "good" in await tables(database)
    assert "half" not in await tables(database)
    (files / "9999_bad.sql").write_text("CREATE TABLE half (id bigint)")
    assert await migrate(database, files) == ["9999_bad"]


def test_a_file_that_slips_in_before_is_refused() -> None:
    files = [Migration("0001", "a"), Migration("0002", "b"), Migration("0003", "c")]

    with pytest.raises(Drift, match="0002 comes before one that was applied"):
        pending(files, {"0001": files[0].digest, "0003": files[2].digest})


def test_every_difference_is_named() -> None:
    with pytest.raises(Drift) as drift:
        pending([Migration("0001", "a")], {"0001": "other", "0002": "gone"})

    assert "0001" in str(drift.value)
    assert "0002" in str(drift.value)
