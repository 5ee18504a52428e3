"""The gate: whose key it is, how often they may ask, which pages may; and what is told of it is true."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from infra.db import keys
from infra.logs import KeylessFormatter
from tests.fix_api import Api, serving

CONSOLE = "https://console.example.com"


@asynccontextmanager
async def asking(api: Api, token: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API on the same books, with other settings."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serving(api.region.settings.model_copy(update=settings)) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60) as http,
    ):
        yield http


async def somebody(api: Api) -> str:
    """The key of a user who has not asked for anything yet."""
    name = f"{api.region.location}-{secrets.token_hex(4)}"
    async with api.region.pool.connection() as connection:
        secret = keys.server_secret(api.region.settings)
        return await keys.make_key(connection, secret, user=name, project=name, name="test")


def told(reply: httpx.Response) -> Mapping[str, int]:
    """The limit's own headers, as numbers."""
    return {name: int(value) for name, value in reply.headers.items() if name.startswith(("ratelimit", "retry"))}


@pytest.mark.parametrize("end", ["revoked = now()", "expires = now()"])
async def test_a_key_that_ends_is_refused_by_the_next_request(module_api: Api, end: str) -> None:
    token = await somebody(module_api)
    async with asking(module_api, token) as http:
        assert (await http.get("/locations")).status_code == 200
        digest = keys.digest_of(keys.server_secret(module_api.region.settings), token)
        await module_api.region.execute(f"UPDATE api_keys SET {end} WHERE digest = %s", digest)
        refused = await http.get("/locations")

    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")


async def test_who_comes_back_when_told_to_is_let_through(module_api: Api) -> None:
    async with asking(module_api, await somebody(module_api), rate_limit=2.0) as http:
        replies = await asyncio.gather(*(http.get("/locations") for _ in range(30)))
        granted, refused = [[reply for reply in replies if reply.status_code == status] for status in (200, 429)]
        await asyncio.sleep(told(refused[0])["retry-after"])  # what it says, no guess of the test's
        again = await http.get("/locations")

    assert again.status_code == 200
    assert len(granted) + len(refused) == 30
    assert {told(reply)["ratelimit-limit"] for reply in replies} == {4}
    assert {told(reply)["ratelimit-remaining"] for reply in granted} >= {3, 2, 1, 0}
    assert {(told(reply)["ratelimit-remaining"], told(reply)["retry-after"]) for reply in refused} == {(0, 1)}
    assert not any("retry-after" in told(reply) for reply in [*granted, again])


async def test_every_answer_to_a_known_caller_tells_of_the_limit(module_api: Api) -> None:
    async with asking(module_api, await somebody(module_api), rate_limit=100.0) as http:
        replies = [
            await http.get("/nothing"),
            await http.post("/ssh_keys", json={}),
            await http.post("/ssh_keys", content=b"x" * (2 << 20)),
            await http.patch("/servers"),
            await http.delete("/servers/999999999"),
        ]
        document = await http.get("/openapi.json")

    assert [reply.status_code for reply in replies] == [404, 422, 413, 405, 404]
    assert {told(reply)["ratelimit-limit"] for reply in replies} == {200}
    assert told(document) == {}  # which is for everybody


async def test_a_refusal_says_that_nothing_is_left_and_when_all_of_it_is_there_again(module_api: Api) -> None:
    async with asking(module_api, await somebody(module_api), rate_limit=0.01) as http:
        granted, refused = await http.get("/locations"), await http.get("/locations")

    assert (granted.status_code, refused.status_code) == (200, 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert told(refused)["ratelimit-remaining"] == 0
    assert 0 < told(refused)["retry-after"] <= 100
    assert time.time() < told(refused)["ratelimit-reset"] <= time.time() + 101


async def test_what_is_refused_is_not_done(module_api: Api) -> None:
    token = await somebody(module_api)
    async with asking(module_api, token, rate_limit=0.01) as http:
        await http.get("/locations")
        refused = await http.post("/placement_groups", json={"name": "one", "type": "spread"})
    async with asking(module_api, token) as http:
        listed = (await http.get("/placement_groups")).json()["placement_groups"]

    assert refused.status_code == 429
    assert listed == []


async def test_no_page_of_another_origin_may_ask_unless_it_is_allowed(module_api: Api) -> None:
    async with asking(module_api, module_api.region.token) as http:
        asked = await http.get("/locations", headers={"Origin": CONSOLE})
        before = await http.options("/locations", headers=preflight(CONSOLE))

    assert asked.status_code == 200
    assert before.status_code == 405
    for reply in (asked, before):
        assert not any(name.startswith("access-control") for name in reply.headers)


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
    }


async def test_a_page_that_is_allowed_reads_every_answer(module_api: Api) -> None:
    async with asking(module_api, await somebody(module_api), cors_origins=[CONSOLE], rate_limit=0.01) as http:
        before = await http.options("/servers", headers=preflight(CONSOLE) | {"Authorization": ""})
        stranger = await http.options("/servers", headers=preflight("https://evil.example.com"))
        granted, limited = [await http.get("/locations", headers={"Origin": CONSOLE}) for _ in range(2)]
        unknown = await http.get("/locations", headers={"Origin": CONSOLE, "Authorization": "Bearer nobody"})
        elsewhere = await http.get("/locations", headers={"Origin": "https://evil.example.com"})

    assert before.status_code == 200
    assert {"GET", "POST", "PUT", "DELETE"} <= set(before.headers["access-control-allow-methods"].split(", "))
    assert [reply.status_code for reply in (granted, limited, unknown)] == [200, 429, 401]
    for reply in (before, granted, limited, unknown):
        assert reply.headers["access-control-allow-origin"] == CONSOLE
        assert reply.headers["x-correlation-id"]
    exposed = limited.headers["access-control-expose-headers"].lower()
    assert {"x-correlation-id", "retry-after", "ratelimit-remaining"} <= set(exposed.replace(" ", "").split(","))
    for reply in (stranger, elsewhere):
        assert "access-control-allow-origin" not in reply.headers


async def test_each_line_that_a_request_causes_has_its_id_and_none_has_its_key(
    module_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(KeylessFormatter())
    token = module_api.region.token
    with caplog.at_level(logging.DEBUG, "api"):
        async with asking(module_api, module_api.region.token) as http:
            reply = await http.get(f"/servers/{token}", params={"name": token})

    ours = [line for line in caplog.text.splitlines() if "/api/v1/servers/" in line]
    assert len(ours) == 1
    assert f"[{reply.headers['x-correlation-id']}]" in ours[0]
    assert "422" in ours[0]
    assert token not in caplog.text
