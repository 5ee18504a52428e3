"""Generations of addresses: whoever has one now has a higher number than all who had it before, whoever they were."""

from __future__ import annotations

from infra.db import addresses, claims, edge_plans, load_balancers
from infra.db.load_balancer_types import load_balancer_types
from infra.db.load_balancers import NewLoadBalancer
from infra.db.locations import locations
from infra.db.port_plans import plan_of
from infra.domain.models import ServerOrder
from tests.db.fix_scene import Scene

ADDRESS = "203.0.113.2"
NEW_EDGE = "SELECT {0}, 'e{0}', id, decode(lpad('{0}', 64, '0'), 'hex') FROM locations"
FULL = "UPDATE addresses SET released = now() + interval '1 hour' WHERE type = 'ipv4' AND address <> '{}' AND NOT held"


async def test_an_address_outlives_the_epochs_of_a_server_that_had_it(scene: Scene) -> None:
    order = await scene.order("twice")
    await scene.begin(order)
    for epoch in (4, 5, 6):  # placed again and again
        before = await _announced(scene, order)
        await _placed_again(scene, order, epoch)
        assert await _announced(scene, order) > before
    last = await _announced(scene, order)
    async with scene.project.pool.connection() as connection:
        await addresses.release(connection, order.server_id)
    await scene.plant(FULL.format(ADDRESS))

    other = await scene.order("next")
    await scene.begin(other)
    (row,) = await scene.project.all(
        "SELECT address FROM addresses WHERE server_id = %s AND type = 'ipv4'", other.server_id
    )
    assert row["address"] == ADDRESS
    assert await _announced(scene, other) > last


async def test_a_balancer_on_another_edge_and_a_server_after_it_count_on(scene: Scene) -> None:
    async with scene.project.pool.connection() as connection, connection.transaction():
        (type, *_), (place, *_) = await load_balancer_types(connection), await locations(connection)
        new = NewLoadBalancer(scene.project.id, "front", type.id, place, "round_robin", True, {})
        id = await load_balancers.create(connection, new, 0)
    for edge in (1, 2):
        await scene.plant(f"INSERT INTO edges (id, name, location_id, key_digest) {NEW_EDGE.format(edge)}")
    told = []
    for edge in (1, 2, 1):
        await scene.plant(f"UPDATE load_balancers SET edge_id = {edge}, edge_epoch = edge_epoch + 1 WHERE id = {id}")
        async with scene.project.pool.connection() as connection:
            (balancer,) = (await edge_plans.plan_of(connection, edge)).balancers
        told.append((balancer.ipv4_generation, balancer.ipv6_generation))
    assert told[0][0] < told[1][0] < told[2][0]
    assert told[0][1] < told[1][1] < told[2][1]
    async with scene.project.pool.connection() as connection, connection.transaction():
        await load_balancers.delete(connection, scene.project.id, id)
    await scene.plant(FULL.format(balancer.ipv4))

    order = await scene.order("next")
    await scene.begin(order)
    assert await _announced(scene, order) > told[-1][0]


async def test_a_power_command_does_not_count(scene: Scene) -> None:
    before = await scene.project.all("SELECT address, generation FROM addresses ORDER BY id")
    await scene.plant("UPDATE claims SET epoch = epoch + 1")
    assert await scene.project.all("SELECT address, generation FROM addresses ORDER BY id") == before


async def _placed_again(scene: Scene, order: ServerOrder, epoch: int) -> None:
    async with scene.project.pool.connection() as connection:
        await claims.release(connection, order.server_id, epoch - 1)
        assert await claims.take(connection, order, scene.host_id, {}, epoch)


async def _announced(scene: Scene, order: ServerOrder) -> int:
    """The generation of its IPv4 address, as its host is told it."""
    async with scene.project.pool.connection() as connection:
        claim = await claims.of_server(connection, order.server_id)
        assert claim
        plan = await plan_of(connection, scene.host_id, order.server_id, claim.epoch)
    assert plan
    assert plan.public.ipv4
    return plan.public.ipv4_generation
