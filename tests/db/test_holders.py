"""Holders: a host has what it said last, a load balancer its addresses, and of all that is held the holder is known."""

from __future__ import annotations

import pytest

from infra.db import addresses, claims, ledger, load_balancers, orders, primary_ips, records, reports
from infra.db.load_balancer_types import load_balancer_types
from infra.db.load_balancers import NewLoadBalancer
from infra.db.locations import locations
from infra.db.primary_ips import NewPrimaryIp
from infra.domain.models import LATE, PARTS, FailedOrder, HostReport, Tombstone
from tests.db.fix_scene import HOUR, Scene


async def test_a_host_is_taken_at_its_newest_word(scene: Scene) -> None:
    await scene.an_hour_passes()
    scene.holds = {scene.server_id: list(PARTS), 11: ["disk"]}
    await scene.report()
    (old, new) = await scene.project.all(
        f"SELECT server_id, parts, since < now() - {HOUR} AS is_old FROM host_holdings ORDER BY server_id = 11"
    )
    assert (old["server_id"], old["parts"], old["is_old"]) == (scene.server_id, list(PARTS), True)
    assert (new["server_id"], new["parts"], new["is_old"]) == (11, ["disk"], False)

    async with scene.project.pool.connection() as connection:
        await reports.record_report(connection, HostReport(scene.host_id, 4, 4096, 40))
        assert len(await ledger.held_by_server(connection, 11)) == 1  # it did not say
        await reports.record_report(connection, HostReport(scene.host_id, 4, 4096, 40, holds={}))
    assert await scene.project.all("SELECT * FROM host_holdings") == []


async def test_a_load_balancer_holds_its_addresses_and_is_missed_without_them(scene: Scene) -> None:
    async with scene.project.pool.connection() as connection, connection.transaction():
        (type, *_), (place, *_) = await load_balancer_types(connection), await locations(connection)
        new = NewLoadBalancer(scene.project.id, "front", type.id, place, "round_robin", True, {})
        id = await load_balancers.create(connection, new, 0)
        await connection.execute(
            "INSERT INTO edges (name, location_id, key_digest, reported)"
            " SELECT 'edge-1', location_id, sha256('k'), now() FROM load_balancers WHERE id = %s",
            (id,),
        )
        await connection.execute("UPDATE load_balancers SET edge_id = (SELECT max(id) FROM edges) WHERE id = %s", (id,))
    assert await scene.examine() == []

    await scene.plant(f"UPDATE addresses SET load_balancer_id = NULL WHERE load_balancer_id = {id} AND type = 'ipv4'")
    (finding,) = await scene.examine()
    assert (finding.kind, finding.text) == ("unaddressed", f"load balancer {id} lacks its ipv4")

    await scene.plant(f"UPDATE addresses SET load_balancer_id = {id} WHERE address = '203.0.113.2'")
    async with scene.project.pool.connection() as connection, connection.transaction():
        await load_balancers.delete(connection, scene.project.id, id)
    assert await scene.examine() == []
    held = await scene.project.all("SELECT address FROM addresses WHERE load_balancer_id IS NOT NULL")
    resting = await scene.project.all("SELECT address FROM addresses WHERE released IS NOT NULL ORDER BY address")
    assert (held, [row["address"] for row in resting]) == ([], ["2001:db8:100:2::/64", "203.0.113.2"])


@pytest.mark.parametrize("way", ["delete", "failed create", "withdrawal", "primary IP"])
async def test_whichever_way_an_address_comes_free_it_rests(scene: Scene, way: str) -> None:
    project = scene.project
    async with project.pool.connection() as connection, connection.transaction():
        if way == "delete":
            order = await orders.order_delete(connection, project.id, scene.server_id)
            await records.finish_delete(connection, order, [])
        elif way == "primary IP":
            new = NewPrimaryIp(project.id, "kept", "ipv4", project.location_id, "local", False, {})
            await primary_ips.delete(connection, project.id, await primary_ips.create(connection, new, 0))
        else:
            accepted = await orders.accept(connection, project.wants("new"))
            order_ = await orders.load_order(connection, accepted.server_id)
            assert order_ is not None
            await addresses.assign(connection, order_, 0)
            if way == "withdrawal":
                await orders.withdraw(connection, order_.server_id)
            else:
                await records.fail(connection, FailedOrder(order_, LATE), [])

    free = await project.all("SELECT released FROM addresses WHERE NOT held AND released IS NOT NULL")
    assert len(free) == (1 if way == "primary IP" else 2)


async def test_all_that_is_held_has_a_holder(scene: Scene) -> None:
    order = await scene.order("at-work")
    await scene.begin(order)
    await scene.report()
    async with scene.project.pool.connection() as connection:
        held = await ledger.held_by_server(connection, order.server_id)
        await claims.bury(connection, Tombstone(order.server_id, scene.host_id, 1))

    assert [(hold.kind, hold.host_id, hold.what) for hold in held] == [
        ("address", None, "2001:db8:100:2::/64"),
        ("address", None, "203.0.113.2"),
        ("claim", scene.host_id, "1 cores, 256 MiB, 2 GiB"),
        ("lock", None, f"action {order.action_id}"),
        ("parts", scene.host_id, "machine, disk, seed, port"),
        ("quota", None, "1 cores, 256 MiB, 2 GiB"),
    ]
