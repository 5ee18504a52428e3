"""Reports in the books: what changes is written, what does not is not, and a server is turned only while at rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from infra.db import claims, hosts, power, reports
from infra.domain.models import PARTS, HostReport, Link, MachineState, Turned
from tests.db.fix_scene import Scene

REPORT = HostReport(
    Scene.host_id,
    8,
    16_384,
    100,
    free_memory_mib=9_000,
    free_disk_gib=70,
    cpu_busy=0.5,
    facts={"versions": {"kernel": "6.1"}},
    images=["a" * 64],
    links={"eth0": Link(1_000, 0.231, 0.004)},
)


def report_of(scene: Scene, state: MachineState = "running", ago: float = 1.0) -> HostReport:
    server = scene.server_id
    return replace(REPORT, holds={server: list(PARTS)}, states={server: state}, heard={server: ago})


async def told(scene: Scene, report: HostReport) -> None:
    async with scene.project.pool.connection() as connection:
        await reports.record_report(connection, report)


async def the(scene: Scene, columns: str, table: str) -> dict[str, Any]:
    (row,) = await scene.project.all(f"SELECT {columns} FROM {table}")
    return row


async def test_numbers_and_details_are_kept_apart(scene: Scene) -> None:
    await told(scene, report_of(scene))

    assert await the(scene, "cores, free_memory_mib, free_disk_gib, cpu_busy, driver", "hosts") == {
        "cores": 8,
        "free_memory_mib": 9_000,
        "free_disk_gib": 70,
        "cpu_busy": 0.5,
        "driver": "libvirt",
    }
    assert await the(scene, "facts, images, links, problems", "host_details") == {
        "facts": {"versions": {"kernel": "6.1"}},
        "images": ["a" * 64],
        "links": {"eth0": {"speed_mbit": 1_000, "received": 0.2, "sent": 0.0}},
        "problems": [],
    }
    assert await the(scene, "state, speaks, spoke", "host_holdings") == {
        "state": "running",
        "speaks": True,
        "spoke": None,
    }


async def test_what_is_told_again_is_not_written_again(scene: Scene) -> None:
    await told(scene, report_of(scene))
    versions = "SELECT (SELECT xmin::text FROM host_details), (SELECT xmin::text AS held FROM host_holdings)"
    before = await scene.project.all(versions)

    again = report_of(scene, ago=29.0)
    await told(scene, replace(again, cpu_busy=0.9, free_memory_mib=1, links={"eth0": Link(1_000, 0.241, 0.02)}))

    assert await scene.project.all(versions) == before
    assert await the(scene, "cpu_busy", "hosts") == {"cpu_busy": 0.9}


async def test_only_what_differs_of_what_is_held_is_written(scene: Scene) -> None:
    report = replace(report_of(scene), holds={scene.server_id: list(PARTS), 11: ["disk"]})
    await told(scene, report)
    held = "SELECT server_id, xmin::text, parts FROM host_holdings ORDER BY server_id"
    before = {row["server_id"]: row["xmin"] for row in await scene.project.all(held)}

    await told(scene, replace(report, holds={scene.server_id: list(PARTS), 11: ["disk", "seed"]}))

    after = {row["server_id"]: row["xmin"] for row in await scene.project.all(held)}
    assert after[scene.server_id] == before[scene.server_id]
    assert after[11] != before[11]


async def test_an_agent_that_falls_silent_is_dated_once(scene: Scene) -> None:
    await told(scene, report_of(scene, ago=10.0))
    await told(scene, report_of(scene, ago=95.0))
    silent = await the(
        scene, "speaks, now() - spoke BETWEEN interval '94 s' AND interval '155 s' AS dated", "host_holdings"
    )
    first = await the(scene, "spoke", "host_holdings")
    await told(scene, report_of(scene, ago=500.0))

    assert silent == {"speaks": False, "dated": True}
    assert await the(scene, "spoke", "host_holdings") == first


async def test_a_host_that_does_not_speak_of_machines_leaves_them_as_they_were(scene: Scene) -> None:
    await told(scene, report_of(scene))
    await told(scene, replace(report_of(scene), states=None, heard=None))
    assert await the(scene, "state, speaks", "host_holdings") == {"state": "running", "speaks": True}


async def test_a_host_with_a_problem_is_given_no_server_until_it_has_none(scene: Scene) -> None:
    order = await scene.order("next")
    await told(scene, replace(report_of(scene), holds=None, problems=["libvirt does not answer"]))
    async with scene.project.pool.connection() as connection:
        refused = await claims.take(connection, order, scene.host_id, {})
        assert await the(scene, "problems", "host_details") == {"problems": ["libvirt does not answer"]}
        assert await the(scene, "parts", "host_holdings") == {"parts": list(PARTS)}
        await reports.record_report(connection, report_of(scene))
        taken = await claims.take(connection, order, scene.host_id, {})
    assert (refused is None, taken is None) == (True, False)


# What a host finds its machine to be, and what becomes of its server.


async def server(scene: Scene) -> tuple[str, str]:
    row = await the(scene, "status, desired", "servers")
    return row["status"], row["desired"]


async def turn(scene: Scene, state: MachineState, epoch: int | None = None, host_id: int = Scene.host_id) -> None:
    row = await the(scene, "epoch", "servers")
    turned = {scene.server_id: Turned(state, row["epoch"] if epoch is None else epoch)}
    await told(scene, replace(REPORT, host_id=host_id, turned=turned))


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [
        (("running", "on"), "off", ("off", "off")),
        (("running", "on"), "crashed", ("unknown", "on")),
        (("running", "on"), "paused", ("running", "on")),
        (("running", "on"), "running", ("running", "on")),
        (("running", "off"), "off", ("running", "off")),
        (("unknown", "on"), "running", ("running", "on")),
        (("unknown", "on"), "off", ("unknown", "on")),
        (("unknown", "off"), "off", ("off", "off")),
        (("unknown", "off"), "running", ("unknown", "off")),
        (("off", "off"), "running", ("off", "off")),
        (("stopping", "off"), "off", ("stopping", "off")),
        (("deleting", "on"), "off", ("deleting", "on")),
    ],
)
async def test_a_server_becomes_what_its_machine_is(
    scene: Scene, before: tuple[str, str], state: MachineState, after: tuple[str, str]
) -> None:
    await scene.plant("UPDATE servers SET status = '{}', desired = '{}'".format(*before))
    await turn(scene, state)
    assert await server(scene) == after


async def test_a_server_on_which_something_works_stays(scene: Scene) -> None:
    await scene.plant("UPDATE servers SET locked_by = 1")
    await turn(scene, "off")
    assert await server(scene) == ("running", "on")


@pytest.mark.parametrize("off_by", [-1, 1])
async def test_an_observation_of_another_epoch_does_nothing(scene: Scene, off_by: int) -> None:
    row = await the(scene, "epoch", "servers")
    await turn(scene, "off", epoch=row["epoch"] + off_by)
    assert await server(scene) == ("running", "on")


async def test_a_host_without_the_claim_has_no_say(scene: Scene) -> None:
    async with scene.project.pool.connection() as connection:
        await hosts.register_host(connection, hosts.NewHost(8, "h8", scene.project.location_id, b"l" * 32))
    await turn(scene, "off", host_id=8)
    assert await server(scene) == ("running", "on")


async def test_of_an_observation_and_a_command_the_command_wins(scene: Scene) -> None:
    before = await the(scene, "epoch", "servers")
    async with scene.project.pool.connection() as connection:
        await power.order(connection, scene.project.id, scene.server_id, "start_server")
    await turn(scene, "off", epoch=before["epoch"])
    assert await server(scene) == ("running", "on")

    await turn(scene, "off")
    assert await server(scene) == ("off", "off")
    async with scene.project.pool.connection() as connection:
        await power.order(connection, scene.project.id, scene.server_id, "start_server")
    assert await server(scene) == ("starting", "on")


async def test_an_observation_that_waits_for_a_command_finds_it_done(scene: Scene) -> None:
    async with scene.project.pool.connection() as connection:
        async with connection.transaction():
            await power.order(connection, scene.project.id, scene.server_id, "start_server")
            before = await the(scene, "epoch", "servers")  # another connection: the command is not to be seen yet
            turning = asyncio.create_task(turn(scene, "off", epoch=before["epoch"]))
            while not await scene.project.all(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%UPDATE servers s%%'"
                " AND datname = current_database()"
            ):
                assert not turning.done()
        await turning
    assert await server(scene) == ("running", "on")
