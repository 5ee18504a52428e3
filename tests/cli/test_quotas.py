"""`puchify quota ...`, `user ...`, `project ...` on real books: what is set, what is asked for, what is decided."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from infra.db import keys, quota_requests
from infra.db.keys import Caller
from infra.db.pool import Pool, open_pool
from infra.domain.quota import Limits
from tests.cli.run import Ended, puchify
from tests.fix_stack import NewDatabase


@dataclass
class Books:
    """An operator's shell on books of its own, with a user and a project in them."""

    pool: Pool
    settings: dict[str, object]
    caller: Caller

    async def run(self, *words: str) -> Ended:
        return await asyncio.to_thread(puchify, *words, **self.settings)

    async def ask(self, limits: Limits, reason: str = "growth") -> int:
        async with self.pool.connection() as connection:
            return (await quota_requests.ask(connection, self.caller, "project", limits, reason)).id


@pytest_asyncio.fixture
async def books(new_database: NewDatabase, tmp_path: Path) -> AsyncIterator[Books]:
    async with new_database() as url, open_pool(url, 2) as pool:
        async with pool.connection() as connection:
            user, project = await keys.ensure_user(connection, "ada"), await keys.ensure_project(connection, "shop")
        yield Books(pool, {"state": tmp_path, "database_url": url}, Caller(user, project, False))


async def test_limits_are_set_and_listed(books: Books) -> None:
    told = await books.run("quota", "set", "project", "shop", "--servers", "20", "--memory", "64")
    listed, parsed = await books.run("quota", "list"), json.loads((await books.run("quota", "list", "--json")).out)

    assert told.out == "project shop: at most 20 servers, 400 cores, 64 GB of memory, 16000 GB of disk\n"
    assert [line.split() for line in listed.out.splitlines()] == [
        ["SCOPE", "NAME", "SERVERS", "CORES", "MEMORY", "DISK"],
        ["project", "shop", "0/20", "0/400", "0/64", "0/16000"],
        ["user", "ada", "0/100", "0/400", "0/1600", "0/16000"],
    ]
    assert parsed["quotas"][0]["memory"] == {"limit": 64.0, "used": 0.0, "held": 0.0}
    assert parsed["quota_requests"] == []


async def test_a_request_is_approved_once_however_often_it_is_said(books: Books) -> None:
    request = await books.ask(Limits(servers=500, memory_mib=2_048_000))
    listed, parsed = await books.run("quota", "list"), json.loads((await books.run("quota", "list", "--json")).out)
    first = await books.run("quota", "approve", str(request))
    await books.run("quota", "set", "project", "shop", "--servers", "7")
    again = await books.run("quota", "approve", str(request))
    after = await books.run("quota", "list")

    assert f"{request}        project  shop  500 servers, 2000 GB of memory  20" in listed.out
    assert listed.out.endswith("growth\n")
    assert [(one["id"], one["servers"], one["memory"]) for one in parsed["quota_requests"]] == [(request, 500, 2000.0)]
    said = f"quota request {request} is approved: project shop may take at least 500 servers, 2000 GB of memory\n"
    assert (first.code, first.out, again.code) == (0, said, 0)
    assert "0/7 " in after.out
    assert "Requests" not in after.out


async def test_a_request_is_decided_once(books: Books) -> None:
    request = str(await books.ask(Limits(cores=500)))
    for _ in range(2):
        assert (await books.run("quota", "reject", request)).out == f"quota request {request} is rejected\n"
    told = await books.run("quota", "approve", request)

    assert (told.code, told.out, told.err) == (1, "", f"puchify: quota request {request} was rejected before\n")
    assert "0/400" in (await books.run("quota", "list")).out


async def test_what_a_stranger_writes_does_not_reach_the_terminal(books: Books) -> None:
    await books.ask(Limits(cores=500), "please\n\x1b[2J\u202ethank you")

    told = await books.run("quota", "list")

    assert told.out.splitlines()[-1].endswith("please  [2J thank you")
    assert "\x1b" not in told.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("quota", "approve", "99999"), "quota request with ID '99999' not found"),
        (("quota", "reject", "99999999999999999999"), "quota request with ID '99999999999999999999' not found"),
        (("quota", "set", "project", "nowhere", "--servers", "1"), "there is no project nowhere"),
        (("quota", "set", "user", "shop", "--servers", "1"), "there is no user shop"),
        (("user", "create", ""), "invalid input in field 'user': must not be empty"),
        (("project", "create", "a\nb"), "invalid input in field 'project': must have printable characters only"),
    ],
)
async def test_what_is_not_there_or_cannot_be_is_told_in_one_line(
    books: Books, words: tuple[str, ...], message: str
) -> None:
    told = await books.run(*words)

    assert (told.code, told.out, told.err) == (1, "", f"puchify: {message}\n")


async def test_users_and_projects_are_made_once_and_listed(books: Books) -> None:
    for limit in ("3", "5"):
        made = await books.run("user", "create", "Bob B.", "--max-servers", limit, "--max-memory", "8")
        assert made.out == f"user Bob B.: at most {limit} servers, 400 cores, 8 GB of memory, 16000 GB of disk\n"
    users = await books.run("user", "list")
    projects = json.loads((await books.run("project", "list", "--json")).out)["projects"]

    assert [re.split(r" {2,}", line)[1] for line in users.out.splitlines()] == ["NAME", "Bob B.", "ada"]
    assert [(one["name"], one["keys"], one["servers"]) for one in projects] == [("shop", 0, 0)]


async def test_a_projects_inbound_policy_is_said_to_take_its_time(books: Books) -> None:
    changed = await books.run("project", "edit", "shop", "--inbound-policy", "accept")
    same = await books.run("project", "edit", "shop", "--no-default-network")

    assert "within a minute" in changed.out
    assert "within a minute" not in same.out
