"""The network between the API and PostgreSQL is cut around a commit: what the client is not told, its repetition finds.

A commit whose answer is lost is the one thing that nobody can know; an order is then in the books, to be found by its
key or begun by the sweep, or it is not there at all.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from infra.db import pool
from infra.temporal.names import region_queue
from tests.api.test_cut_from_temporal import (
    assert_nothing_in_the_books,
    assert_unavailable,
    id_of,
    one_server_runs,
    post,
)
from tests.fix_api import serving
from tests.fix_region import Region
from tests.link import Link, unix_link

SOCKET = ".s.PGSQL.5432"


@dataclass
class Apart:
    """An API that reaches the books over a link; everybody else reaches them directly."""

    region: Region
    link: Link
    http: httpx.AsyncClient

    async def post(self, key: str | None = "once") -> httpx.Response:
        return await post(self.http, self.region, key)


@pytest_asyncio.fixture
async def apart(region: Region, tmp_path: Path) -> AsyncIterator[Apart]:
    sockets = re.search(r"host=([^&]+)", region.settings.database_url)
    assert sockets is not None
    url = region.settings.database_url.replace(sockets[1], str(tmp_path))
    headers = {"Authorization": f"Bearer {region.token}"}
    async with (
        unix_link(Path(sockets[1]) / SOCKET, tmp_path / SOCKET) as link,
        serving(region.settings.model_copy(update={"database_url": url})) as api,
        httpx.AsyncClient(base_url=f"{api}/api/v1", headers=headers, timeout=60) as http,
    ):
        assert (await http.get("/servers")).json()["servers"] == []
        yield Apart(region, link, http)


@pytest.mark.parametrize("key", ["once", None])
@pytest.mark.parametrize("word", [b"BEGIN", b"INSERT INTO servers", b"COMMIT"])
async def test_a_cut_before_the_commit_leaves_nothing(apart: Apart, word: bytes, key: str | None) -> None:
    apart.link.when(word, apart.link.cut)

    refused = await apart.post(key)

    assert_unavailable(refused)
    await assert_nothing_in_the_books(apart.region)
    apart.link.heal()
    await one_server_runs(apart.region, id_of(await apart.post(key)))


async def test_a_commit_whose_answer_is_lost_is_found_by_its_key(apart: Apart) -> None:
    apart.link.when_answered(b"COMMIT", apart.link.cut)

    assert_unavailable(await apart.post())

    made = await apart.region.one("SELECT id FROM servers WHERE project_id = %s", apart.region.project_id)
    assert made is not None
    apart.link.heal()
    reply = await apart.post()
    assert id_of(reply) == made["id"]
    await one_server_runs(apart.region, id_of(reply))


async def test_a_commit_whose_answer_is_lost_is_begun_by_the_sweep(apart: Apart) -> None:
    region = apart.region
    apart.link.when_answered(b"COMMIT", apart.link.cut)

    assert_unavailable(await apart.post(key=None))

    await region.execute(
        "UPDATE servers SET created = now() - interval '1 minute' WHERE project_id = %s", region.project_id
    )
    await region.client.execute_workflow(
        "SweepOrders", region.location, id=f"sweep-{region.location}", task_queue=region_queue(region.location)
    )
    apart.link.heal()
    servers = (await apart.http.get("/servers")).json()["servers"]
    assert [server["name"] for server in servers] == ["web"]
    await one_server_runs(region, servers[0]["id"])


async def test_a_database_that_says_nothing_is_away(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a network that drops packets: nothing is reset, nothing is refused."""
    monkeypatch.setattr(pool, "SILENCE", 2.0)
    apart.link.when(b"INSERT INTO servers", apart.link.stall)

    assert_unavailable(await apart.post())

    await assert_nothing_in_the_books(apart.region)
    apart.link.heal()
    monkeypatch.undo()
    reply = await apart.post()
    await one_server_runs(apart.region, id_of(reply))


@pytest.mark.parametrize("moment", ["when", "when_answered"])
async def test_a_cut_around_the_answer_changes_nothing(apart: Apart, moment: str) -> None:
    getattr(apart.link, moment)(b"UPDATE idempotency_keys", apart.link.cut)

    assert_unavailable(await apart.post())

    apart.link.heal()
    first, second = [await apart.post() for _ in range(2)]
    assert (first.status_code, first.content) == (201, second.content)
    await one_server_runs(apart.region, id_of(first))
