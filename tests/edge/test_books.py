"""Edges in the books: whose load balancers they are, what is told to them, and what happens when one falls silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.db.edges import list_edges, remove_edge
from infra.domain.edge_plan import Backend, EdgePlan, Health, Served
from infra.domain.errors import HostUnavailable
from infra.drivers.edges import SimulatedEdge
from tests.edge.regional import KnownEdge, edge_api, new_edge, working_edge
from tests.fix_api import Api
from tests.fix_region import Region, eventually

SERVICE = {"protocol": "http", "listen_port": 80, "destination_port": 8080, "health_check": {"interval": 3}}


async def balancer(api: Api, name: str, **wishes: Any) -> int:
    body = {"name": name, "load_balancer_type": "lb11", "location": api.region.location, **wishes}
    reply = await api.http.post("/load_balancers", json=body, headers={"Prefer": "wait=20"})
    assert reply.status_code == 201, reply.text
    assert reply.json()["action"]["status"] == "success"
    return int(reply.json()["load_balancer"]["id"])


async def gone(api: Api, *ids: int) -> None:
    for id in ids:
        assert (await api.http.delete(f"/load_balancers/{id}")).status_code == 201


async def edge_of(region: Region, id: int) -> tuple[int | None, int]:
    row = await region.one("SELECT edge_id, edge_epoch FROM load_balancers WHERE id = %s", id)
    assert row
    return row["edge_id"], row["edge_epoch"]


async def silence(region: Region, known: KnownEdge) -> None:
    await region.execute("UPDATE edges SET reported = now() - interval '16 s' WHERE id = %s", known.id)


async def removed(region: Region, *some: KnownEdge) -> None:
    await region.execute("DELETE FROM edges WHERE id = ANY(%s)", [one.id for one in some])


async def test_a_balancer_waits_for_the_first_edge_that_comes(module_api: Api) -> None:
    region = module_api.region
    id = await balancer(module_api, "early", services=[SERVICE])
    assert await edge_of(region, id) == (None, 0)
    known, edge = await new_edge(region), SimulatedEdge()
    async with working_edge(region, known, edge):
        await eventually(lambda: _serves(edge, id))
        assert await edge_of(region, id) == (known.id, 1)
    await gone(module_api, id)
    await removed(region, known)


async def test_what_a_silent_edge_served_is_anothers_and_not_again_its_own(module_api: Api) -> None:
    region = module_api.region
    first, second = await new_edge(region), await new_edge(region)
    async with edge_api(region, first) as one, edge_api(region, second) as other:
        await one.report(Served(""))
        id = await balancer(module_api, "moving", services=[SERVICE])
        assert await edge_of(region, id) == (first.id, 1)
        await other.report(Served(""))
        assert await edge_of(region, id) == (first.id, 1)
        await silence(region, first)
        await other.report(Served(""))
        assert await edge_of(region, id) == (second.id, 2)
        await one.report(Served(""))
        assert (await one.plan()).balancers == ()
        assert [(each.id, each.epoch) for each in (await other.plan()).balancers] == [(id, 2)]
    await gone(module_api, id)
    await removed(region, first, second)


async def test_nobody_takes_over_when_all_were_silent(module_api: Api) -> None:
    """As after an outage of the API: the first that is heard again does not take what the others still serve."""
    region = module_api.region
    first, second = await new_edge(region), await new_edge(region)
    async with edge_api(region, first) as one, edge_api(region, second) as other:
        await one.report(Served(""))
        id = await balancer(module_api, "outage")
        await silence(region, first)
        await other.report(Served(""))
        assert await edge_of(region, id) == (first.id, 1)
        await one.report(Served(""))
        await other.report(Served(""))
        assert await edge_of(region, id) == (first.id, 1)
    await gone(module_api, id)
    await removed(region, first, second)


async def test_a_plan_has_servers_while_they_are_registered(module_api: Api) -> None:
    region = module_api.region
    known = await new_edge(region)
    order = await region.create(name="web-1")
    await region.execute('UPDATE servers SET labels = \'{"role": "web"}\' WHERE id = %s', order.server_id)
    async with edge_api(region, known) as api:
        await api.report(Served(""))
        selector = {"type": "label_selector", "label_selector": {"selector": "role=web"}}
        direct = {"type": "server", "server": {"id": order.server_id}}
        id = await balancer(module_api, "servers", services=[SERVICE], targets=[selector, direct])
        row = await region.one("SELECT address FROM addresses WHERE server_id = %s AND type = 'ipv4'", order.server_id)
        assert row
        backend = Backend(row["address"])
        assert [(one.backends, one.project_id) for one in (await api.plan()).balancers] == [
            ((backend,), order.project_id)
        ]
        before = (await api.plan()).digest

        told = [Health(id, 80, backend.address, False, "healthy"), Health(id + 1000, 80, "192.0.2.1", False, "healthy")]
        assert await api.report(Served(before)) == before
        await api.tell_health(told)
        seen = (await module_api.listed(f"/load_balancers/{id}"))["load_balancer"]["targets"]
        healthy = [{"listen_port": 80, "status": "healthy"}]
        by_type = {target["type"]: target for target in seen}
        assert by_type["server"]["health_status"] == healthy
        assert [one["health_status"] for one in by_type["label_selector"]["targets"]] == [healthy]
        await silence(region, known)
        seen = (await module_api.listed(f"/load_balancers/{id}"))["load_balancer"]["targets"]
        assert {one["status"] for target in seen for one in target["health_status"]} == {"unknown"}

        await region.delete(order)
        assert [one.backends for one in (await api.plan()).balancers] == [()]
        assert await api.report(Served(before)) != before
        assert await region.one("SELECT FROM edges WHERE id = %s AND differs IS NOT NULL", known.id) is not None
    await gone(module_api, id)
    await removed(region, known)


async def test_servers_beyond_what_a_load_balancer_sends_to_are_told(
    module_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A selector that means too many is refused; who comes later is unhealthy."""
    for module in ("edge_plans", "load_balancer_targets"):
        monkeypatch.setattr(f"infra.db.{module}.MOST_BACKENDS", 1)
    region, role = module_api.region, {"role": "beyond"}
    known = await new_edge(region)
    orders = [await region.create(name=name) for name in ("beyond-1", "beyond-2")]
    selector = {"type": "label_selector", "label_selector": {"selector": "role=beyond"}, "use_private_ip": False}
    async with edge_api(region, known) as api:
        await api.report(Served(""))
        await module_api.http.put(f"/servers/{orders[0].server_id}", json={"labels": role})
        id = await balancer(module_api, "beyond", services=[SERVICE], targets=[selector])
        await module_api.http.put(f"/servers/{orders[1].server_id}", json={"labels": role})
        (backends,) = [one.backends for one in (await api.plan()).balancers]
        assert len(backends) == 1
        (target,) = (await module_api.listed(f"/load_balancers/{id}"))["load_balancer"]["targets"]
        assert {one["server"]["id"]: one["health_status"][0]["status"] for one in target["targets"]} == {
            orders[0].server_id: "unknown",
            orders[1].server_id: "unhealthy",
        }
        await module_api.http.post(f"/load_balancers/{id}/actions/remove_target", json=selector)
        refused = await module_api.http.post(f"/load_balancers/{id}/actions/add_target", json=selector)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "resource_limit_exceeded")
        assert "sends to 1 servers at most; with this target it would be 2" in refused.json()["error"]["message"]
        (limit,) = refused.json()["error"]["details"]["limits"]
        assert limit == {"name": "max_servers", "limit": 1, "used": 0, "asked": 2}
    await gone(module_api, id)
    for order in orders:
        await region.delete(order)
    await removed(region, known)


async def test_a_key_is_good_for_its_own_edge_only(module_api: Api) -> None:
    region = module_api.region
    first, second = await new_edge(region), await new_edge(region)
    for wrong in (KnownEdge(first.id, second.key), KnownEdge(first.id, "x" * 64)):
        async with edge_api(region, wrong) as api:
            with pytest.raises(HostUnavailable):
                await api.plan()
    await removed(region, first, second)


async def test_labels_bring_and_take_targets_at_the_edge(module_api: Api) -> None:
    region = module_api.region
    known, edge = await new_edge(region), SimulatedEdge()
    order = await region.create(name="labelled")
    async with working_edge(region, known, edge):
        selector = {"type": "label_selector", "label_selector": {"selector": "role=labelled"}}
        id = await balancer(module_api, "labels", services=[SERVICE], targets=[selector])
        for labels, count in (({"role": "labelled"}, 1), ({}, 0)):
            reply = await module_api.http.put(f"/servers/{order.server_id}", json={"labels": labels})
            assert reply.status_code == 200
            await eventually(lambda count=count: _sends(edge, id, count))
    await gone(module_api, id)
    await region.delete(order)
    await removed(region, known)


async def _serves(edge: SimulatedEdge, id: int) -> bool:
    return any(one.id == id for one in edge.plan.balancers)


async def _sends(edge: SimulatedEdge, id: int, count: int) -> bool:
    return [len(one.backends) for one in edge.plan.balancers if one.id == id] == [count]


class DeadEdge(SimulatedEdge):
    """HAProxy does not answer."""

    async def health(self) -> list[Health]:
        raise HostUnavailable("it does not run")


class SlowEdge(SimulatedEdge):
    """A change of it lasts until ``may`` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = asyncio.Event(), asyncio.Event()

    async def follow(self, plan: EdgePlan) -> Served:
        self.begun.set()
        await self.may.wait()
        return await super().follow(plan)


async def test_an_edge_lives_however_long_its_change_takes(module_api: Api) -> None:
    region = module_api.region
    known, edge = await new_edge(region), SlowEdge()
    async with working_edge(region, known, edge):
        await asyncio.wait_for(edge.begun.wait(), 10)
        at = await region.one("SELECT now() AS at")
        assert at

        async def speaks() -> bool:
            heard = "SELECT FROM edges WHERE id = %s AND reported > %s"
            return await region.one(heard, known.id, at["at"]) is not None

        await eventually(speaks)
        assert not edge.may.is_set()
        edge.may.set()
    await removed(region, known)


async def test_a_full_edge_is_heard(module_api: Api) -> None:
    """However much it has to say of targets, and of what it leaves out."""
    region = module_api.region
    known = await new_edge(region)
    async with edge_api(region, known) as api:
        await api.report(Served(""))
        id = await balancer(module_api, "full", services=[SERVICE])
        stale = "INSERT INTO load_balancer_health VALUES (%s, 81, '192.0.2.9', false, 'healthy')"
        await region.execute(stale, id)
        told = [Health(id + n, 80, f"10.{n}.0.{m}", True, "healthy") for n in range(50) for m in range(120)]
        await api.report(Served("", tuple(f"lb{n}-80: {'x' * 1100}" for n in range(3000))))
        await api.tell_health(told)
        kept = await region.one("SELECT count(*) AS n FROM load_balancer_health WHERE load_balancer_id = %s", id)
        assert kept == {"n": 120}
        heard = await region.one("SELECT problems[201] AS last FROM edges WHERE id = %s", known.id)
        assert heard == {"last": "and 2800 more"}
    await gone(module_api, id)
    await removed(region, known)


async def test_an_edge_without_haproxy_falls_silent(module_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another takes over; what it is told then, it does: it announces nothing any more."""
    region = module_api.region
    monkeypatch.setattr("workers.edge.DEAD", 0.5)
    known, other, edge = await new_edge(region), await new_edge(region), DeadEdge()
    async with working_edge(region, known, edge), edge_api(region, other) as api:
        id = await balancer(module_api, "dead", services=[SERVICE])
        await eventually(lambda: _serves(edge, id))
        await api.report(Served(""))

        async def taken_over() -> bool:
            await silence_if_quiet(region, known)
            await api.report(Served(""))
            return (await edge_of(region, id))[0] == other.id and not edge.plan.balancers

        await eventually(taken_over)
    await gone(module_api, id)
    await removed(region, known, other)


async def silence_if_quiet(region: Region, known: KnownEdge) -> None:
    """As if fifteen seconds had passed, once it has said nothing for one."""
    await region.execute(
        "UPDATE edges SET reported = now() - interval '16 s' WHERE id = %s AND reported < now() - interval '1 s'",
        known.id,
    )


async def test_an_edge_is_removed_by_its_name_before_its_id(module_api: Api) -> None:
    region = module_api.region
    first, second = await new_edge(region), await new_edge(region)
    async with region.pool.connection() as connection:
        await connection.execute("UPDATE edges SET name = %s WHERE id = %s", (str(first.id), second.id))
        for gone in (second, first):
            await remove_edge(connection, str(first.id))
            left = {one.id for one in await list_edges(connection)}
            assert (first.id in left, second.id in left) == (gone is second, False)
