"""`puchify key ...` on real books and a real API: a key is shown once, and ends when it is said to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.cli.run import Ended, puchify
from tests.fix_api import Api


@dataclass
class Shell:
    """An operator's shell beside an API that is at work."""

    api: Api

    async def key(self, *words: str) -> Ended:
        settings = self.api.region.settings
        return await asyncio.to_thread(puchify, "key", *words, state=settings.state, database_url=settings.database_url)

    async def create(self, *words: str) -> str:
        """The key; its user and its project are the region's."""
        name = self.api.region.location
        made = await self.key("create", "--user", name, "--project", name, *words)
        assert (made.code, made.err) == (0, "")
        return made.out.strip()

    async def listed(self, name: str) -> list[dict[str, Any]]:
        """Those of that name; the books are everybody's."""
        keys = json.loads((await self.key("list", "--json")).out)["keys"]
        return [key for key in keys if key["name"] == name and key["project"] == self.api.region.location]

    async def answer_to(self, key: str, method: str = "GET") -> tuple[int, str | None]:
        async with httpx.AsyncClient() as http:
            headers = {"Authorization": f"Bearer {key}"}
            reply = await http.request(method, f"{self.api.url}/api/v1/ssh_keys", headers=headers)
        return reply.status_code, reply.json().get("error", {}).get("code")


@pytest_asyncio.fixture
async def shell(api: Api) -> AsyncIterator[Shell]:
    yield Shell(api)


async def test_a_key_is_shown_once_and_listed_without(shell: Shell) -> None:
    key = await shell.create("--name", "shown", "--read-only", "--expires", "90d")
    assert await shell.answer_to(key) == (200, None)
    assert await shell.answer_to(key, "POST") == (401, "token_readonly")

    table, (listed,) = await shell.key("list"), await shell.listed("shown")

    assert len(key) == 64
    assert key not in table.out + json.dumps(listed)
    assert set(listed) == {
        *("id", "name", "user", "project", "read_only", "created", "expires", "last_used", "revoked", "replaces")
    }
    created, expires, used = (datetime.fromisoformat(listed[name]) for name in ("created", "expires", "last_used"))
    assert timedelta(days=89, hours=23) < expires - created <= timedelta(days=90)
    assert used >= created
    assert (listed["read_only"], listed["revoked"], listed["replaces"]) == (True, None, None)
    (row,) = (line for line in table.out.splitlines() if line.split()[0] == str(listed["id"]))
    assert row.split()[1:5] == ["shown", shell.api.region.location, shell.api.region.location, "read"]
    assert f"{expires:%Y-%m-%d %H:%M}" in row


async def test_a_revoked_key_is_refused_at_once(shell: Shell) -> None:
    key = await shell.create("--name", "leaked")
    (listed,) = await shell.listed("leaked")
    assert await shell.answer_to(key) == (200, None)

    for _ in range(2):
        told = await shell.key("revoke", str(listed["id"]))
        assert told.out == f"key {listed['id']} is revoked: it is refused from now on\n"
        assert await shell.answer_to(key) == (401, "unauthorized")
    rotated = await shell.key("rotate", str(listed["id"]))

    assert (rotated.code, rotated.err) == (1, f"puchify: key {listed['id']} has ended: make a new one\n")


async def test_a_key_is_rotated_once_and_both_are_good_meanwhile(shell: Shell) -> None:
    old = await shell.create("--name", "turned", "--read-only")
    (listed,) = await shell.listed("turned")
    told = await shell.key("rotate", str(listed["id"]), "--overlap", "24h")
    new = told.out.strip()
    again = await shell.key("rotate", str(listed["id"]))

    before, after = await shell.listed("turned")
    assert told.err.startswith(f"key {after['id']} takes the place of key {listed['id']}, which ends at ")
    assert new not in told.err
    assert [await shell.answer_to(key) for key in (old, new)] == [(200, None)] * 2
    assert await shell.answer_to(new, "POST") == (401, "token_readonly")
    assert (before["replaces"], after["replaces"]) == (None, listed["id"])
    assert (before["expires"] is None, after["expires"]) == (False, None)
    assert (again.code, again.out) == (1, "")
    said = f"key {listed['id']} was rotated before: key {after['id']} takes its place, rotate that one"
    assert again.err == f"puchify: {said}\n"


async def test_without_an_overlap_the_old_key_ends_at_once(shell: Shell) -> None:
    old = await shell.create("--name", "hurried")
    (listed,) = await shell.listed("hurried")
    new = (await shell.key("rotate", str(listed["id"]), "--overlap", "0s")).out.strip()

    assert await shell.answer_to(old) == (401, "unauthorized")
    assert await shell.answer_to(new) == (200, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("revoke", "999999999"), "there is no key 999999999"),
        (("revoke", "99999999999999999999"), "there is no key 99999999999999999999"),
        (("rotate", "999999999"), "there is no key 999999999"),
        (("rotate", "1", "--overlap", "soon"), "invalid input in field '--overlap': must be a whole number and one of"),
        (("create", "--user", "a", "--project", "b", "--expires", "1999-01-01"), "'--expires': must be in the future"),
        (("create", "--user", "a", "--project", "b", "--expires", "x"), "'--expires': must be a span or an ISO date"),
        (("create", "--user", "", "--project", "b"), "invalid input in field 'user': must not be empty"),
        (("create", "--user", "a", "--project", "b", "--name", ""), "invalid input in field 'name': must not be empty"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line(shell: Shell, words: tuple[str, ...], message: str) -> None:
    told = await shell.key(*words)

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("puchify: ")
    assert message in told.err
    assert told.err.count("\n") == 1
