"""Reports: what ten thousand hosts cost PostgreSQL that report every half minute, through the books' own code.

Open loop: a report is written when its time has come. Each says other loads than the one before, one in fifty also
that a server has come or gone. What of the processor's time is PostgreSQL's is read off its processes, those that have
ended included, since vacuum runs in such. Beside it the same reports through the API, at a pace that one process keeps.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import httpx
import psutil

from infra.catalog.default import ensure_catalogue
from infra.db import hosts, keys
from infra.db.hosts import NewHost
from infra.db.pool import Connection, open_pool
from infra.db.reports import record_report
from infra.domain.models import PARTS, HostReport, Link
from tests.bench import machine
from tests.bench.desk import furnish
from tests.bench.stack import Bench

EVERY = 30.0
RATE = 10_000 / EVERY
SERVERS = 20  # on each host
MOVES = 50  # of so many reports one says that a server has come or gone
TABLES = ("hosts", "host_details", "host_holdings")
API_PACE = 150.0  # reports a second

Tell = Callable[[HostReport], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cost:
    """``cores``: processors that PostgreSQL kept busy; ``idle_cores``: with nobody reporting. ``wal``: bytes a second.
    ``kib``: by table, with its indexes, after each round. ``through_api``: processors' milliseconds a report, by
    process."""

    load: tuple[float, float]
    hosts: int
    per_second: float
    cores: float
    idle_cores: float
    wal: float
    kib: Mapping[str, Sequence[int]]
    through_api: Mapping[str, float]


async def measure(bench: Bench, size: int, rounds: int, seconds: float) -> Cost:
    """``rounds``: how often each host reports. ``seconds``: through the API, and of silence before."""
    before, postgres = machine.load(), _pid(bench, "postgres")
    async with open_pool(bench.scratch_url, 4, "puchify-bench") as pool, pool.connection() as connection:
        await furnish(connection, location := f"reporting-{size}", size)
        ids = await _ids(connection, location)
        said = Sayings()

        async def tell(report: HostReport) -> None:
            async with pool.connection() as theirs:
                await record_report(theirs, report)

        for host_id in ids:
            await tell(said.next(host_id))  # the first report of each writes all that it says
        idle = spent(postgres)
        await asyncio.sleep(seconds)
        idle_cores = (spent(postgres) - idle) / seconds
        kib = [await _sizes(connection)]
        began, cpu, wal = time.monotonic(), spent(postgres), await _wal(connection)
        for _ in range(rounds):
            await paced(tell, [said.next(host_id) for host_id in ids], RATE)
            kib.append(await _sizes(connection))
        took = time.monotonic() - began
        cost = Cost(
            load=(before, machine.load()),
            hosts=size,
            per_second=round(rounds * len(ids) / took, 1),
            cores=round((spent(postgres) - cpu) / took, 4),
            idle_cores=round(idle_cores, 4),
            wal=round((await _wal(connection) - wal) / took),
            kib={table: [sizes[table] for sizes in kib] for table in TABLES},
            through_api=await through_api(bench, seconds),
        )
        await connection.execute("DELETE FROM hosts WHERE id = ANY(%s)", (ids,))
    return cost


async def through_api(bench: Bench, seconds: float) -> dict[str, float]:
    """Of one host that says something else each time, as any of them would."""
    pids = {name: _pid(bench, name) for name in ("postgres", "api")}
    async with _host_of(bench) as tell:
        said, count = Sayings(), round(API_PACE * seconds)
        await tell(said.next(1))
        before = {name: spent(pid) for name, pid in pids.items()}
        await paced(tell, [said.next(1) for _ in range(count)], API_PACE)
        return {name: round(1000 * (spent(pid) - before[name]) / count, 3) for name, pid in pids.items()}


class Sayings:
    """Reports as hosts send them: loads of the moment, and the rest as it was, or nearly."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def next(self, host_id: int) -> HostReport:
        chance = self._random
        first = host_id * 1_000
        servers = range(first, first + SERVERS + (chance.randrange(MOVES) == 0))
        return HostReport(
            host_id,
            64,
            262_144,
            4_000,
            free_memory_mib=chance.randrange(262_144),
            free_disk_gib=chance.randrange(4_000),
            cpu_busy=chance.random(),
            io_wait=chance.random(),
            net_saturation=chance.random(),
            facts={
                "memory_total_mib": 264_192,
                "disk_total_gib": 4_266,
                "disk_promised_gib": 40 * len(servers),
                "kvm": True,
                "versions": dict.fromkeys(("puchify", "python", "kernel", "libvirt", "qemu"), "10.11.12"),
            },
            images=[f"{number:064x}" for number in range(8)],
            links={"eth0": Link(10_000, 0.04 * chance.random(), 0.04 * chance.random())},
            holds={server_id: list(PARTS) for server_id in servers},
            states=dict.fromkeys(servers, "running"),
            heard={server_id: EVERY * chance.random() for server_id in servers},
        )


async def paced(tell: Tell, reports: Sequence[HostReport], per_second: float) -> None:
    began, under_way = time.monotonic(), set[asyncio.Task[None]]()
    for number, report in enumerate(reports):
        await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
        task = asyncio.ensure_future(tell(report))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


def spent(pid: int) -> float:
    """Seconds of processors that a process and all that it has started have had, those that have ended included."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            theirs = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += theirs.user + theirs.system
    return float(seconds)


def _pid(bench: Bench, name: str) -> int:
    return int((bench.pids / f"{name}.pid").read_text().split()[0])


@asynccontextmanager
async def _host_of(bench: Bench) -> AsyncIterator[Tell]:
    """A host in the stack's own books, in a location of its own, that tells the API."""
    key = "bench".ljust(64, "x")
    digest = keys.digest_of(keys.server_secret(bench.settings), key)
    async with open_pool(bench.settings.database_url, 2) as pool, pool.connection() as connection:
        location_id = await ensure_catalogue(connection, "reporting")
        row = await (await connection.execute("SELECT nextval('hosts_id_seq') AS id")).fetchone()
        assert row is not None
        await hosts.register_host(connection, NewHost(row["id"], "reporting", location_id, digest))
        async with httpx.AsyncClient(
            base_url=f"{bench.settings.internal_url}/internal/v1/hosts/{row['id']}",
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=30,
        ) as http:

            async def tell(report: HostReport) -> None:
                (await http.post("/report", json=asdict(report))).raise_for_status()

            yield tell
        await connection.execute("DELETE FROM hosts WHERE id = %s", (row["id"],))


async def _ids(connection: Connection, location: str) -> list[int]:
    found = await connection.execute(
        "SELECT h.id FROM hosts h JOIN locations l ON l.id = h.location_id WHERE l.name = %s ORDER BY h.id", (location,)
    )
    return [row["id"] for row in await found.fetchall()]


async def _sizes(connection: Connection) -> dict[str, int]:
    query = "SELECT t, pg_total_relation_size(t::regclass) / 1024 AS kib FROM unnest(%s::text[]) t"
    found = await connection.execute(query, (list(TABLES),))
    return {row["t"]: row["kib"] for row in await found.fetchall()}


async def _wal(connection: Connection) -> int:
    row = await (await connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint AS bytes")).fetchone()
    assert row is not None
    return int(row["bytes"])
