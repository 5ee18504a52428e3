"""PostgreSQL of our own: durable over restarts and kills, reachable by us, closed to everybody else."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from infra.db.cluster import PostgresCluster, PostgresError, find_bin
from infra.runtime_dir import RuntimeDir
from tests.fix_stack import NewDatabase, postgres_process
from workers.processes import Supervisor


@pytest_asyncio.fixture
async def own(tmp_path: Path) -> AsyncIterator[PostgresCluster]:
    """A cluster of the test's own, initialised, not running."""
    with RuntimeDir(tmp_path) as runtime:
        cluster = PostgresCluster.within(runtime, tmp_path / "postgres")
        assert cluster.ensure_initialised()
        yield cluster


async def test_data_outlives_a_restart_and_a_kill(own: PostgresCluster, tmp_path: Path) -> None:
    process = postgres_process(own, tmp_path / "log")
    async with Supervisor(tmp_path / "pids", print) as supervisor:
        await supervisor.start(process)
        await own.ensure_databases({"puchify": "puchify"})
        await _execute(own, "CREATE TABLE kept (n int)")
        await _execute(own, "INSERT INTO kept VALUES (1)")
    assert not own.ensure_initialised()
    async with Supervisor(tmp_path / "pids", print) as supervisor:
        await supervisor.start(process)
        await own.ensure_databases({"puchify": "puchify"})
        await _execute(own, "INSERT INTO kept VALUES (2)")
        os.kill(int((tmp_path / "pids" / "postgres.pid").read_text().split()[0]), signal.SIGKILL)
        await asyncio.sleep(0.1)
        await own.wait_ready(30)
        assert await _execute(own, "SELECT sum(n), count(*) FROM kept") == [(3, 2)]


async def test_it_takes_no_port_and_lets_nobody_else_in(postgres: PostgresCluster) -> None:
    assert await _execute(postgres, "SHOW listen_addresses") == [("",)]
    assert postgres.sockets.stat().st_mode & 0o777 == 0o710  # PowerDNS' own group may pass
    assert grp.getgrgid(postgres.sockets.stat().st_gid).gr_mem == []
    nobody = pwd.getpwnam("nobody")
    attempt = await asyncio.to_thread(
        subprocess.run,
        ["psql", postgres.url(), "-c", "SELECT 1"],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert "Permission denied" in attempt.stderr


async def test_the_lock_behind_the_gate_is_peer(postgres: PostgresCluster) -> None:
    """Were the socket's directory open, a role would still be had only by those who are mapped to it."""
    await _execute(postgres, "CREATE ROLE stranger LOGIN", role="postgres")
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        await psycopg.AsyncConnection.connect(postgres.url("puchify", "stranger"))
    await _execute(postgres, "DROP ROLE stranger", role="postgres")


async def test_it_is_durable(postgres: PostgresCluster) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await _execute(postgres, f"SHOW {setting}") == [("on",)]


async def test_a_killed_initdb_leaves_nothing_that_looks_like_a_cluster(tmp_path: Path) -> None:
    with RuntimeDir(tmp_path) as runtime:
        cluster = PostgresCluster.within(runtime, tmp_path / "postgres")
        (cluster.home / "data.new").mkdir()
        (cluster.home / "data.new" / "PG_VERSION").write_text("15")
        assert cluster.ensure_initialised()
        assert not (cluster.home / "data.new").exists()


async def test_each_database_is_its_own(new_database: NewDatabase) -> None:
    async with new_database() as one, new_database() as other:
        async with await psycopg.AsyncConnection.connect(one) as connection:
            await connection.execute("CREATE TABLE mine ()")
        async with await psycopg.AsyncConnection.connect(other) as connection:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("SELECT FROM mine")
            await connection.rollback()
            assert await (await connection.execute("SELECT FROM schema_migrations")).fetchall()


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresError, match="install the package postgresql-99"):
        find_bin("99")


async def _execute(cluster: PostgresCluster, statement: str, role: str = "puchify") -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(cluster.url("puchify", role), autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []
