"""Quota requests: decided once, whoever decides at the same moment; approval raises limits and never lowers one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.db import limits, quota_requests, quotas
from infra.db.keys import Caller
from infra.db.quota_requests import QuotaRequest
from infra.domain.errors import Conflict, InvalidInput, NotFound
from infra.domain.models import Image, Resources, ServerOrder
from infra.domain.quota import Limits, Scope
from tests.db.conftest import Project, rows

LEFT_ALONE = {"max_servers": 100, "max_cores": 400, "max_memory_mib": 1_638_400, "max_disk_gib": 16_000}


async def ask(project: Project, wanted: Limits, scope: Scope = "project") -> QuotaRequest:
    async with project.pool.connection() as connection:
        return await quota_requests.ask(connection, Caller(project.user_id, project.id, False), scope, wanted, "why")


async def limits_of(project: Project, scope: Scope = "project") -> dict[str, Any]:
    subject = {"project": project.id, "user": project.user_id}[scope]
    (row,) = await project.all("SELECT * FROM quotas WHERE scope = %s AND subject_id = %s", scope, subject)
    return {name: row[name] for name in LEFT_ALONE}


@pytest.mark.parametrize("scope", ["user", "project"])
async def test_an_approved_request_raises_what_it_asks_for_and_nothing_else(project: Project, scope: Scope) -> None:
    request = await ask(project, Limits(servers=500, memory_mib=2_000_000), scope)
    async with project.pool.connection() as connection:
        done = await quota_requests.approve(connection, request.id)

    assert (request.state, request.decided, request.subject) == ("open", None, {"user": "ada"}.get(scope, "engine"))
    assert (done.state, done.limits) == ("approved", request.limits)
    assert done.decided is not None
    assert await limits_of(project, scope) == {**LEFT_ALONE, "max_servers": 500, "max_memory_mib": 2_000_000}
    assert await limits_of(project, "user" if scope == "project" else "project") == LEFT_ALONE


async def test_an_approval_that_is_repeated_does_not_undo_what_was_set_since(project: Project) -> None:
    request = await ask(project, Limits(servers=500))
    async with project.pool.connection() as connection:
        first = await quota_requests.approve(connection, request.id)
        await limits.set_limits(connection, "project", "engine", Limits(servers=7))
        again = await quota_requests.approve(connection, request.id)

    assert again == first
    assert (await limits_of(project))["max_servers"] == 7


async def test_a_limit_that_is_higher_by_now_stays(project: Project) -> None:
    small, large = await ask(project, Limits(servers=200, cores=500)), await ask(project, Limits(servers=300))
    async with project.pool.connection() as connection:
        await quota_requests.approve(connection, large.id)
        await quota_requests.approve(connection, small.id)

    assert await limits_of(project) == {**LEFT_ALONE, "max_servers": 300, "max_cores": 500}


async def test_of_all_who_decide_at_once_one_decides(project: Project) -> None:
    """An approval that waits for another decision sees it, and goes by it."""
    for n in range(10):
        request = await ask(project, Limits(cores=1_000 + n))

        async def decide(yes: bool, id: int = request.id) -> str:
            async with project.pool.connection() as connection:
                try:
                    await (quota_requests.approve if yes else quota_requests.reject)(connection, id)
                except Conflict:
                    return "too late"
                return "approved" if yes else "rejected"

        told = await asyncio.gather(*(decide(bool(k % 2)) for k in range(8)))

        (row,) = await project.all("SELECT state FROM quota_requests WHERE id = %s", request.id)
        assert sorted(set(told)) == sorted({row["state"], "too late"})
        assert told.count("too late") == 4
        raised = (await limits_of(project))["max_cores"] == 1_000 + n
        assert raised == (row["state"] == "approved")


async def test_an_approval_waits_for_the_one_before_it(project: Project) -> None:
    """Two connections: the second one finds the request decided, and raises nothing."""
    request = await ask(project, Limits(servers=500))
    async with project.pool.connection() as first, project.pool.connection() as second:
        async with first.transaction():
            await quota_requests.approve(first, request.id)
            waiting = asyncio.create_task(quota_requests.approve(second, request.id))
            await blocked(project, second.info.backend_pid)
            await limits.set_limits(first, "project", "engine", Limits(servers=5))
        done = await waiting

    assert done.state == "approved"
    assert (await limits_of(project))["max_servers"] == 5


async def blocked(project: Project, pid: int) -> None:
    """Until that connection waits for a lock."""
    async with asyncio.timeout(30):
        while not (await project.all("SELECT unnest(pg_blocking_pids(%s)) AS pid", pid)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_was_rejected_is_not_approved_and_the_other_way_round(project: Project) -> None:
    first, second = await ask(project, Limits(servers=500)), await ask(project, Limits(servers=600))
    async with project.pool.connection() as connection:
        for _ in range(2):
            await quota_requests.reject(connection, first.id)
        with pytest.raises(Conflict, match=f"quota request {first.id} was rejected before"):
            await quota_requests.approve(connection, first.id)
        await quota_requests.approve(connection, second.id)
        with pytest.raises(Conflict, match="was approved before"):
            await quota_requests.reject(connection, second.id)
        with pytest.raises(NotFound):
            await quota_requests.approve(connection, second.id + 1)
        with pytest.raises(NotFound):
            await limits.set_limits(connection, "user", "nobody", Limits(servers=1))
        assert await quota_requests.list_open(connection) == []
    assert (await limits_of(project))["max_servers"] == 600


async def test_less_than_there_is_cannot_be_asked_for(project: Project) -> None:
    with pytest.raises(InvalidInput) as refused:
        await ask(project, Limits(servers=100, cores=401, disk_gib=1))

    assert refused.value.details is not None
    assert [field["name"] for field in refused.value.details["fields"]] == ["servers", "disk"]
    assert await project.all("SELECT id FROM quota_requests") == []


async def test_what_is_under_way_is_told_as_held(project: Project) -> None:
    resources = Resources(2, 4_096, 40)
    for name, status in (("coming", "initializing"), ("there", "running")):
        accepted = await project.accept(name)
        image = Image(project.image_id, "tiny", "a" * 64, "x86", 1, False)
        order = ServerOrder(
            accepted.server_id, accepted.action_id, None, project.id, project.user_id, name, "local", resources, image
        )
        async with project.pool.connection() as connection:
            await quotas.reserve(connection, order)
            await rows(connection, "UPDATE servers SET status = %s WHERE id = %s", status, order.server_id)

    async with project.pool.connection() as connection:
        told = await limits.of_owner(connection, project.user_id, project.id)
        assert await limits.list_all(connection) == told

    assert [(one.scope, one.name) for one in told] == [("project", "engine"), ("user", "ada")]
    for one in told:
        assert (one.servers.used, one.servers.held, one.servers.limit) == (2, 1, 100)
        assert (one.cores.used, one.cores.held) == (4, 2)
        assert (one.memory_mib.used, one.memory_mib.held) == (8_192, 4_096)
        assert (one.disk_gib.used, one.disk_gib.held) == (80, 40)
