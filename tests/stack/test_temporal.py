"""Temporal on our PostgreSQL: it runs workflows, survives a kill, is cheap to prepare again, and says what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from infra.db.cluster import PostgresCluster
from infra.temporal.cluster import TemporalCluster, TemporalError
from infra.temporal.configure import Database, Ports
from infra.temporal.schema import STORE, SchemaError, ensure_schemas
from tests.fix_stack import NewNamespace
from workers.processes import Process, Supervisor

SERVER_ID = SearchAttributeKey.for_keyword("ServerId")


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Doubling:
    def __init__(self) -> None:
        self.released = False

    @workflow.signal
    def release(self) -> None:
        self.released = True

    @workflow.run
    async def run(self, number: int) -> int:
        doubled = await workflow.execute_activity(double, number, start_to_close_timeout=timedelta(seconds=10))
        await workflow.wait_condition(lambda: self.released)
        return doubled


@workflow.defn(sandboxed=False)
class Nap:
    @workflow.run
    async def run(self) -> float:
        begun = workflow.now()
        await workflow.sleep(0.1)
        return (workflow.now() - begun).total_seconds()


def doubling(client: Client, task_queue: str) -> Worker:
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[Doubling],
        activities=[double],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


@pytest_asyncio.fixture
async def second(temporal: TemporalCluster, tmp_path: Path) -> AsyncIterator[tuple[TemporalCluster, Supervisor]]:
    """A Temporal of the test's own beside the shared one, in databases of its own, prepared but not running."""
    suffix = uuid.uuid4().hex[:8]
    database = replace(temporal.settings.database, store=f"temporal_{suffix}", visibility=f"visibility_{suffix}")
    settings = replace(temporal.settings, state=tmp_path / "temporal", database=database, ports=Ports.free())
    cluster = TemporalCluster(settings, temporal.binaries)
    await cluster.prepare()
    async with Supervisor(tmp_path / "pids", print) as supervisor:
        yield cluster, supervisor


async def test_a_workflow_runs(temporal_client: Client, task_queue: str) -> None:
    async with doubling(temporal_client, task_queue):
        handle = await temporal_client.start_workflow(Doubling.run, 21, id=task_queue, task_queue=task_queue)
        await handle.signal(Doubling.release)
        assert await handle.result() == 42


async def test_search_attributes_are_there_at_once(
    temporal: TemporalCluster, new_namespace: NewNamespace, task_queue: str
) -> None:
    client = await Client.connect(temporal.settings.address, namespace=await new_namespace())
    await client.start_workflow(
        Doubling.run,
        1,
        id=task_queue,
        task_queue=task_queue,
        search_attributes=TypedSearchAttributes([SearchAttributePair(SERVER_ID, "7")]),
    )
    deadline = time.monotonic() + 60
    while (await client.count_workflows("ServerId = '7' AND Phase IS NULL")).count != 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_doing_it_again_changes_nothing(temporal: TemporalCluster) -> None:
    assert not await ensure_schemas(temporal.settings.database, temporal.binaries.sql_tool)
    await temporal.furnish()


async def test_a_changed_retention_is_put_right(temporal: TemporalCluster, new_namespace: NewNamespace) -> None:
    name = await new_namespace()
    month = TemporalCluster(replace(temporal.settings, retention=timedelta(days=30)), temporal.binaries)
    await month.furnish(name)
    assert await month.retention(name) == timedelta(days=30)


async def test_a_killed_server_comes_back_and_goes_on(
    second: tuple[TemporalCluster, Supervisor], tmp_path: Path, task_queue: str
) -> None:
    cluster, supervisor = second
    server = Process("temporal", cluster.server_argv(), tmp_path / "temporal.log", ready=cluster.ready)
    await supervisor.start(server)
    await cluster.furnish()
    client = await Client.connect(cluster.settings.address, namespace=cluster.settings.namespace)
    async with doubling(client, task_queue):
        handle = await client.start_workflow(Doubling.run, 21, id=task_queue, task_queue=task_queue)
        os.kill(int((tmp_path / "pids" / "temporal.pid").read_text().split()[0]), signal.SIGKILL)
        await asyncio.sleep(0.5)
        await cluster.wait_healthy(30)
        await handle.signal(Doubling.release)
        assert await asyncio.wait_for(handle.result(), 60) == 42


async def test_operators_can_watch(temporal: TemporalCluster, tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "pids", print) as supervisor:
        await supervisor.start(Process("ui", temporal.ui_argv(), tmp_path / "log", ready=temporal.ui_ready))
        url = f"{temporal.settings.ui_url}/api/v1/namespaces/{temporal.settings.namespace}"
        request = urllib.request.Request(url, headers={"Origin": "http://elsewhere.example"})
        with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
            assert temporal.settings.namespace in answer.read().decode()
            assert answer.headers["Access-Control-Allow-Origin"] is None


async def test_a_taken_port_is_named(temporal: TemporalCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = replace(temporal.settings, ports=replace(Ports.free(), history=port))
        with pytest.raises(TemporalError, match=rf"port {port} \(history\): stop it, or choose other ports"):
            await TemporalCluster(settings, temporal.binaries).prepare()


async def test_a_port_that_does_not_fit_is_named(temporal: TemporalCluster) -> None:
    settings = replace(temporal.settings, ports=Ports.beginning_at(32_762))
    with pytest.raises(TemporalError, match=r"32768 \(matching_membership\).*: choose one below 32768"):
        await TemporalCluster(settings, temporal.binaries).prepare()


async def test_a_timer_is_not_rounded_up_to_a_second(temporal_client: Client, task_queue: str) -> None:
    async with Worker(temporal_client, task_queue=task_queue, workflows=[Nap]):
        nap = await temporal_client.execute_workflow(Nap.run, id=task_queue, task_queue=task_queue)
    assert nap < 0.7


async def test_an_interrupted_first_start_is_done_again(temporal: TemporalCluster, postgres: PostgresCluster) -> None:
    database = replace(temporal.settings.database, store=f"t_{uuid.uuid4().hex[:8]}", visibility="temporal_visibility")
    with pytest.raises(SchemaError, match="setup-schema"):
        await ensure_schemas(database, Path("/bin/false"))
    assert await ensure_schemas(database, temporal.binaries.sql_tool)
    assert not await ensure_schemas(database, temporal.binaries.sql_tool)


async def test_an_older_schema_is_brought_up_to_date(temporal: TemporalCluster, postgres: PostgresCluster) -> None:
    database = replace(temporal.settings.database, store=f"t_{uuid.uuid4().hex[:8]}")
    await postgres.ensure_databases({database.store: "temporal"})
    tool = [str(temporal.binaries.sql_tool), "--plugin", "postgres12_pgx", "--user", "temporal"]
    tool += ["--connect-attributes", f"host={postgres.sockets}", "--endpoint", "localhost", "--port", "5432"]
    tool += ["--database", database.store]
    for command in (["setup-schema", "-v", "0.0"], ["update-schema", "--schema-name", STORE.name, "-v", "1.17"]):
        await asyncio.to_thread(subprocess.run, [*tool, *command], check=True, capture_output=True)
    assert await ensure_schemas(database, temporal.binaries.sql_tool)
    assert not await ensure_schemas(database, temporal.binaries.sql_tool)


async def test_a_newer_schema_is_refused(temporal: TemporalCluster, postgres: PostgresCluster) -> None:
    database = replace(temporal.settings.database, store=f"t_{uuid.uuid4().hex[:8]}")
    await ensure_schemas(database, temporal.binaries.sql_tool)
    await _pretend(postgres, database, "1.99")
    with pytest.raises(SchemaError, match=r"has schema 1\.99, newer than 1\.19"):
        await ensure_schemas(database, temporal.binaries.sql_tool)


async def test_a_foreign_database_is_left_alone(temporal: TemporalCluster) -> None:
    database = replace(temporal.settings.database, store="puchify")
    with pytest.raises(SchemaError, match="exists but holds no Temporal schema"):
        await ensure_schemas(database, temporal.binaries.sql_tool)


async def test_a_database_server_that_is_away_is_named(temporal: TemporalCluster, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="does not let us in"):
        await ensure_schemas(Database(host=str(tmp_path)), temporal.binaries.sql_tool)


async def _pretend(postgres: PostgresCluster, database: Database, version: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url(database.store, database.user)) as connection:
        await connection.execute("UPDATE schema_version SET curr_version = %s", (version,))
