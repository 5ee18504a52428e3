"""The audit: every kind of leak, planted by hand, is found, told in words, and healed after the grace period only."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from infra.db import audits, claims, hosts, ledger, orders, quotas, reports
from infra.db.healing import HEALERS, Leak, heal
from infra.db.hosts import NewHost
from infra.db.ledger import Finding, Limits
from infra.domain.models import Audited, HostReport, ServerOrder
from tests.db.fix_scene import GRACE, HOUR, WITHIN, Scene

PLANTED = {
    "quota_counter": (
        "UPDATE quotas SET used_cores = used_cores + 3 WHERE scope = 'project'",
        r"quota of project \d+ counts 1 servers, 4 cores, .*; its reservations are 1, 1, .*",
    ),
    "host_counter": (
        "UPDATE hosts SET used_memory_mib = used_memory_mib + 512",
        "host 7 counts 1 cores, 768 MiB, 2 GiB; its claims are 1, 256, 2",
    ),
    "reservation": (
        "INSERT INTO quota_reservations SELECT {gone}, user_id, project_id, 1, 256, 2 FROM quota_reservations;"
        "UPDATE quotas SET used_servers = 2, used_cores = 2, used_memory_mib = 512, used_disk_gib = 4",
        "quota is reserved for server 999999, which is gone",
    ),
    "lacking": (
        "UPDATE addresses SET server_id = NULL, released = now() WHERE type = 'ipv6'",
        r"server \d+ is running and lacks its ipv6",
    ),
    "unaddressed": (
        "INSERT INTO primary_ips (project_id, name, type, location_id)"
        " SELECT project_id, 'bare', 'ipv4', location_id FROM servers",
        r"primary IP \d+ lacks its ipv4",
    ),
    "lock": (
        "UPDATE servers SET locked_by = (SELECT min(id) FROM actions)",
        r"server \d+ is running and locked by action \d+, which has ended",
    ),
    "abandoned": (
        "UPDATE servers SET status = 'deleting'",
        r"server \d+ is deleting and nothing works on it",
    ),
    "action": (
        "INSERT INTO actions (project_id, server_id, command) SELECT project_id, {gone}, 'start_server' FROM servers",
        r"action \d+ \(start_server\) is running and its server 999999 is gone",
    ),
    "stray": (
        "INSERT INTO host_holdings (host_id, server_id, parts) VALUES ({host}, {gone}, ARRAY['disk', 'port'])",
        "host 7 holds the disk, port of server 999999, which is gone",
    ),
    "missing": (
        "UPDATE host_holdings SET parts = ARRAY['machine', 'disk']",
        r"server \d+ is running on host 7, which does not have its seed, its port",
    ),
    "tombstone": (
        "INSERT INTO tombstones (host_id, server_id, epoch) VALUES ({host}, {gone}, 1)",
        "host 7 has yet to forget server 999999",
    ),
    "guard": (
        "INSERT INTO enforced_firewalls SELECT server_id, {gone}, epoch FROM claims",
        r"host 7 guards server \d+ by firewall 999999, which is gone",
    ),
    "names": (
        "INSERT INTO zone_checks VALUES ('example.com', now(), 'is not served')",
        r"zone example\.com is not served as it shall be: it is not served",
    ),
    "names_due": (
        "INSERT INTO names_due (kind, value, noted) VALUES ('zone', 'example.com', now() - interval '91 s')",
        "1 changes of names have not reached the name servers",
    ),
    "edge": (
        "INSERT INTO edges (name, location_id, key_digest, reported, differs)"
        " SELECT 'edge-1', location_id, sha256('key'), now(), now() FROM servers",
        "edge edge-1 does not serve what the books say",
    ),
    "unserved": (
        "INSERT INTO load_balancers (project_id, name, load_balancer_type_id, location_id, algorithm)"
        " SELECT s.project_id, 'lost', t.id, s.location_id, 'round_robin'"
        " FROM servers s, (SELECT min(id) AS id FROM load_balancer_types) t;"
        "INSERT INTO addresses (pool_id, type, address, load_balancer_id)"
        " SELECT a.pool_id, a.type, 'lost ' || a.type, b.id FROM addresses a, load_balancers b WHERE a.held",
        r"load balancer \d+ is served by no edge",
    ),
    "overdue": (
        "INSERT INTO actions (project_id, server_id, command, workflow_id, started)"
        " SELECT project_id, id, 'create_server', 'w', now() - interval '900 s' FROM servers;"
        "UPDATE servers SET status = 'initializing', began = NULL, locked_by = (SELECT max(id) FROM actions)",
        r"action \d+ \(create_server\) on server \d+ is running past its deadline",
    ),
}
"""By kind: how it comes about, and what is said of it."""

ONLY_TOLD = {"lacking", "unaddressed", "missing", "tombstone", "guard", "names_due", "edge", "unserved"}
"""Nothing can make up for these: the host has to, or somebody has to look."""


def test_every_kind_is_planted_and_every_other_one_is_healed() -> None:
    assert set(PLANTED) == set(ledger.KINDS)
    assert set(HEALERS) == set(PLANTED) - ONLY_TOLD


async def test_nothing_is_wrong_with_a_region_at_work(scene: Scene) -> None:
    await scene.order("waiting")
    await scene.begin(await scene.order("at-work"))

    assert await scene.examine() == []
    await scene.report()
    assert await scene.examine() == []
    assert await scene.audit() == Audited({}, {}, {})


@pytest.mark.parametrize("kind", PLANTED)
async def test_a_leak_is_told_in_words(scene: Scene, kind: str) -> None:
    plant, words = PLANTED[kind]
    await scene.plant(plant)

    (finding,) = await scene.examine()

    assert (finding.kind, finding.pending) == (kind, False)
    assert re.fullmatch(words, finding.text), finding.text


@pytest.mark.parametrize("kind", PLANTED)
async def test_a_leak_is_healed_after_the_grace_period_and_not_before(scene: Scene, kind: str) -> None:
    plant, _ = PLANTED[kind]
    await scene.plant(plant)

    assert await scene.audit() == Audited({}, {}, {})
    assert [finding.kind for finding in await scene.examine()] == [kind]

    await scene.an_hour_passes()
    healed = {} if kind in ONLY_TOLD else {kind: 1}
    assert await scene.audit() == Audited({kind: 1}, {}, healed)
    left = [finding.kind for finding in await scene.examine()]
    assert left == {"stray": ["tombstone"]}.get(kind, [kind] if kind in ONLY_TOLD else [])
    async with scene.project.pool.connection() as connection:
        (tally,) = [one for one in await audits.latest(connection) if one.kind == kind]
        assert (await ledger.imbalances(connection) == []) == (kind not in ("lacking", "unaddressed"))
    assert (tally.location, tally.leaks, tally.healed) == ("local", 1, len(healed))


async def test_what_is_right_again_is_young_when_it_goes_wrong_again(scene: Scene) -> None:
    plant, _ = PLANTED["missing"]
    await scene.plant(plant)
    await scene.audit()
    await scene.an_hour_passes()
    await scene.report()
    await scene.audit()
    await scene.plant(plant)

    assert await scene.audit() == Audited({}, {}, {})


async def test_what_nobody_has_watched_counts_as_old(scene: Scene) -> None:
    await scene.plant(PLANTED["host_counter"][0])
    (never_watched,) = await scene.examine()
    await scene.audit()
    await scene.plant(PLANTED["missing"][0])
    watched = await scene.examine()

    assert never_watched.is_leak(GRACE)
    assert [finding.is_leak(GRACE) for finding in watched] == [False, False]


@pytest.mark.parametrize("kind", ["stray", "tombstone"])
async def test_a_silent_host_is_waited_for(scene: Scene, kind: str) -> None:
    await scene.plant(PLANTED[kind][0])
    await scene.plant("UPDATE hosts SET reported = now() - interval '91 s', told = now() - interval '91 s'")
    await scene.audit()
    await scene.an_hour_passes()

    assert await scene.audit() == Audited({}, {kind: 1}, {})
    assert await scene.audit() == Audited({}, {kind: 1}, {})

    await scene.report() if kind == "tombstone" else await scene.plant(
        "UPDATE hosts SET told = now(), reported = now()"
    )
    (back,) = await scene.examine()
    assert back.pending is False


async def test_what_a_server_left_on_another_host_is_a_stray_there(scene: Scene) -> None:
    async with scene.project.pool.connection() as connection:
        await hosts.register_host(connection, NewHost(8, "h8", scene.project.location_id, b"l" * 32))
        await reports.record_report(connection, HostReport(8, 4, 4096, 40, holds={scene.server_id: ["disk"]}))
    await scene.audit()
    await scene.an_hour_passes()

    assert (await scene.audit()).healed == {"stray": 1}

    server = await scene.project.all("SELECT epoch FROM servers")
    assert await scene.project.all("SELECT host_id, server_id, epoch FROM tombstones") == [
        {"host_id": 8, "server_id": scene.server_id, **server[0]}
    ]


async def test_a_create_is_left_alone_within_its_deadline_and_deleted_after_it(scene: Scene) -> None:
    order = await scene.order("slow")
    await scene.begin(order)
    await scene.report()
    late = WITHIN + GRACE
    await scene.plant(f"UPDATE servers SET began = now() - interval '{late - 60} s' WHERE name = 'slow'")
    await scene.plant(f"UPDATE actions SET started = now() - {HOUR} WHERE server_id <> {{server}}")

    assert await scene.audit() == Audited({}, {}, {})

    await scene.plant(f"UPDATE servers SET began = now() - interval '{late + 1} s' WHERE name = 'slow'")
    assert await scene.audit() == Audited({}, {}, {})  # after an outage, say: it may be about to end by itself
    await scene.plant(f"UPDATE findings SET since = since - {HOUR}")
    assert await scene.audit() == Audited({"overdue": 1}, {}, {"overdue": 1})
    actions = await scene.project.all(
        "SELECT command, status, error_code, error_message FROM actions WHERE server_id = %s ORDER BY id",
        order.server_id,
    )
    told = {"status": "error", "error_code": "timeout", "error_message": "the server was not ready in time"}
    running = {"status": "running", "error_code": None, "error_message": None}
    assert actions == [
        {"command": "create_server", **told},
        {"command": "start_server", **told},
        {"command": "delete_server", **running},
    ]
    async with scene.project.pool.connection() as connection:
        (delete,) = await orders.waiting_deletes(connection, "local", older_than=-1)
    assert delete.server_id == order.server_id


async def test_a_create_that_ends_well_while_it_is_given_up_stays(scene: Scene) -> None:
    order = await scene.order("slow")
    await scene.begin(order)
    await scene.report()
    await scene.an_hour_passes()
    (finding,) = await scene.examine()
    await scene.finish(order)

    async with scene.project.pool.connection() as connection:
        assert not await heal(connection, Leak(finding, Limits(WITHIN, WITHIN), GRACE))

    assert [row["status"] for row in await scene.project.all("SELECT status FROM servers")] == ["running", "running"]


async def test_counters_are_healed_while_orders_come_and_go(scene: Scene) -> None:
    """A recount that missed an order under way would make the leak that it heals."""
    ordered = [await scene.order(f"s{number}") for number in range(20)]
    limits = Limits(WITHIN, WITHIN)
    wrong = Finding("", f"project {scene.project.id}", None, None, scene.host_id, "", False, False, 0)
    kinds = [replace(wrong, kind="quota_counter"), replace(wrong, kind="host_counter")]
    done = asyncio.Event()

    async def come_and_go(order: ServerOrder) -> None:
        async with scene.project.pool.connection() as connection:
            for epoch in range(1, 6):
                await quotas.reserve(connection, order)
                await claims.take(connection, order, scene.host_id, {}, epoch)
                await claims.release(connection, order.server_id, epoch)
                await quotas.release(connection, order.server_id)

    async def recount() -> int:
        rounds = 0
        async with scene.project.pool.connection() as connection:
            while not done.is_set():
                await connection.execute("UPDATE quotas SET used_cores = used_cores + 1 WHERE scope = 'project'")
                await connection.execute("UPDATE hosts SET used_cores = used_cores + 1")
                for finding in kinds:
                    assert await heal(connection, Leak(finding, limits, GRACE))
                assert await ledger.imbalances(connection) == []
                rounds += 1
        return rounds

    recounting = asyncio.create_task(recount())
    await asyncio.gather(*map(come_and_go, ordered))
    done.set()

    assert await recounting > 1
