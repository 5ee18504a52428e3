"""The edge: what every request meets and every answer carries, whatever it is about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from infra.config import Settings
from infra.logs import KeylessFormatter
from tests.fix_api import Api

HEX = re.compile(r"[0-9a-f]{16}")


@pytest.mark.parametrize(
    "path", ["//servers", "/servers/", "/servers?", "///servers//", "/servers?page=1&per_page=1000"]
)
async def test_addresses_are_read_generously(module_api: Api, path: str) -> None:
    reply = await module_api.http.get(f"{module_api.url}/api/v1{path}")

    assert reply.status_code == 200, reply.text
    assert reply.json()["meta"]["pagination"] == {
        "page": 1,
        "per_page": 50 if "per_page" in path else 25,
        "previous_page": None,
        "next_page": None,
        "last_page": 1,
        "total_entries": 0,
    }


@pytest.mark.parametrize(
    "path", ["/api/v1/servers", "/api/v1/nothing", "/nothing", "/healthz", "/internal/v1/hosts/1/claims"]
)
async def test_every_answer_has_an_id_of_its_own(module_api: Api, path: str) -> None:
    first, second = [
        (await module_api.http.get(f"{module_api.url}{path}")).headers["x-correlation-id"] for _ in range(2)
    ]

    assert HEX.fullmatch(first)
    assert first != second


async def test_the_token_comes_before_the_body(module_api: Api) -> None:
    async with httpx.AsyncClient(base_url=f"{module_api.url}/api/v1") as nobody:
        assert (await nobody.post("/servers", content=b"{")).status_code == 401
        assert (await nobody.get("/no/such/thing")).status_code == 401


async def test_json_is_json_whatever_the_client_calls_it(module_api: Api) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await module_api.http.post("/servers", content=b'{"name": 7}', headers=form)

    assert {field["name"] for field in reply.json()["error"]["details"]["fields"]} == {"name", "server_type", "image"}


async def test_a_large_body_is_refused_however_it_comes(module_api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    replies = [
        await module_api.http.post("/ssh_keys", content=b"x" * (2 << 20)),
        await module_api.http.post("/ssh_keys", content=chunks()),
    ]

    for reply in replies:
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["details"]) == (413, "invalid_input", {"fields": []})


async def test_our_own_bug_is_logged_and_told_by_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(KeylessFormatter())
    app: FastAPI = create_app(Settings())

    async def break_() -> None:
        raise ZeroDivisionError("the reason is the operator's")

    app.add_api_route("/broken", break_)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        reply = await http.get("/broken")

    request_id = reply.headers["x-correlation-id"]
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "server_error"
    assert request_id in reply.json()["error"]["message"]
    assert "operator" not in reply.text
    assert request_id in caplog.text
    assert "ZeroDivisionError: the reason is the operator's" in caplog.text


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=0", "sort=password", "sort=id:up", "page=99999999999"])
async def test_a_wrong_page_or_order_is_named(module_api: Api, query: str) -> None:
    error = (await module_api.http.get(f"/servers?{query}")).json()["error"]

    assert error["code"] == "invalid_input"
    assert error["details"]["fields"][0]["name"] == query.partition("=")[0]


@pytest.mark.parametrize("query", ["name=%00", "name=%ff", "label_selector=%00", "status=%00", "name=a&name=b"])
@pytest.mark.parametrize("root", ["servers", "ssh_keys", "images", "server_types", "locations"])
async def test_odd_queries_are_no_bug_of_ours(module_api: Api, root: str, query: str) -> None:
    assert (await module_api.http.get(f"/{root}?{query}")).status_code in (200, 422)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ü"])
async def test_a_bad_idempotency_key_is_named(module_api: Api, key: str) -> None:
    body = {"name": "web", "server_type": "px1", "image": "tiny", "location": module_api.region.location}
    reply = await module_api.http.post("/servers", json=body, headers={b"Idempotency-Key": key.encode("latin-1")})

    assert reply.status_code == 422
    assert reply.json()["error"]["details"]["fields"][0]["name"] == "Idempotency-Key"
