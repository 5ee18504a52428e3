"""What is held, is held once: quota, claims, addresses and orders, asked for by many connections at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.db import addresses, claims, orders, quotas, records
from infra.db.orders import Withdrawal
from infra.domain.errors import OrderWithdrawn, QuotaExceeded, ResourceUnavailable
from infra.domain.models import Addresses, Claim, FailedOrder, Failure, Resources, ServerOrder
from tests.fix_region import NewRegion, Region


@pytest_asyncio.fixture
async def books_of_region(new_region: NewRegion) -> AsyncIterator[Region]:
    """Orders, and nobody who works on them."""
    async with new_region(workers=False, ipv4_prefix=29, room=Resources(3, 768, 6)) as region:
        yield region


async def reserve(region: Region, order: ServerOrder) -> bool:
    async with region.pool.connection() as connection:
        try:
            await quotas.reserve(connection, order)
        except QuotaExceeded:
            return False
    return True


async def take(region: Region, order: ServerOrder) -> Claim | None:
    async with region.pool.connection() as connection:
        return await claims.take(connection, order, next(iter(region.hosts)), {})


async def assign(region: Region, order: ServerOrder, rest: float = 300) -> Addresses | None:
    async with region.pool.connection() as connection:
        try:
            return await addresses.assign(connection, order, rest)
        except ResourceUnavailable:
            return None


async def test_quota_is_never_over_and_never_refused_too_early(books_of_region: Region) -> None:
    region = books_of_region
    await region.set_quota(max_cores=7)
    ordered = [await region.order() for _ in range(20)]

    held = await asyncio.gather(*(reserve(region, order) for order in ordered * 2))

    assert sum(held[:20]) + sum(held[20:]) >= 7
    counted = await region.one(
        "SELECT used_servers, used_cores FROM quotas WHERE scope = 'project' AND subject_id = %s", region.project_id
    )
    assert counted == {"used_servers": 7, "used_cores": 7}
    await region.assert_balanced()


async def test_what_is_released_twice_is_given_back_once(books_of_region: Region) -> None:
    region = books_of_region
    order, other = await region.order(), await region.order()
    await reserve(region, order)
    await reserve(region, other)
    for _ in range(2):
        async with region.pool.connection() as connection:
            await quotas.release(connection, order.server_id)

    counted = await region.one(
        "SELECT used_servers FROM quotas WHERE scope = 'user' AND subject_id = %s", region.user_id
    )
    assert counted == {"used_servers": 1}


async def test_a_host_is_never_claimed_beyond_its_room(books_of_region: Region) -> None:
    ordered = [await books_of_region.order() for _ in range(10)]

    taken = await asyncio.gather(*(take(books_of_region, order) for order in ordered))

    assert len([claim for claim in taken if claim]) == 3  # 768 MiB, 256 each
    assert {claim.epoch for claim in taken if claim} == {1}
    await books_of_region.assert_balanced()


async def test_no_address_is_given_twice_and_none_is_kept_back(books_of_region: Region) -> None:
    ordered = [await books_of_region.order() for _ in range(12)]

    given = await asyncio.gather(*(assign(books_of_region, order) for order in ordered))

    taken = [one.ipv4 for one in given if one]
    assert len(taken) == len(set(taken)) == 6  # a /29 less its network, its broadcast
    assert len({one.ipv6_network for one in given if one}) == 6


async def test_a_server_that_asks_again_gets_what_it_holds(books_of_region: Region) -> None:
    order = await books_of_region.order()

    assert await assign(books_of_region, order) == await assign(books_of_region, order)


async def test_a_withdrawal_and_a_beginning_have_one_winner(books_of_region: Region) -> None:
    region = books_of_region

    async def withdraw(order: ServerOrder) -> Withdrawal:
        async with region.pool.connection() as connection:
            return await orders.withdraw(connection, order.server_id)

    async def begin(order: ServerOrder) -> bool:
        try:
            return await reserve(region, order)
        except OrderWithdrawn:
            return False

    for _ in range(10):
        order = await region.order()
        withdrawn, begun = await asyncio.gather(withdraw(order), begin(order))
        assert (withdrawn is Withdrawal.DONE) != begun
        assert (await region.server(order) is None) == (withdrawn is Withdrawal.DONE)


async def test_a_delete_takes_the_order_over_before_it_began(books_of_region: Region) -> None:
    order = await books_of_region.order()
    async with books_of_region.pool.connection() as connection:
        await orders.order_delete(connection, books_of_region.project_id, order.server_id)

    with pytest.raises(OrderWithdrawn):
        await reserve(books_of_region, order)


@pytest.mark.parametrize("ending", ["fail", "delete"])
async def test_a_hold_that_came_after_its_undo_goes_with_the_server(books_of_region: Region, ending: str) -> None:
    region = books_of_region
    order = await region.order()
    await reserve(region, order)
    if ending == "delete":
        async with region.pool.connection() as connection:
            delete = await orders.order_delete(connection, region.project_id, order.server_id)
    await take(region, order)
    await assign(region, order)

    async with region.pool.connection() as connection, connection.transaction():
        if ending == "delete":
            await records.finish_delete(connection, delete, [])
        else:
            await records.fail(connection, FailedOrder(order, Failure("image_unusable", "it is damaged")), [])

    await region.assert_nothing_left(order)


async def test_a_create_that_fails_leaves_the_server_to_its_delete(books_of_region: Region) -> None:
    region = books_of_region
    order = await region.order()
    await reserve(region, order)
    async with region.pool.connection() as connection, connection.transaction():
        await orders.order_delete(connection, region.project_id, order.server_id)
        await records.fail(connection, FailedOrder(order, Failure("server_deleted", "it was deleted")), [])

    assert await region.server(order) is not None
    assert await region.one("SELECT FROM quota_reservations WHERE server_id = %s", order.server_id) is not None


async def test_a_pool_is_stocked_once_however_many_find_it_empty(books_of_region: Region) -> None:
    region = books_of_region

    async def stock() -> None:
        async with region.pool.connection() as connection:
            await addresses.stock(connection, region.location, "ipv6")

    await asyncio.gather(*(stock() for _ in range(5)))

    stocked = await region.one(
        "SELECT count(*) AS n FROM addresses a JOIN address_pools p ON p.id = a.pool_id"
        " WHERE p.location_id = %s AND a.type = 'ipv6'",
        region.location_id,
    )
    assert stocked == {"n": addresses.STOCK}


async def test_a_claim_or_its_release_that_comes_late_touches_no_newer_one(books_of_region: Region) -> None:
    """A region worker that was paused in the middle of a statement has it done whenever it wakes."""
    region = books_of_region
    order, host_id = await region.order(), next(iter(region.hosts))
    async with region.pool.connection() as connection:
        assert await claims.take(connection, order, host_id, {}, epoch=1) is not None
        await claims.release(connection, order.server_id, epoch=1)
        assert await claims.take(connection, order, host_id, {}, epoch=1) is None  # late: it is closed
        newer = await claims.take(connection, order, host_id, {}, epoch=2)
        assert newer is not None

        await claims.release(connection, order.server_id, epoch=1)

        assert await claims.of_server(connection, order.server_id) == newer
    await region.assert_balanced()
