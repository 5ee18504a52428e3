"""What is measured: the stack of `puchify up`, and beside it the floor's two workers, each a process of its own.

Everything lies in a state directory of its own, on ports that nobody has, with the product's defaults but for what
would end a bench early: the quota, the rate limit and the rest of addresses.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from temporalio.client import Client

from infra.config import Settings
from infra.db.cluster import PostgresCluster
from infra.db.migrate import migrate
from infra.db.pool import open_pool
from infra.domain.models import Resources
from infra.drivers.simulated import Latencies, SimulatedHost
from infra.runtime_dir import RuntimeDir
from infra.temporal.configure import Ports
from infra.temporal.connect import connect
from tests.bench.floor_story import HOST_QUEUE, REGION_QUEUE
from workers.local import roles
from workers.local.place import environment
from workers.local.stack import Stack
from workers.processes import Process, Supervisor
from workers.progress import Teller

ROOM = Resources(cores=4_000, memory_mib=4_000_000, disk_gib=40_000)
"""Of the simulated host: whatever is created at a time."""
POOLS = ["10.64.0.0/16", "2001:db8:64::/48"]
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack at work. ``http`` carries a key of its project, ``client`` is as the product connects, ``bare_client``
    as the floor does. ``scratch_url``: migrated books that nobody works with, to fill with hosts. ``pids``: where the
    pid files of all processes are."""

    settings: Settings
    http: httpx.AsyncClient
    client: Client
    bare_client: Client
    scratch_url: str
    pids: Path


@asynccontextmanager
async def running(state: Path, host: str) -> AsyncIterator[Bench]:
    with compiled_once(state), RuntimeDir(state) as runtime:
        async with Supervisor(runtime.state / "pids", _say) as supervisor:
            stack = Stack(asked(state, host), runtime, supervisor, Teller(Console(file=sys.stderr, highlight=False)))
            try:
                _furnish_host(stack.settings)
                await stack.start()
                postgres = PostgresCluster(home=runtime.path / "postgres", sockets=runtime.path / "pg")
                await _start_floor(stack, supervisor)
                async with _bench(stack, postgres) as bench:
                    yield bench
            finally:
                for name in FLOOR_QUEUES:
                    await supervisor.stop(name)
                await stack.stop(asyncio.Event())


@contextmanager
def compiled_once(state: Path) -> Iterator[None]:
    """Let the processes keep their bytecode, as where Puchify is installed, whatever the environment says: a story's
    module is loaded anew for each story, and compiling it each time takes several milliseconds."""
    before = {name: os.environ.pop(name, None) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    os.environ["PYTHONPYCACHEPREFIX"] = str(state / "bytecode")
    try:
        yield
    finally:
        del os.environ["PYTHONPYCACHEPREFIX"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def asked(state: Path, host: str) -> Settings:
    temporal = Ports.free()
    return Settings(
        state=state,
        host="simulated" if host == "simulated" else "libvirt",
        temporal_address=f"127.0.0.1:{temporal.frontend}",
        temporal_ui=f"http://127.0.0.1:{free_port()}",
        api_port=free_port(),
        rate_limit=100_000,
        address_pools=POOLS,
        address_rest=0,
        timeout_factor=1.0,
    )


def _furnish_host(settings: Settings) -> None:
    if settings.host == "simulated":
        settings.host_path.mkdir(parents=True, exist_ok=True)
        SimulatedHost(settings.host_path / "simulated.sqlite", ROOM, Latencies.none()).close()


FLOOR_QUEUES = {"floor-region": REGION_QUEUE, "floor-host": HOST_QUEUE}


async def _start_floor(stack: Stack, supervisor: Supervisor) -> None:
    client = await connect(stack.settings)
    for name, queue in FLOOR_QUEUES.items():
        process = Process(
            name=name,
            argv=(sys.executable, "-m", "tests.bench.floor", name),
            log_path=stack.place.log(name),
            env={**environment(stack.settings, "region"), "PYTHONPATH": str(Path(__file__).parents[2])},
            ready=roles.polls(client, queue, stack.place.pid_file(name)),
        )
        await supervisor.start(process)


@asynccontextmanager
async def _bench(stack: Stack, postgres: PostgresCluster) -> AsyncIterator[Bench]:
    settings = stack.settings
    await postgres.ensure_databases({SCRATCH: "puchify"})
    await migrate(postgres.url(SCRATCH))
    await lift_limits(settings.database_url)
    bare = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    token = stack.place.token.read_text().strip()
    async with httpx.AsyncClient(
        base_url=f"{settings.internal_url}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=300,
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=200),
        trust_env=False,
    ) as http:
        yield Bench(settings, http, await connect(settings), bare, postgres.url(SCRATCH), stack.place.pids)


async def lift_limits(database_url: str) -> None:
    """A quota that no bench reaches."""
    async with open_pool(database_url, 2) as pool, pool.connection() as connection:
        await connection.execute(
            "UPDATE quotas SET max_servers = 100000, max_cores = 100000, max_memory_mib = 100000000,"
            " max_disk_gib = 100000000"
        )


def free_port() -> int:
    """Below those that the system hands out by itself, so that nobody gets it in the meantime."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
