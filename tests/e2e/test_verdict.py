"""The storm's verdict can fail: everything it looks for, it finds when it is there."""

from __future__ import annotations

import pytest

from tests.fix_region import Region
from tests.storm.lives import Fate, Life
from tests.storm.verdict import newest_server, unsettled, wrongs_of

STRAY = 987_654_321
HARM = {
    "server {id} is locked": (
        "UPDATE servers SET locked_by = 1 WHERE id = {id}",
        "UPDATE servers SET locked_by = NULL WHERE id = {id}",
    ),
    "server {id} is off": (
        "UPDATE servers SET status = 'off' WHERE id = {id}",
        "UPDATE servers SET status = 'running' WHERE id = {id}",
    ),
    "start_server of server {id} goes on": (
        "UPDATE actions SET status = 'running', finished = NULL WHERE server_id = {id} AND command = 'start_server'",
        "UPDATE actions SET status = 'success', finished = now() WHERE server_id = {id} AND command = 'start_server'",
    ),
    "quota of project {project} counts 2 servers": (
        "UPDATE quotas SET used_servers = 2 WHERE subject_id = {project} AND scope = 'project'",
        "UPDATE quotas SET used_servers = 1 WHERE subject_id = {project} AND scope = 'project'",
    ),
    "host {host} has still to forget server {id}": (
        "INSERT INTO tombstones VALUES ({host}, {id}, 1)",
        "DELETE FROM tombstones WHERE server_id = {id}",
    ),
}
"""What the verdict says, by the harm that is done and how it is mended: all regions of a session share these books."""


@pytest.mark.parametrize("finding", HARM)
async def test_harm_in_the_books_is_found(region: Region, finding: str) -> None:
    server_id = (await region.create()).server_id
    names = {"id": server_id, "project": region.project_id, "host": next(iter(region.hosts))}
    harm, mend = (statement.format(**names) for statement in HARM[finding])
    assert await unsettled(region, [server_id]) == []

    await region.execute(harm)
    found = await unsettled(region, [server_id])
    await region.execute(mend)

    assert any(one.startswith(finding.format(**names)) for one in found), found
    assert await unsettled(region, [server_id]) == []


async def test_what_is_lost_and_what_is_nobodys_is_found(region: Region) -> None:
    server_id = (await region.create()).server_id

    found = await unsettled(region, [STRAY])

    assert {f"server {STRAY} is lost", f"server {server_id} is nobody's"} <= set(found)
    for hold in ("a claim", "quota", "an ipv4", "an ipv6"):
        assert f"{hold} is held by server {server_id}" in found


async def test_harm_on_a_host_is_found(region: Region) -> None:
    server_id, host_id = (await region.create()).server_id, next(iter(region.hosts))
    region.host.power_off(server_id)
    region.host.db.execute("DELETE FROM seeds WHERE server_id = ?", (server_id,))
    region.host.db.execute("INSERT INTO disks VALUES (?, 1, 1, 1)", (STRAY,))

    assert set(await unsettled(region, [server_id])) == {
        f"host {host_id} does not run server {server_id}",
        f"host {host_id} lacks of server {server_id} its seeds",
        f"host {host_id} holds a part of server {STRAY}, which is not its own",
    }


async def test_a_life_that_went_wrong_is_found(region: Region) -> None:
    before = await newest_server(region)
    server_id = (await region.create()).server_id
    lives = [
        Life("web", Fate.DELETED, 1, "deleted", ("10.0.0.1",), told=1, given_up=3),
        Life("next", Fate.KEPT, 2, "runs", ("10.0.0.1",), told=3.1),
        Life("twin", Fate.KEPT, 2, "runs", ("10.0.0.1",), told=2),
        Life("bug", Fate.KEPT, 3, "server_error"),
        Life("mute", Fate.DELETED, 4),
        Life("greedy", Fate.TOO_LARGE, 5, "runs"),
    ]

    assert await wrongs_of(region, lives, before) == [
        "bug (kept): it ended with server_error",
        "mute (deleted when it runs): it ended with nothing",
        "greedy (beyond the quota): it ended with runs",
        f"server {server_id} was made and nobody was told",
        "web and twin have 10.0.0.1",
        "next and twin have 10.0.0.1",
        "next and twin are both server 2",
    ]
