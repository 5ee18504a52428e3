"""`puchify explain` and `puchify capacity`: exact words, on a region whose placements were really made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from activities.placement import Placements
from infra.db.placement_inputs import Notes
from infra.db.warm_hosts import WarmHosts
from infra.domain.errors import ResourceUnavailable
from infra.domain.models import PlacementRequest, ServerOrder
from tests.cli.run import Ended, puchify
from tests.fix_region import NewRegion, Region


@dataclass
class Shell:
    """An operator's shell. ``web`` is placed on the second of three hosts; ``vast`` was refused."""

    region: Region
    names: list[str]
    web: ServerOrder
    vast: ServerOrder

    async def run(self, *words: str) -> Ended:
        settings = self.region.settings
        return await asyncio.to_thread(puchify, *words, state=settings.state, database_url=settings.database_url)

    async def fresh(self) -> None:
        """Nobody reports for the hosts, and after a while they would not be asked."""
        await self.region.execute("UPDATE hosts SET reported = now() WHERE location_id = %s", self.region.location_id)

    async def explain(self, *words: str) -> Ended:
        return await self.run("explain", *words)


@pytest_asyncio.fixture(scope="module")
async def shell(module_region: NewRegion) -> AsyncIterator[Shell]:
    async with module_region(3, workers=False) as region:
        first, _, third = sorted(region.hosts)
        await region.execute(
            "UPDATE hosts SET cpu_busy = 0.9, rack = 'r1', availability_zone = 'a' WHERE id = %s", first
        )
        await region.execute("UPDATE hosts SET state = 'cordoned', rack = 'r2' WHERE id = %s", third)
        web, vast = await region.order(f"web-{region.location}"), await region.order(f"vast-{region.location}")
        notes = Notes(region.pool)
        placements = Placements(region.pool, WarmHosts(region.location), notes)
        await placements.place_server(PlacementRequest(web))
        await region.execute("UPDATE hosts SET state = 'draining' WHERE location_id = %s", region.location_id)
        with pytest.raises(ResourceUnavailable):
            await placements.place_server(PlacementRequest(vast))
        await notes.written()
        await region.execute("UPDATE hosts SET state = 'accepting' WHERE location_id = %s", region.location_id)
        yield Shell(region, [f"{region.location}-{host_id}" for host_id in sorted(region.hosts)], web, vast)


async def test_a_table_of_hosts_and_what_dropped_them(shell: Shell) -> None:
    told = await shell.explain(str(shell.web.server_id))

    first, second, third = shell.names
    assert (told.code, told.err) == (0, "")
    head, asked, counts, score, _, headings, *rows = told.out.splitlines()
    assert head.startswith(f"server {shell.web.server_id} was placed on {second}, 20")
    assert head.endswith(" UTC, epoch 1")
    assert asked == "asked for: 1 core, 256 MiB memory, 2 GiB disk, x86"
    assert counts == "of 3 hosts 2 fit; dropped by state 1"
    assert score.startswith("score: ")
    assert headings.split() == ["HOST", "SCORE", "HEADROOM", "CALM", "SPREAD", "DENSITY", "DROPPED", "BY"]
    assert [row.split()[:3] for row in rows] == [
        ["1", ">", second],
        ["2", first, rows[1].split()[2]],
        ["-", third, "state"],
    ]


async def test_a_refused_one_is_explained_as_well(shell: Shell) -> None:
    told = await shell.explain(shell.vast.name)

    assert told.out.startswith(f"server {shell.vast.server_id} was refused: no host fitted, ")
    assert "of 3 hosts 0 fit; dropped by state 3\n" in told.out


async def test_why_not_another_host(shell: Shell) -> None:
    busy = await shell.explain(shell.web.name, "--why-not", shell.names[0])
    cordoned = await shell.explain(shell.web.name, "--why-not", shell.names[2])
    unknown = await shell.explain(shell.web.name, "--why-not", "nowhere")

    assert f"{shell.names[0]} fits, as number 2 of 2\n{shell.names[1]} was chosen with " in busy.out
    assert "\n  calm: 0.100, there 1.000 (" in busy.out
    assert cordoned.out.endswith(f"\n\n{shell.names[2]} does not fit:\n  state: it is cordoned\n")
    assert (unknown.code, unknown.err) == (1, "puchify: there is no host nowhere\n")


async def test_what_if_it_had_been_larger(shell: Shell) -> None:
    larger = await shell.explain(shell.web.name, "--what-if", "memory=32", "--what-if", "cores=2")
    too_large = await shell.explain(shell.web.name, "--what-if", "memory=65")

    assert "; had it been of another size:\nasked for: 2 cores, 32 GiB memory, 2 GiB disk, x86\n" in larger.out
    assert "of 3 hosts 2 fit" in larger.out
    assert "of 3 hosts 0 fit; dropped by state 1, memory 2" in too_large.out


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ("ram=32", "'ram=32': what can be asked for is cores, memory, disk"),
        ("memory=much", "'memory=much': that is no amount of memory"),
        ("cores=0", "'cores=0': that is no amount of cores"),
        ("cores=1.5", "'cores=1.5': that is no amount of cores"),
        ("disk=inf", "'disk=inf': that is no amount of disk"),
        ("disk=nan", "'disk=nan': that is no amount of disk"),
    ],
)
async def test_a_wish_that_makes_no_sense(shell: Shell, wish: str, complaint: str) -> None:
    told = await shell.explain(shell.web.name, "--what-if", wish)

    assert (told.code, told.out) == (2, "")
    assert complaint in " ".join(told.err.replace("│", " ").split())


async def test_a_file_decided_again_gives_the_same_bytes(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "placement.json"
    file.write_text((await shell.explain(shell.web.name, "--json")).out)

    same = await shell.explain("--recompute", str(file))
    assert (same.code, same.out, same.err) == (0, file.read_text(), "")

    file.write_text(same.out.replace('"candidates": 2', '"candidates": 1'))
    forged = await shell.explain("--recompute", str(file))
    assert (forged.code, forged.out) == (1, same.out)
    assert "says something else" in forged.err

    file.write_text("{}")
    nothing = await shell.explain("--recompute", str(file))
    assert (nothing.code, nothing.out) == (1, "")
    assert "it is no placement" in nothing.err


async def test_with_the_hosts_as_they_are_now(shell: Shell) -> None:
    await shell.fresh()
    told = await shell.explain(shell.vast.name, "--now")

    assert told.out.startswith(f"server {shell.vast.server_id} with the hosts as they are now\n")
    assert "of 3 hosts 3 fit\n" in told.out


async def test_what_cannot_be_explained(shell: Shell, tmp_path: Path) -> None:
    never, nobody = await shell.explain("999999999"), await shell.explain("nobody")
    neither, unread = await shell.explain(), await shell.explain("--recompute", str(tmp_path / "none"))

    assert (never.code, never.err.startswith("puchify: of server 999999999 no placement is kept")) == (1, True)
    assert (nobody.code, nobody.err) == (1, "puchify: there is no server nobody\n")
    assert (neither.code, "give a server, or --recompute FILE" in neither.err) == (2, True)
    assert (unread.code, "cannot be read" in unread.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("web", "--json", "--why-not", "1"), "it goes without --why-not"),
        (("--recompute", "file", "--what-if", "cores=2"), "--recompute goes without other options"),
        (("--recompute", "file", "--now"), "--recompute goes without other options"),
    ],
)
async def test_what_is_not_said_together(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    told = await shell.explain(*words)

    assert (told.code, told.out) == (2, "")
    assert complaint in " ".join(told.err.split())


async def test_capacity_by_zone_and_rack(shell: Shell) -> None:
    await shell.fresh()
    told = await shell.run("capacity", "--location", shell.region.location)
    parsed = json.loads((await shell.run("capacity", "--location", shell.region.location, "--json")).out)

    headings, *rows = told.out.split("\n\n")[0].splitlines()
    assert headings.split() == ["LOCATION", "ZONE", "RACK", "HOSTS", "CORES", "MEMORY", "DISK", "BIGGEST"]
    assert [row.split()[1:4] for row in rows] == [
        ["all", "all", "3/3"],
        ["-", "all", "2/2"],
        ["-", "-", "1/1"],
        ["-", "r2", "1/1"],
        ["a", "all", "1/1"],
        ["a", "r1", "1/1"],
    ]
    (location,) = parsed["locations"]
    assert location["location"] == shell.region.location
    assert location["rooms"][0]["fits"]["px1"] == 3 * 256 - 1  # their memory is what ends first
    head, headings, *fits = told.out.split("\n\n")[1].splitlines()
    assert (head, headings.split()[:4]) == ("still fit:", ["LOCATION", "ZONE", "RACK", "px1"])
    assert [row.split()[1:4] for row in fits] == [
        ["all", "all", "767"],
        ["-", "all", "511"],
        ["-", "-", "255"],
        ["-", "r2", "256"],
        ["a", "all", "256"],
        ["a", "r1", "256"],
    ]


async def test_capacity_of_nowhere(shell: Shell) -> None:
    told = await shell.run("capacity", "--location", "nowhere")

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("puchify: there is no location nowhere; there are: ")
    assert shell.region.location in told.err
