"""What an edge takes is shared: a load balancer that is full, or a project, leaves the others reachable."""

from __future__ import annotations

import asyncio
import resource
import subprocess
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from infra.domain.edge_plan import Certificate, EdgePlan
from infra.domain.edge_shares import shares
from infra.drivers.haproxy import affordable
from tests.edge.backends import Backends, ask
from tests.edge.conftest import RunningEdge
from tests.edge.test_haproxy import plan_of, service, until

OURS, OURS_TOO, OURS_LAST, THEIRS = (f"203.0.113.{n}" for n in (11, 12, 13, 14))
BACKEND = "198.51.100.1"
CONNECTIONS = 160
GIB = 1024**3


@pytest.fixture
def connections() -> int:
    return CONNECTIONS


def plan(*projects: tuple[str, int]) -> EdgePlan:
    """A load balancer at each address, of that project."""
    (one,) = plan_of([BACKEND], service(), service(listen_port=81), ipv6=None).balancers
    return EdgePlan(
        1, tuple(replace(one, id=n, ipv4=address, project_id=id) for n, (address, id) in enumerate(projects, 1))
    )


async def hold(address: str, port: int, count: int, stack: AsyncExitStack) -> int:
    """Connect so often, ask once, and stay; how many of them were answered: the others were turned away."""
    return [await _stays(address, port, stack) for _ in range(count)].count(True)


async def _stays(address: str, port: int, stack: AsyncExitStack) -> bool:
    try:
        reader, writer = await asyncio.open_connection(address, port)
        stack.callback(writer.close)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return bool(await reader.read(1))
    except ConnectionError:
        return False


async def test_who_is_full_leaves_the_others_reachable(edge: RunningEdge, backends: Backends) -> None:
    await backends.add(BACKEND)
    wanted = plan((OURS, 7), (OURS_TOO, 7), (OURS_LAST, 7), (THEIRS, 8))
    await edge.follow(wanted)
    await until(edge, "healthy", BACKEND)
    ours, theirs = (shares(wanted, CONNECTIONS)[id] for id in (1, 4))
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        assert await hold(OURS, 80, ours.of_balancer - 5, stack) == ours.of_balancer - 5
        assert await hold(OURS, 81, 15, stack) == 5  # all services of it together
        assert (await ask(OURS_TOO))[0] == 200
        kept = await hold(OURS_TOO, 80, ours.of_balancer, stack)
        assert ours.of_balancer + kept == ours.of_project
        with pytest.raises(ConnectionError):  # all load balancers of it together
            await ask(OURS_LAST)
        assert await hold(THEIRS, 80, theirs.of_project, stack) == theirs.of_project
    async with asyncio.timeout(30):
        while not await _answers(OURS_LAST):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _answers(address: str) -> bool:
    try:
        return (await ask(address))[0] == 200
    except ConnectionError:
        return False


async def test_one_connection_with_many_requests_takes_no_more(
    edge: RunningEdge, backends: Backends, own_pem: str
) -> None:
    slow = await backends.add(BACKEND)
    https = service("https", http={"certificates": [9]})
    (ours,) = plan_of([BACKEND], https, ipv4=OURS, ipv6=None, id=9).balancers
    others = plan((OURS_TOO, 7), (OURS_LAST, 8), (THEIRS, 9))
    wanted = replace(others, balancers=(ours, *others.balancers), certificates=(Certificate(9, own_pem),))
    await edge.follow(wanted)
    await until(edge, "healthy", BACKEND)
    of_project = shares(wanted, CONNECTIONS)[9].of_project
    slow.answers.clear()
    asking = await asyncio.create_subprocess_exec(
        *("curl", "-kZ", "--no-progress-meter", "--max-time", "30", "--parallel-max", "60", "--noproxy", "*"),
        *("-o", "/dev/null", "-w", "%{stderr}%{http_code}\n", f"https://{OURS}/[1-60]"),  # each as soon as it is known
        stderr=subprocess.PIPE,
    )
    assert asking.stderr
    statuses: Counter[str] = Counter()
    async for line in asking.stderr:
        statuses[line.decode().strip()] += 1
        if statuses["503"] == 60 - of_project:
            slow.answers.set()
    await asking.wait()
    assert statuses == {"200": of_project, "503": 60 - of_project}


@pytest.mark.parametrize(
    ("files", "memory", "connections"),
    [
        (22_000, 64 * GIB, 10_000),
        (1_048_576, GIB // 2, 8192),
        (resource.RLIM_INFINITY, GIB, 16_384),
        (1_048_576, 64 * GIB, 100_000),
        (resource.RLIM_INFINITY, 64 * GIB, 100_000),
    ],
)
def test_an_edge_takes_what_its_open_files_and_its_memory_allow(
    monkeypatch: pytest.MonkeyPatch, files: int, memory: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, files))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=memory))
    assert affordable() == connections
