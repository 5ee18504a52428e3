"""One PostgreSQL and one Temporal for all tests, real and durable; fresh databases and namespaces for the asking.

`postgres` and `temporal` are the running clusters; `database` is the URL of a migrated database of one's own,
`temporal_client` a client in the shared namespace, `task_queue` a name nobody else uses, `new_namespace` makes more.
`own_stack` is a second pair of clusters, for a test that kills them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from temporalio.client import Client

from infra.db import cluster as postgresql
from infra.db.cluster import PostgresCluster
from infra.db.migrate import migrate
from infra.runtime_dir import RuntimeDir
from infra.temporal.cluster import TemporalCluster
from infra.temporal.configure import Database, Ports, TemporalSettings
from infra.temporal.install import ensure_binaries
from tests.fix_netns import outside
from workers.processes import Process, Supervisor

TEMPLATE = "puchify_template"

NewDatabase = Callable[[], AbstractAsyncContextManager[str]]
NewNamespace = Callable[[], Awaitable[str]]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Temporal before the first test if it has to be: it takes minutes, which no test's time limit allows."""
    if session.config.option.collectonly:
        return
    if any({"temporal", "own_stack"} & set(getattr(item, "fixturenames", ())) for item in session.items):
        outside(lambda: ensure_binaries(lambda line: print(line, flush=True)))  # a build fetches its sources


@pytest.fixture(scope="session")
def stack_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared clusters keep their files and logs."""
    return tmp_path_factory.mktemp("stack")


@pytest_asyncio.fixture(scope="session")
async def stack_supervisor(stack_state: Path) -> AsyncIterator[Supervisor]:
    async with Supervisor(stack_state / "pids", print) as supervisor:
        yield supervisor


@pytest.fixture(scope="session")
def stack_runtime(stack_state: Path) -> RuntimeDir:
    return RuntimeDir(stack_state)


def postgres_process(cluster: PostgresCluster, log: Path) -> Process:
    return Process(
        name="postgres",
        argv=cluster.argv(),
        log_path=log,
        user=cluster.user,
        ready=cluster.ready,
        stop_signal=postgresql.STOP_SIGNAL,
        death_signal=postgresql.DEATH_SIGNAL,
    )


@pytest_asyncio.fixture(scope="session")
async def postgres(stack_state: Path, stack_runtime: RuntimeDir) -> AsyncIterator[PostgresCluster]:
    """The shared cluster. Its databases are for the asking: see `database`."""
    with stack_runtime as runtime:
        async with Supervisor(stack_state / "pids", print) as supervisor:
            yield await start_postgres(supervisor, runtime, stack_state)
    shutil.rmtree(stack_state / "postgres")  # a hundred megabytes, of no use to anybody now; the logs stay


async def start_postgres(supervisor: Supervisor, runtime: RuntimeDir, state: Path) -> PostgresCluster:
    cluster = PostgresCluster.within(runtime, state / "postgres")
    cluster.ensure_initialised()
    await supervisor.start(postgres_process(cluster, state / "postgres.log"))
    await cluster.ensure_databases({"puchify": "puchify"})
    return cluster


@pytest_asyncio.fixture(scope="session")
async def temporal(
    stack_state: Path, postgres: PostgresCluster, stack_supervisor: Supervisor
) -> AsyncIterator[TemporalCluster]:
    """The shared Temporal, with the namespace `puchify` and its search attributes."""
    yield await start_temporal(stack_supervisor, postgres, stack_state)
    await stack_supervisor.stop("temporal")


async def start_temporal(supervisor: Supervisor, postgres: PostgresCluster, state: Path) -> TemporalCluster:
    settings = TemporalSettings(
        state=state / "temporal",
        database=Database(host=str(postgres.sockets), port=postgres.port),
        ports=Ports.free(),
        dynamic={"system.namespaceCacheRefreshInterval": "200ms"},  # a new namespace is usable sooner
    )
    cluster = TemporalCluster(settings, ensure_binaries(print))
    await cluster.prepare()
    await supervisor.start(Process("temporal", cluster.server_argv(), state / "temporal.log", ready=cluster.ready))
    await cluster.furnish()
    return cluster


@dataclass(frozen=True, slots=True)
class Stack:
    """A PostgreSQL and a Temporal that a supervisor starts again when they die; ``books``: a migrated database."""

    supervisor: Supervisor
    postgres: PostgresCluster
    temporal: TemporalCluster
    books: str


@pytest_asyncio.fixture
async def own_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Clusters of the test's own, to be killed: nobody else's work goes down with them."""
    with RuntimeDir(tmp_path) as runtime:
        async with Supervisor(tmp_path / "pids", print) as supervisor:
            postgres = await start_postgres(supervisor, runtime, tmp_path)
            await migrate(postgres.url())
            temporal = await start_temporal(supervisor, postgres, tmp_path)
            yield Stack(supervisor, postgres, temporal, postgres.url())
    shutil.rmtree(tmp_path / "postgres")


@pytest_asyncio.fixture(scope="session")
async def temporal_client(temporal: TemporalCluster) -> Client:
    return await Client.connect(temporal.settings.address, namespace=temporal.settings.namespace)


@pytest.fixture
def task_queue(request: pytest.FixtureRequest) -> str:
    """A task queue of the test's own: the cheap way to share one Temporal."""
    return f"{request.node.name[:60]}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def new_namespace(temporal: TemporalCluster) -> NewNamespace:
    """`await new_namespace()`: a furnished namespace of one's own, where counting and listing see only one's own."""

    async def make() -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        await temporal.furnish(name)
        return name

    return make


@pytest_asyncio.fixture(scope="session")
async def new_database(postgres: PostgresCluster) -> NewDatabase:
    """`async with new_database() as url`: a migrated database, copied from a template, dropped afterwards."""
    await postgres.ensure_databases({TEMPLATE: "puchify"})
    await migrate(postgres.url(TEMPLATE))

    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        name = f"test_{uuid.uuid4().hex[:12]}"
        statements = "CREATE DATABASE {} TEMPLATE {} OWNER puchify STRATEGY file_copy", "DROP DATABASE {} WITH (FORCE)"
        create, drop = (sql.SQL(text).format(sql.Identifier(name), sql.Identifier(TEMPLATE)) for text in statements)
        await _as_superuser(postgres, create)
        try:
            yield postgres.url(name)
        finally:
            await _as_superuser(postgres, drop)

    return fresh


@pytest_asyncio.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[str]:
    """The URL of a migrated database of the test's own."""
    async with new_database() as url:
        yield url


async def _as_superuser(postgres: PostgresCluster, statement: sql.Composed) -> None:
    async with await psycopg.AsyncConnection.connect(
        postgres.url("postgres", postgresql.SUPERUSER), autocommit=True
    ) as admin:
        await admin.execute(statement)
