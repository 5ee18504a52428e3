"""`puchify host ...` on real books: what it says, that it may be repeated, and that it does nothing by mistake."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from infra.db import claims
from infra.domain.models import ServerOrder, Tombstone
from tests.fix_region import eventually
from tests.fix_shell import Shell


async def test_a_list_for_people_and_one_for_programs(shell: Shell) -> None:
    await shell.server("web")

    told, parsed = await shell.host("list"), json.loads((await shell.host("list", "--json")).out)

    headings, *rows = told.out.splitlines()
    assert headings.split()[:6] == ["ID", "NAME", "LOCATION", "STATE", "DRIVER", "REPORT"]
    (row,) = (line for line in rows if line.split()[1] == shell.name)
    assert row.index("accepting") == headings.index("STATE")
    assert ", fresh" in row
    (host,) = (host for host in parsed["hosts"] if host["id"] == shell.host_id)
    assert (host["name"], host["state"], host["fresh"]) == (shell.name, "accepting", True)
    assert (host["servers"], host["used_cores"], host["cores"]) == (1, 1, 256)


async def test_cordon_and_back_by_id_and_by_name(shell: Shell) -> None:
    await shell.server("web")
    for word in (shell.name, str(shell.host_id)):
        told = await shell.host("cordon", word)
        assert (told.code, told.out) == (
            0,
            f"host {shell.name} is cordoned: no new servers come to it; on it: 1\n",
        )
        assert await shell.state() == "cordoned"
    for _ in range(2):
        assert (await shell.host("uncordon", shell.name)).out == f"host {shell.name} takes servers\n"
    assert await shell.state() == "accepting"


@pytest.mark.parametrize("command", ["drain", "remove", "lost", "show"])
async def test_an_unknown_host(shell: Shell, command: str) -> None:
    told = await shell.host(command, "nowhere")
    assert (told.code, told.out, told.err) == (1, "", "puchify: there is no host nowhere\n")


async def test_drain_says_what_is_there_and_waits_until_it_is_gone(shell: Shell) -> None:
    order = await shell.server("web")
    told = await shell.host("drain", shell.name)
    assert told.out.splitlines()[1:] == ["1 server on it:", f"  {order.server_id}  web  initializing"]

    waiting = await shell.begin("drain", shell.name, "--wait")
    assert waiting.stdout is not None
    assert b"draining" in await waiting.stdout.readline()
    assert waiting.returncode is None
    await shell.gone(order)
    rest, _ = await waiting.communicate()

    assert waiting.returncode == 0
    assert rest.decode().splitlines()[-2:] == [f"server {order.server_id} (web) is gone", f"host {shell.name} is empty"]
    assert (await shell.host("drain", shell.name, "--wait")).out.endswith("it is empty\n")
    assert await shell.state() == "draining"


async def test_a_wait_that_is_stopped_leaves_the_host_draining(shell: Shell) -> None:
    await shell.server("web")
    waiting = await shell.begin("drain", shell.name, "--wait")
    assert waiting.stdout is not None
    assert b"draining" in await waiting.stdout.readline()

    waiting.send_signal(signal.SIGINT)
    _, errors = await waiting.communicate()

    assert (waiting.returncode, errors) == (130, b"")
    assert await shell.state() == "draining"


async def test_a_host_that_will_not_be_back_soon_keeps_what_it_has(shell: Shell) -> None:
    order = await shell.server("web")
    await shell.region.execute("UPDATE servers SET status = 'running', locked_by = NULL WHERE id = %s", order.server_id)

    described = await shell.host("lost", shell.name)
    assert described.code == 1
    assert f"{order.server_id}  web  running" in described.out
    assert "Nothing was done." in described.out
    assert await shell.state() == "accepting"

    told = [await shell.host("lost", shell.name, "--yes") for _ in range(2)]
    assert [ended.code for ended in told] == [0, 0]
    assert told[0].out.splitlines() == [
        f"host {shell.name} is lost: no new servers come to it, and nothing waits for it",
        "1 server on it: 1 became unknown",
    ]
    assert await shell.state() == "lost"
    row = await shell.region.one(
        "SELECT status, host_id FROM servers s JOIN claims c ON c.server_id = s.id WHERE s.id = %s", order.server_id
    )
    assert row == {"status": "unknown", "host_id": shell.host_id}
    await shell.region.execute(
        "UPDATE servers SET status = 'initializing', locked_by = %s WHERE id = %s", order.action_id, order.server_id
    )

    assert (await shell.host("uncordon", shell.name)).out == f"host {shell.name} takes servers\n"
    assert await shell.state() == "accepting"
    await shell.region.execute(
        "UPDATE servers SET status = 'initializing', locked_by = %s WHERE id = %s", order.action_id, order.server_id
    )


async def test_removal_is_refused_while_it_holds_a_server(shell: Shell) -> None:
    order = await shell.server("web")

    refused = await shell.host("remove", shell.name)
    assert (refused.code, refused.out) == (1, "")
    assert f"host {shell.name} holds 1 server: {order.server_id} (web)" in refused.err
    assert await shell.state() == "accepting"

    await shell.gone(order)
    async with shell.region.pool.connection() as connection:
        await claims.bury(connection, Tombstone(order.server_id, shell.host_id, 1))
    told = await shell.host("remove", shell.name)
    assert (told.code, told.err) == (0, "")
    assert "is removed: its key is refused from now on" in told.out
    assert "it had not yet forgotten 1 server" in told.out
    assert await shell.state() == "removed"


async def test_a_lost_host_is_only_described_without_a_yes(shell: Shell) -> None:
    order = await shell.server("web")

    told = await shell.host("remove", shell.name, "--lost")

    assert told.code == 1
    assert f"{order.server_id}  web  initializing" in told.out
    assert "Nothing was done." in told.out
    assert await shell.state() == "accepting"
    assert (await shell.region.one("SELECT status FROM servers WHERE id = %s", order.server_id)) == {
        "status": "initializing"
    }
    assert (await shell.host("remove", shell.name, "--yes")).code == 2


async def test_a_lost_host_goes_with_its_servers(shell: Shell) -> None:
    """Their deletes are ordered, also of one that still comes; the host goes when the last of them is gone."""
    first = await shell.server("web")
    removing = asyncio.create_task(shell.host("remove", shell.name, "--lost", "--yes"))
    await eventually(lambda: deleting(shell, first))
    assert await shell.state() == "lost"

    await shell.gone(first)  # as the end of its delete does
    told = await removing

    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0] == f"server {first.server_id} (web) is being deleted"
    assert await shell.state() == "removed"


async def deleting(shell: Shell, order: ServerOrder) -> bool:
    return await shell.region.one(
        "SELECT s.status, a.command FROM servers s JOIN actions a ON a.id = s.locked_by WHERE s.id = %s",
        order.server_id,
    ) == {"status": "deleting", "command": "delete_server"}
