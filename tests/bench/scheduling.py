"""Placement: the decision and its claim, by one region worker and by eight at once, among few hosts and among many.

Each worker is a process with a table of hosts and connections of its own, as in a region; all the while hosts report as
often as they would. ``python -m tests.bench.scheduling URL LOCATION ...`` is one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from activities.placement import Placements
from infra.beside import beside
from infra.db.placement_inputs import Notes
from infra.db.pool import Connection, open_pool
from infra.db.warm_hosts import WarmHosts
from infra.domain.models import Image, PlacementRequest, Resources, ServerOrder
from tests.bench import machine
from tests.bench.desk import furnish, open_desk
from tests.bench.figures import Summary, summary, timed

SIZES = (100, 1_000, 10_000)
WORKERS = 8
PACE = 5.0
"""Placements a second of each of the eight: forty a second, or three million servers a day."""
TICK = 0.1
REPORT_EVERY = 30.0


@dataclass(frozen=True, slots=True)
class Placing:
    """``one``: back to back. ``eight``: each at its pace. ``flat_out``: eight back to back, which saturates a small
    machine: ``per_second`` is then what it can do, and ``flat_out`` how long each waits in the crowd."""

    load: tuple[float, float]
    hosts: int
    one: Summary
    eight: Summary
    flat_out: Summary
    per_second: float


async def measure(url: str, seconds: float, sizes: Sequence[int] = SIZES) -> list[Placing]:
    measured = []
    async with open_desk(url) as desk, desk.pool.connection() as connection:
        for size in sizes:
            before = machine.load()
            await furnish(connection, location := f"placing-{size}", size)
            await connection.execute("ANALYZE")  # as autovacuum does a minute after hosts have come
            async with reporting(connection, location, size):
                one = await at_work(desk.url, location, connection, 1, seconds, None)
                eight = await at_work(desk.url, location, connection, WORKERS, seconds, PACE)
                flat_out = await at_work(desk.url, location, connection, WORKERS, seconds, None)
            measured.append(
                Placing(
                    (before, machine.load()),
                    size,
                    summary(one),
                    summary(eight),
                    summary(flat_out),
                    round(len(flat_out) / seconds, 1),
                )
            )
    return measured


@asynccontextmanager
async def reporting(connection: Connection, location: str, hosts: int) -> AsyncIterator[None]:
    """Each host every thirty seconds, in turn; many in one statement, since what they cost is measured elsewhere."""
    report = (
        "UPDATE hosts SET reported = now(), io_wait = random() / 10 WHERE id IN ("
        " SELECT h.id FROM hosts h JOIN locations l ON l.id = h.location_id WHERE l.name = %s"
        " ORDER BY h.reported LIMIT %s)"
    )

    async def keep_on() -> None:
        due = 0.0
        while True:
            due += hosts * TICK / REPORT_EVERY
            if (count := int(due)) > 0:
                await connection.execute(report, (location, count))
                due -= count
            await asyncio.sleep(TICK)

    await connection.execute(
        "UPDATE hosts SET reported = now() - random() * interval '30 s' FROM locations l"
        " WHERE l.id = location_id AND l.name = %s",
        (location,),
    )
    task = asyncio.create_task(keep_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def at_work(
    url: str, location: str, reports: Connection, workers: int, seconds: float, pace: float | None
) -> list[float]:
    """Milliseconds of every placement of all workers; what they placed is taken back."""
    arguments = ["-m", "tests.bench.scheduling", url, location, str(seconds), str(pace or 0)]
    running = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        for _ in range(workers)
    ]
    told = [await process.communicate() for process in running]
    assert all(process.returncode == 0 for process in running), "a worker of the bench has failed"
    return [milliseconds for out, _ in told for milliseconds in json.loads(out)]


async def work(url: str, location: str, seconds: float, pace: float) -> list[float]:
    """One worker: servers that are ordered are placed, one after the other, until the time is over."""
    took: list[float] = []
    async with open_pool(url, 4, "puchify-bench-region") as pool:
        warm, notes = WarmHosts(location), Notes(pool)
        placements = Placements(pool, warm, notes)
        async with pool.connection() as connection, beside(warm.keep_warm(pool)):
            ordered = await order(connection, location, round(seconds * (pace or 400)) + 2)
            await placements.place_server(ordered[0])  # caches, connections and tables are empty before it
            await notes.written()
            began = time.monotonic()
            for number, request in enumerate(ordered[1:]):
                if pace:
                    await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
                if time.monotonic() - began > seconds:
                    break
                took.append((await timed(lambda request=request: placements.place_server(request)))[0])
            await notes.written()
    return took


PROJECTS = 100
FOUND = "INSERT INTO projects (name) SELECT 'placing-' || n FROM generate_series(1, %s) n ON CONFLICT DO NOTHING"
ORDER = """
INSERT INTO servers (project_id, user_id, name, server_type_id, location_id, image_id)
SELECT p.id, u.id, 'placing-' || gen_random_uuid(), t.id, l.id, i.id
FROM generate_series(1, %(count)s) n JOIN projects p ON p.name = 'placing-' || 1 + n %% %(projects)s,
     users u, server_types t, locations l, images i
WHERE u.name = 'bench' AND t.name = 'px1' AND l.name = %(location)s AND i.name = 'tiny'
RETURNING id, project_id, user_id, name, image_id
"""


async def order(connection: Connection, location: str, count: int) -> list[PlacementRequest]:
    """Servers that are accepted, of many projects by turns, written at once."""
    await connection.execute(FOUND, (PROJECTS,))
    found = await connection.execute(ORDER, {"count": count, "projects": PROJECTS, "location": location})
    return [PlacementRequest(_order(row, location)) for row in await found.fetchall()]


def _order(row: Mapping[str, int], location: str) -> ServerOrder:
    image = Image(row["image_id"], "tiny", "", "x86", 1, has_agent=True)
    return ServerOrder(
        server_id=row["id"],
        action_id=0,
        start_action_id=None,
        project_id=row["project_id"],
        user_id=row["user_id"],
        name=str(row["name"]),
        location=location,
        resources=Resources(1, 256, 2),
        image=image,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduling", description=__doc__)
    for name, kind in (("url", str), ("location", str), ("seconds", float), ("pace", float)):
        parser.add_argument(name, type=kind)
    asked = parser.parse_args()
    json.dump(asyncio.run(work(asked.url, asked.location, asked.seconds, asked.pace)), sys.stdout)


if __name__ == "__main__":
    main()
