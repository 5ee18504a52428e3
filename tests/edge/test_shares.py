"""What an edge takes is shared: a load balancer that is full, or a project, leaves the others reachable."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from infra.domain.edge_plan import Certificate, EdgePlan
from infra.domain.haproxy_config import OF_BALANCER, OF_PROJECT
from infra.drivers.haproxy import affordable
from tests.edge.backends import Backends, ask
from tests.edge.conftest import RunningEdge
from tests.edge.test_haproxy import plan_of, service, until

OURS, OURS_TOO, OURS_LAST, THEIRS = (f"203.0.113.{n}" for n in (11, 12, 13, 14))
BACKEND = "198.51.100.1"
CONNECTIONS = 160


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
    """Connect so often, and stay; how many of them were not turned away."""
    kept = 0
    for _ in range(count):
        try:
            reader, writer = await asyncio.open_connection(address, port)
            stack.callback(writer.close)
            async with asyncio.timeout(0.05):
                await reader.read(1)
        except TimeoutError:
            kept += 1
        except ConnectionError:
            pass
    return kept


async def test_who_is_full_leaves_the_others_reachable(edge: RunningEdge, backends: Backends) -> None:
    await backends.add(BACKEND)
    await edge.follow(plan((OURS, 7), (OURS_TOO, 7), (OURS_LAST, 7), (THEIRS, 8)))
    await until(edge, "healthy", BACKEND)
    of_balancer, of_project = CONNECTIONS // OF_BALANCER, CONNECTIONS // OF_PROJECT
    async with AsyncExitStack() as stack:
        assert await hold(OURS, 80, of_balancer - 5, stack) == of_balancer - 5
        assert await hold(OURS, 81, 15, stack) == 5  # all services of it together
        assert (await ask(OURS_TOO))[0] == 200
        kept = await hold(OURS_TOO, 80, of_balancer, stack)
        assert of_balancer + kept == of_project
        with pytest.raises(ConnectionError):  # all load balancers of it together
            await ask(OURS_LAST)
        assert (await ask(THEIRS))[0] == 200
    async with asyncio.timeout(5):
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
    await edge.follow(replace(plan_of([BACKEND], https, ipv4=OURS), certificates=(Certificate(9, own_pem),)))
    await until(edge, "healthy", BACKEND)
    slow.delay = 1.0
    asking = await asyncio.create_subprocess_exec(
        *("curl", "-skZ", "--parallel-max", "60", "--noproxy", "*", "-o", "/dev/null"),
        *("-w", "%{http_code}\n", f"https://{OURS}/[1-60]"),
        stdout=subprocess.PIPE,
    )
    told, _ = await asking.communicate()
    statuses = Counter(told.decode().split())
    assert statuses == {"200": CONNECTIONS // OF_PROJECT, "503": 60 - CONNECTIONS // OF_PROJECT}


def test_an_edge_takes_what_its_open_files_allow() -> None:
    assert 100 <= affordable() <= 100_000
