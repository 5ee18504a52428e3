"""Where hosts stand, as operators write it down and read it again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.db.host_views import HostUse
from infra.db.reports import record_report
from infra.domain.models import HostReport, Link
from tests.fix_shell import Shell
from workers.commands.host_places import tree

GOLDEN = Path(__file__).with_name("golden") / "a-topology.txt"

HOST = HostUse(
    id=1,
    name="h1",
    location="fsn1",
    availability_zone="a",
    rack="r1",
    switch="s1",
    architecture="x86",
    state="accepting",
    driver="libvirt",
    report_age_s=3.0,
    unheard=False,
    servers=2,
    overcommit=4.0,
    used_cores=6,
    cores=64,
    used_memory_mib=12_800,
    memory_mib=65_536,
    used_disk_gib=120,
    disk_gib=1_000,
    tombstones=0,
)


def test_a_tree() -> None:
    """``PUCHIFY_GOLDEN=write pytest tests/cli/test_host_places.py`` writes it anew."""
    hosts = [
        replace(HOST, id=9, name="h9", location="nbg1", availability_zone="", rack="", switch="", servers=0),
        replace(HOST, id=4, name="h4", rack="r2", switch="s3", state="cordoned"),
        replace(HOST, id=3, name="h3", switch="s2", report_age_s=None),
        replace(HOST, id=2, name="h2", used_cores=70, servers=1),  # more than it offers, since that was lowered
        HOST,
        replace(HOST, id=5, name="h5", availability_zone="b", state="lost", report_age_s=4000.0),
    ]
    drawn = "".join(f"{line}\n" for line in tree(hosts))
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        GOLDEN.write_text(drawn)
    assert drawn == GOLDEN.read_text()


async def test_an_edit_says_what_it_changed(shell: Shell) -> None:
    told = await shell.host("edit", shell.name, "--zone", "a", "--rack", "r1", "--switch", "s1", "--overcommit", "2.5")
    assert told.out.splitlines() == [
        f"host {shell.name}: zone none -> a",
        f"host {shell.name}: rack none -> r1",
        f"host {shell.name}: switch none -> s1",
        f"host {shell.name}: overcommit 4 -> 2.5",
    ]
    assert (await shell.host("edit", shell.name, "--rack", "r1")).out == f"host {shell.name}: it is so already\n"
    assert (await shell.host("edit", shell.name, "--rack", "")).out == f"host {shell.name}: rack r1 -> none\n"

    renamed = f"{shell.name}.anew"
    told = await shell.host("edit", shell.name, "--name", renamed)
    assert told.out == f"host {renamed}: name {shell.name} -> {renamed}\n"
    (row,) = [line for line in (await shell.host("list", "--wide")).out.splitlines() if renamed in line]
    assert row.split()[3:7] == ["a", "-", "s1", "2.5"]


async def test_an_edit_below_what_is_held_says_so(shell: Shell) -> None:
    for number in range(3):
        await shell.server(f"web-{number}")
    async with shell.region.pool.connection() as connection:
        await record_report(connection, HostReport(shell.host_id, 2, 65_536, 2_000))

    told = await shell.host("edit", shell.name, "--overcommit", "1")

    assert told.code == 0
    assert told.out.splitlines()[1:] == ["it holds 3 cores and offers 2: no new servers come until some have gone"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--rack", "R 1", "--overcommit", "nan"), 1, "invalid input in fields 'rack', 'overcommit'"),
        (("--name", "17"), 1, "it would read as a host's id"),
        ((), 2, "say what is to change"),
    ],
)
async def test_an_edit_that_cannot_be(shell: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    told = await shell.host("edit", shell.name, *words)
    assert (told.code, told.out) == (code, "")
    assert said in told.err


async def test_all_of_one_host(shell: Shell) -> None:
    order = await shell.server("web")
    await shell.host("edit", shell.name, "--zone", "a", "--rack", "r1")
    facts = {"kvm": True, "versions": {"kernel": "6.1", "qemu": "7.2.0"}}
    report = HostReport(
        *(shell.host_id, 4, 8192, 100, 4096, 80, 0.25, 0.5, 0.0, "libvirt", facts),
        images=["a" * 64],
        links={"eth0": Link(10_000, 0.25, 0.0), "eth1": Link(None)},
        holds={order.server_id: ["machine"]},
        states={order.server_id: "running"},
        heard={order.server_id: 500.0},
        problems=["libvirt does not answer"],
    )
    async with shell.region.pool.connection() as connection:
        await record_report(connection, report)

    told, parsed = (
        await shell.host("show", shell.name),
        json.loads((await shell.host("show", "--json", shell.name)).out),
    )

    width = told.out.index(shell.name)  # of the first column
    rows = {line[:width].strip(): line[width:] for line in told.out.splitlines()}
    assert rows["host"] == f"{shell.name} (id {shell.host_id})"
    assert rows["stands in"] == f"{shell.region.location}, zone a, rack r1, switch -"
    assert rows["state"] == "accepting"
    assert rows["report"].endswith("s, silent")  # it says itself that it does not work
    assert rows["problem"] == "libvirt does not answer"
    assert rows["cores"] == "1 of 16 used (overcommit 4)"
    assert rows["memory"].endswith(" of 8192 MiB used, 4096 MiB really free")
    assert rows["cores busy"] == "25%, waiting for disks 50%"
    assert rows["versions"] == "kernel 6.1, qemu 7.2.0"
    assert rows["uplink eth0"] == "10000 Mbit/s, 20% in, 0% out"
    assert (rows["uplink eth1"], rows["images"]) == ("no speed known", "1 cached")
    assert told.out.splitlines()[-1] == (
        f"  {order.server_id}  web  initializing  machine running  its agent is silent"
    )
    host = parsed["host"]
    assert (host["name"], host["rack"], host["facts"]) == (shell.name, "r1", facts)
    assert host["servers"] == [
        {
            "id": order.server_id,
            "name": "web",
            "status": "initializing",
            "project_id": shell.region.project_id,
            "machine": "running",
            "agent_speaks": False,
        }
    ]


async def test_a_location_as_a_tree(shell: Shell) -> None:
    told = await shell.host("topology", "--location", shell.region.location)
    assert [line.strip().partition(":")[0] for line in told.out.splitlines()[:4]] == [
        f"location {shell.region.location}",
        "zone -",
        "rack -",
        "switch -",
    ]
    assert f"{shell.name}  accepting, 0 servers; free: 256 cores" in told.out

    unknown = await shell.host("topology", "--location", "nowhere")
    assert (unknown.code, unknown.out) == (1, "")
    assert "puchify: there is no location nowhere; there are: " in unknown.err
