"""Orders: all of one or none of it, whoever asks at the same time."""

from __future__ import annotations

import asyncio

import pytest

from infra.db import orders, quotas
from infra.domain.errors import NotFound, UniquenessError
from infra.domain.models import ServerOrder
from tests.db.conftest import Project


async def order_of(project: Project, name: str = "web", start: bool = True) -> ServerOrder:
    accepted = await project.accept(name, start=start)
    async with project.pool.connection() as connection:
        order = await orders.load_order(connection, accepted.server_id)
    assert order is not None
    assert (order.server_id, order.action_id) == (accepted.server_id, accepted.action_id)
    return order


async def test_an_order_is_a_locked_server_with_its_actions(project: Project) -> None:
    order = await order_of(project)

    (server,) = await project.all("SELECT * FROM servers")
    commands = await project.all("SELECT id, command, status FROM actions ORDER BY id")
    assert (server["status"], server["locked_by"], server["began"]) == ("initializing", order.action_id, None)
    assert [(row["command"], row["status"]) for row in commands] == [
        ("create_server", "running"),
        ("start_server", "running"),
    ]
    assert order.start_action_id == commands[1]["id"]
    assert (order.resources.cores, order.resources.memory_mib, order.resources.disk_gib) == (1, 256, 2)


async def test_a_server_that_is_not_to_start_has_no_start_action(project: Project) -> None:
    order = await order_of(project, start=False)

    assert (order.start, order.start_action_id) == (False, None)


async def test_a_name_is_taken_once(project: Project) -> None:
    results = await asyncio.gather(*(project.accept() for _ in range(10)), return_exceptions=True)

    assert sum(isinstance(result, UniquenessError) for result in results) == 9
    assert len(await project.all("SELECT id FROM actions")) == 2


async def test_deletes_at_once_are_one_delete_that_has_the_lock(project: Project) -> None:
    order = await order_of(project)

    async def delete() -> int:
        async with project.pool.connection() as connection:
            return (await orders.order_delete(connection, project.id, order.server_id)).action_id

    actions = set(await asyncio.gather(*(delete() for _ in range(10))))

    (server,) = await project.all("SELECT status, locked_by, desired FROM servers")
    assert actions == {server["locked_by"]}
    assert (server["status"], server["desired"]) == ("deleting", "off")
    assert len(await project.all("SELECT id FROM actions WHERE command = 'delete_server'")) == 1


async def test_another_project_deletes_nothing(project: Project) -> None:
    order = await order_of(project)
    async with project.pool.connection() as connection:
        with pytest.raises(NotFound):
            await orders.order_delete(connection, project.id + 1, order.server_id)

    assert (await project.all("SELECT status FROM servers")) == [{"status": "initializing"}]


async def test_the_sweep_finds_what_waits_and_nothing_else(project: Project) -> None:
    waiting, fresh, begun, deleting = [await order_of(project, name) for name in ("waiting", "fresh", "begun", "gone")]
    old = [order.server_id for order in (waiting, begun, deleting)]
    await project.all("UPDATE servers SET created = now() - interval '1 minute' WHERE id = ANY(%s)", old)
    async with project.pool.connection() as connection:
        await quotas.reserve(connection, begun)
        delete = await orders.order_delete(connection, project.id, deleting.server_id)

        assert await orders.waiting_orders(connection, "local", 15) == [waiting]
        assert await orders.waiting_orders(connection, "elsewhere", 15) == []
        assert fresh in await orders.waiting_orders(connection, "local", 0)
        assert await orders.waiting_deletes(connection, "local", 15) == []
        assert await orders.waiting_deletes(connection, "local", 0) == [delete]
