"""A machine becomes a host: one line that the region prints, run on the machine, however often and whatever is lost."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from infra.domain.errors import InvalidInput
from infra.domain.models import HostClaims
from infra.internal_api import open_internal_api
from tests.api.test_logs import leaked
from tests.cli.run import Ended, puchify
from tests.cli.test_listening import certify
from tests.faulty_proxy import answer_cut, answer_lost, delivered_twice, faulty_proxy, request_lost
from tests.fix_api import serving
from tests.fix_deployment import free_url
from tests.fix_region import NewRegion, Region
from tests.fix_shell import Shell
from workers.enrolling import check_url
from workers.local.place import Place, write_private


@dataclass
class Yard:
    """A region whose API is at ``url``, and bare machines that may become hosts of it."""

    region: Region
    url: str
    directory: Path

    async def join(self, *words: str) -> Ended:
        settings = self.region.settings
        told = ("host", "join", "--location", self.region.location, "--url", self.url, *words)
        return await asyncio.to_thread(puchify, *told, state=settings.state, database_url=settings.database_url)

    async def line(self, *words: str, named: bool = True) -> str:
        """``named``: as no machine of another test is, since they are all called what this one is."""
        told = await self.join(*(("--name", f"{self.region.location}-h1") if named else ()), *words)
        assert told.code == 0, told
        (line,) = told.out.splitlines()
        return line

    async def run(self, line: str, machine: str, **settings: object) -> Ended:
        """The line as it was printed, on a machine of that name."""
        program, *words = shlex.split(line)
        assert program == "puchify"
        # What a machine knows of the region is in the line: no books, no secret.
        bare = {"database_url": "postgresql://nowhere", "state": self.directory / machine, "host": "simulated"}
        return await asyncio.to_thread(puchify, *words, **{**bare, **settings})

    def settings(self, machine: str) -> dict[str, str]:
        file = self.directory / machine / "enrolled" / "host.env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        pairs = (shlex.split(line)[0].split("=", 1) for line in file.read_text().splitlines())
        return {name.removeprefix("PUCHIFY_").lower(): value for name, value in pairs}

    async def hosts(self) -> list[str]:
        async with self.region.pool.connection() as connection:
            found = await connection.execute(
                "SELECT name FROM hosts WHERE location_id = %s ORDER BY id", (self.region.location_id,)
            )
            return [row["name"] for row in await found.fetchall()]


@pytest_asyncio.fixture
async def yard(new_region: NewRegion, tmp_path: Path) -> AsyncIterator[Yard]:
    async with new_region(number_of_hosts=0, workers=False) as region, serving(region.settings) as url:
        yield Yard(region, url, tmp_path)


async def test_a_machine_that_runs_the_line_is_a_host(yard: Yard) -> None:
    name = f"{yard.region.location}-h2"
    line = await yard.line("--name", name, "--zone", "a", "--rack", "r1", "--switch", "s1", "--overcommit", "2")
    token = line.split()[3]

    told = await yard.run(line, "one")

    assert (told.code, told.err) == (0, "")
    file = yard.directory / "one" / "enrolled" / "host.env"
    row = await yard.region.one(
        "SELECT id, availability_zone, rack, switch, overcommit FROM hosts WHERE name = %s", name
    )
    assert row is not None
    assert told.out.splitlines() == [
        f"This machine is host {name} (id {row['id']}) of {yard.region.location}: {file}",
        f"Start its worker:  (set -a; . {file}; exec puchify worker host)",
    ]
    assert (row["availability_zone"], row["rack"], row["switch"], row["overcommit"]) == ("a", "r1", "s1", 2.0)
    key = (yard.directory / "one" / "enrolled" / "key").read_text()
    written, region = yard.settings("one"), yard.region.settings
    assert written["host_id"] == str(row["id"])
    assert written["host_key"] == key
    assert written["internal_url"] == yard.url
    assert written["location"] == yard.region.location
    assert written["temporal_address"] == region.temporal_address
    assert written["temporal_namespace"] == region.temporal_namespace
    assert (written["host"], written["worker_pulse"]) == ("simulated", "1.0")
    assert f"2001:db8:{yard.region.location_id:x}::/48" in json.loads(written["address_pools"])
    assert Path(written["host_path"]) == yard.directory / "one" / "host"
    private = yard.directory / "one" / "enrolled"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (private, private / "key")] == [0o700, 0o600]
    assert leaked(told.out + file.read_text(), token) == []
    assert leaked(told.out, key) == []


async def test_whatever_is_lost_on_the_way_the_line_may_be_run_again(yard: Yard) -> None:
    async with faulty_proxy(yard.url, 0) as proxy:
        proxy.planned = [request_lost, answer_lost, answer_cut, delivered_twice]
        line = (await yard.line()).replace(yard.url, proxy.url)
        ended = [await yard.run(line, "one") for _ in range(4)]

    assert [one.code for one in ended] == [1, 1, 1, 0]
    for one in ended[:3]:
        assert "run the same line again" in one.err
        assert one.err.count("\n") == 1
    assert len(await yard.hosts()) == 1
    again = await yard.run(line.replace(proxy.url, yard.url), "one")
    assert (again.code, again.out) == (0, ended[3].out)
    assert len(await yard.hosts()) == 1


async def test_the_key_opens_the_internal_endpoints(yard: Yard) -> None:
    await yard.run(await yard.line(), "one")
    written = yard.settings("one")
    ours = yard.region.settings.model_copy(
        update={"host_id": int(written["host_id"]), "host_key": written["host_key"], "internal_url": yard.url}
    )
    async with open_internal_api(ours) as internal_api:
        assert await internal_api.claims() == HostClaims([], [])


async def test_a_second_machine_is_refused(yard: Yard) -> None:
    line = await yard.line()
    assert (await yard.run(line, "one")).code == 0

    told = await yard.run(line, "two")

    assert (told.code, told.out) == (1, "")
    assert told.err == (
        f"puchify: {yard.url} refuses this machine:"
        " the token is not known, or was used by another machine: a new one is needed\n"
    )
    assert len(await yard.hosts()) == 1
    assert not (yard.directory / "two" / "enrolled" / "host.env").exists()


async def test_of_two_machines_that_run_the_line_at_once_one_is_a_host(yard: Yard) -> None:
    line = await yard.line()
    ended = await asyncio.gather(*(yard.run(line, machine) for machine in ("one", "two", "three")))
    assert sorted(one.code for one in ended) == [0, 1, 1]
    assert len(await yard.hosts()) == 1


async def test_a_machine_that_is_a_host_already_is_no_second_one(yard: Yard) -> None:
    await yard.run(await yard.line(), "one")
    line = await yard.line("--name", f"{yard.region.location}-second")

    told = await yard.run(line, "one")

    assert told.code == 1
    assert "a host with this key is there already" in told.err
    assert (await yard.run(line, "two")).code == 0  # the token is as good as before


async def test_a_state_that_is_a_host_of_its_own_is_left_alone(yard: Yard) -> None:
    write_private(Place(yard.directory / "one").host_key, "a key")
    told = await yard.run(await yard.line(), "one")
    assert (told.code, told.out) == (1, "")
    assert f"{yard.directory / 'one'} is a host of `puchify up`: name another directory" in told.err
    assert await yard.hosts() == []


async def test_a_name_that_is_taken_uses_up_no_token(yard: Yard) -> None:
    name = f"{yard.region.location}-h2"
    await yard.run(await yard.line("--name", name), "one")

    at_once = await yard.join("--name", name)
    assert (at_once.code, at_once.out) == (1, "")
    assert f"another host is called {name}" in at_once.err

    line = await yard.line(named=False)
    later = await yard.run(f"{line} --name {name}", "two")
    assert later.code == 1
    assert f"another host is called {name}" in later.err
    assert (await yard.run(f"{line} --name {name}-b", "two")).code == 0
    assert await yard.hosts() == [name, f"{name}-b"]


async def test_a_token_that_is_no_good(yard: Yard) -> None:
    line = await yard.line()
    token = line.split()[3]
    wrong = {
        line.replace(token, "x" * 64): "the token is not known",
        line.replace(token, token[:-1]): "must be the 64 letters and digits",
        line.replace(token, f"'{token[:-1]}\n'"): "must be the 64 letters and digits",
    }
    for asked, said in wrong.items():
        told = await yard.run(asked, "one")
        assert (told.code, told.out) == (1, "")
        assert said in told.err
    await yard.region.execute("UPDATE enrolments SET expires = now() WHERE location_id = %s", yard.region.location_id)
    assert "the token has expired: a new one is needed" in (await yard.run(line, "one")).err
    assert await yard.hosts() == []


async def test_an_enrolment_is_listed_and_taken_back(yard: Yard) -> None:
    shell = Shell(yard.region, 0, "")
    line = await yard.line("--name", f"{yard.region.location}-h2", "--rack", "r1", "--expires", "90")
    headings, *rows = (await shell.host("enrolments")).out.splitlines()
    parsed = json.loads((await shell.host("enrolments", "--json")).out)["enrolments"]

    (mine,) = [row.split() for row in rows if yard.region.location in row]
    assert headings.split() == ["ID", "NAME", "LOCATION", "ZONE", "RACK", "SWITCH", "OVERCOMMIT", "AGE", "EXPIRES"]
    assert mine[1:9] == [f"{yard.region.location}-h2", yard.region.location, "-", "r1", "-", "4", "0", "min"]
    (enrolment,) = [one for one in parsed if one["location"] == yard.region.location]
    assert 0 < enrolment["expires_in_s"] <= 90 * 60
    assert leaked(json.dumps(parsed), line.split()[3]) == []

    revoked = await shell.host("enrolments", "--revoke", mine[0])
    assert revoked.out == f"enrolment {mine[0]} is taken back: its token is refused from now on\n"
    assert (await shell.host("enrolments", "--revoke", mine[0])).err == f"puchify: there is no enrolment {mine[0]}\n"
    assert "the token is not known" in (await yard.run(line, "one")).err


@pytest.mark.parametrize("host", ["region.example.com:8080", "192.0.2.1", "127.0.0.1.example.com", "[2001:db8::1]:80"])
def test_nothing_is_sent_in_the_clear_to_others(host: str) -> None:
    with pytest.raises(InvalidInput, match="is another machine: over http, others would read the key; use https"):
        check_url(f"http://{host}")
    check_url(f"https://{host}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/"])
def test_on_this_machine_it_may_be_sent_in_the_clear(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "region:8080",
        "ftp://127.0.0.1",
        "https://",
        "https://user@region",
        "https://region/api",
        "https://[::1",
        "https://r:x",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidInput, match="must be the address of the region's API"):
        check_url(url)


async def test_neither_side_has_to_do_with_an_address_in_the_clear(yard: Yard) -> None:
    line = await yard.line()
    at_join = await yard.join("--url", "http://192.0.2.1")
    at_enrol = await yard.run(line.replace(yard.url, "http://192.0.2.1"), "one")
    for told in (at_join, at_enrol):
        assert (told.code, told.out) == (1, "")
        assert "192.0.2.1 is another machine" in told.err
    assert not (yard.directory / "one").exists()  # before anything is made


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"api_port": 9000, "api_address": "::1"}, "http://[::1]:9000"),
        ({"internal_url": "https://region.example.com/"}, "https://region.example.com"),
    ],
)
async def test_without_an_address_the_line_has_the_regions_own(
    yard: Yard, settings: dict[str, object], url: str
) -> None:
    ours = {"state": yard.region.settings.state, "database_url": yard.region.settings.database_url, **settings}
    told = await asyncio.to_thread(puchify, "host", "join", "--location", yard.region.location, **ours)
    assert told.out.split()[-2:] == ["--url", url]
    assert ("this machine's own" in told.err) == url.startswith("http://")


async def test_a_region_that_is_not_there(yard: Yard) -> None:
    line = await yard.line()
    told = await yard.run(line.replace(yard.url, free_url()), "one")
    assert told.code == 1
    assert "does not answer" in told.err
    assert "run the same line again" in told.err


async def test_the_regions_own_certificate_is_believed_and_no_other(new_region: NewRegion, tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "one", "region.example.com")
    async with new_region(number_of_hosts=0, workers=False) as region:
        ours = region.settings.model_copy(update={"api_tls_cert": cert, "api_tls_key": key})
        async with serving(ours) as url:
            yard = Yard(region, url, tmp_path)
            line = await yard.line()

            stranger = await yard.run(line, "one")
            assert stranger.code == 1
            assert "PUCHIFY_API_TLS_CERT" in stranger.err

            for path in (tmp_path / "nothing", key):
                told = await yard.run(line, "one", api_tls_cert=path)
                assert told.code == 1
                assert told.err.startswith(f"puchify: invalid input in field 'PUCHIFY_API_TLS_CERT': {path} is no")
                assert told.err.count("\n") == 1

            assert (await yard.run(line, "one", api_tls_cert=cert)).code == 0
            assert yard.settings("one")["api_tls_cert"] == str(cert)
            assert len(await yard.hosts()) == 1
