"""The log never holds a key, wherever in a request it stands and whoever writes the line."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys

import httpx
import pytest
from fastapi import FastAPI, Request

from api.app import create_app
from infra.config import Settings
from infra.db.keys import new_key
from infra.logs import KeylessFormatter
from tests.cli.run import environment
from tests.fix_deployment import Deployment

FRAGMENT = 12  # characters: nobody meets them by chance


def leaked(text: str, key: str) -> list[str]:
    """Pieces of the key that stand in the text."""
    pieces = (key[n : n + FRAGMENT] for n in range(len(key) - FRAGMENT + 1))
    return [piece for piece in pieces if piece in text]


KEY = new_key()


@pytest.mark.parametrize(
    "message",
    [
        f"Authorization: Bearer {KEY}",
        f"{{'authorization': 'bearer {KEY}'}}",
        f"[(b'authorization', b'Bearer {KEY}')]",
        f'127.0.0.1:4711 - "GET /api/v1/servers?token={KEY}&page=2 HTTP/1.1" 401',
        f"GET /api/v1/servers/{KEY}",
        f"Bearer%20{KEY}",
        f"postgresql://ada:{KEY}@books/puchify",
        f"x{KEY}",
        f"{KEY}{KEY}",
        "Bearer of-another-make.and_short",
    ],
    ids=itertools.count(),  # a name that is the same in every process
)
def test_what_looks_like_a_key_is_struck_out(message: str) -> None:
    line = KeylessFormatter().format(logging.makeLogRecord({"msg": "%s", "args": (message,)}))

    assert leaked(line, KEY) == []
    assert "of-another-make" not in line
    assert "***" in line


def test_a_digest_may_be_read() -> None:
    digest = "ab" * 32

    assert digest in KeylessFormatter().format(logging.makeLogRecord({"msg": f"image {digest}"}))


async def test_a_traceback_with_the_requests_headers_holds_no_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(KeylessFormatter())
    app: FastAPI = create_app(Settings())

    async def break_(request: Request) -> None:
        try:
            raise ValueError(f"cause: {request.headers['authorization']}")
        except ValueError as cause:
            raise ZeroDivisionError(f"{request.headers.raw} {request.url}") from cause

    app.add_api_route("/broken", break_)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        reply = await http.get(f"/broken?key={KEY}", headers={"Authorization": f"Bearer {KEY}", "X-Key": KEY})

    assert reply.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    assert "ValueError: cause: Bearer ***" in caplog.text
    assert leaked(caplog.text, KEY) == []
    assert leaked(reply.text, KEY) == []


def test_what_ends_a_process_is_logged_without_keys() -> None:
    code = f"from workers.serve import configured; configured(); raise RuntimeError('Bearer {KEY}')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert "RuntimeError: Bearer ***" in done.stderr
    assert leaked(done.stderr, KEY) == []


async def test_a_real_apis_log_tells_of_every_request_and_of_no_key(stopped_deployment: Deployment) -> None:
    deployment = stopped_deployment
    deployment.settings = {"LOG_LEVEL": "DEBUG"}
    await deployment.start("api")
    good, stray = deployment.region.token, new_key()
    far = "-" * 150  # so that the address is cut in the middle of the key
    async with deployment.client() as http:
        for path in ("/servers", f"/servers?token={good}", f"/servers/{good}", f"/{far}/{good}", f"/{stray}"):
            await http.get(path)
        await http.post(f"/ssh_keys?{good}", json={"name": good, "public_key": stray}, headers={"X-Key": good})
        await http.post("/quota_requests", json={"scope": good}, headers={"Idempotency-Key": good})
        await http.get("/servers", headers={"Authorization": f"Bearer {stray}"})
        await http.get("/servers", headers={"Authorization": f"Basic {good}"})
    await say(deployment.url, f"GET / HTTP/1.1\r\nAuthorization: Bearer {good}\r\nno header {stray}\r\n\r\n")
    await deployment.supervisor.stop()

    log = (deployment.directory / "api.log").read_text()
    assert log.count("GET /api/v1/servers: 200") == 2
    assert log.count("GET /api/v1/servers: 401") == 2
    assert log.count("GET /api/v1/servers/***: 422") == 1
    assert "POST /api/v1/ssh_keys: 422" in log
    assert "Invalid HTTP request received" in log
    for key in (good, stray):
        assert leaked(log, key) == []


async def say(url: str, text: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode())
    await reader.read()
    writer.close()
    await writer.wait_closed()
