"""Primary IPs that two want for different things at the same moment: one gets it, and the other one is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from infra.db import addresses, orders, primary_ips
from infra.db.pool import Connection
from infra.db.primary_ips import NewPrimaryIp
from infra.domain.errors import QuotaExceeded
from infra.domain.refusals import MustBeUnassigned, PrimaryIpAlreadyAssigned
from tests.db.conftest import Project
from tests.fix_region import eventually

Ask = Callable[[Connection, int], Awaitable[None]]


@pytest_asyncio.fixture
async def address(project: Project) -> int:
    """A primary IP that nobody has."""
    new = NewPrimaryIp(project.id, "wanted", "ipv4", project.location_id, "local", False, {})
    async with project.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO address_pools (location_id, type, cidr, last_index) VALUES (%s, 'ipv4', '192.0.2.0/24', 250)",
            (project.location_id,),
        )
        return await primary_ips.create(connection, new, 0)


async def test_an_address_that_an_order_is_taking_is_not_deleted(project: Project, address: int) -> None:
    ordered = await _while_it_is_ordered(
        project, address, MustBeUnassigned, lambda c, id: primary_ips.delete(c, project.id, id)
    )

    assert await _held(project) == [{"primary_ip_id": address, "server_id": ordered, "released": None}]


async def test_an_address_that_an_order_is_taking_is_not_assigned(project: Project, address: int) -> None:
    other = await project.accept("other")
    await project.all("UPDATE servers SET status = 'off', locked_by = NULL WHERE id = %s", other.server_id)

    ordered = await _while_it_is_ordered(
        project, address, PrimaryIpAlreadyAssigned, lambda c, id: primary_ips.assign(c, project.id, id, other.server_id)
    )

    assert await _held(project) == [{"primary_ip_id": address, "server_id": ordered, "released": None}]


async def test_one_that_outlives_an_order_is_counted_while_the_order_may_be_refused(
    project: Project, address: int
) -> None:
    await project.all("UPDATE primary_ips SET auto_delete = true WHERE id = %s", address)
    async with project.pool.connection() as connection:

        async def keep_room(id: int | None = None) -> None:
            async with connection.transaction():
                await primary_ips.keep_room(connection, project.id, 1, id)

        refused = await orders.accept(connection, project.wants(primary_ipv4=address))
        with pytest.raises(QuotaExceeded):
            await keep_room()
        await keep_room(address)  # it is the one that there is
        await addresses.release(connection, refused.server_id)
        with pytest.raises(QuotaExceeded):
            await keep_room()

        made = await orders.accept(connection, project.wants(name="made", primary_ipv4=address))
        await project.all("UPDATE servers SET status = 'running' WHERE id = %s", made.server_id)
        await keep_room()


async def _while_it_is_ordered(project: Project, address: int, refusal: type[Exception], ask: Ask) -> int:
    """Ask while an order has the address and is not committed: refused when it is. The id of the server."""
    async with project.pool.connection() as ordering, project.pool.connection() as asking:

        async def asked() -> None:
            async with asking.transaction():
                await ask(asking, address)

        async with ordering.transaction():
            accepted = await orders.accept(ordering, project.wants(primary_ipv4=address))
            task = asyncio.create_task(asked())
            await eventually(lambda: _waits(project, asking.info.backend_pid), every=0.01)
        with pytest.raises(refusal):
            await task
    return accepted.server_id


async def _waits(project: Project, process: int) -> bool:
    """Whether it waits for a lock."""
    return bool(await project.all("SELECT pid FROM pg_locks WHERE pid = %s AND NOT granted", process))


async def _held(project: Project) -> list[dict[str, object]]:
    return await project.all("SELECT primary_ip_id, server_id, released FROM addresses WHERE held")
