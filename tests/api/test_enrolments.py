"""What a machine asks that is no host yet: only with a token, and nothing of it is ever in the log."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import httpx
import pytest

from infra.db import keys
from infra.db.enrolments import note_enrolment
from infra.domain.topology import Standing
from tests.api.test_logs import leaked
from tests.fix_api import Api

ADDRESS = "/internal/v1/enrolments"


async def noted(api: Api) -> str:
    region = api.region
    async with region.pool.connection() as connection:
        secret = keys.server_secret(region.settings)
        return await note_enrolment(connection, secret, region.location, Standing(), timedelta(hours=1))


async def asked(api: Api, token: str | None, **application: Any) -> httpx.Response:
    body = {"key": "K" * 64, "name": f"{api.region.location}-joined", "architecture": "x86", **application}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=api.url, headers=headers) as http:
        return await http.post(ADDRESS, json=body)


async def test_a_host_is_told_what_its_worker_needs(api: Api) -> None:
    token, key, settings = await noted(api), keys.new_key(), api.region.settings

    first, again = [await asked(api, token, key=key) for _ in range(2)]

    assert first.status_code == again.status_code == 200
    told = first.json()
    assert told == again.json()
    assert (told["name"], told["location"]) == (f"{api.region.location}-joined", api.region.location)
    assert told["temporal_address"] == settings.temporal_address
    assert told["temporal_namespace"] == settings.temporal_namespace
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers) as http:
        assert (await http.get(f"/internal/v1/hosts/{told['id']}/claims")).status_code == 200


async def test_nobody_is_let_in_without_a_token(api: Api) -> None:
    key = keys.new_key()
    for token in (None, "", "x", "x" * 64, "x" * 5000, api.region.token):
        reply = await asked(api, token, key=key)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("field", "value"),
    [("key", "short"), ("key", "K" * 63 + "-"), ("key", "K" * 65), ("key", 7), ("architecture", "riscv"), ("name", 1)],
)
async def test_a_wrong_application_names_the_field_and_uses_up_no_token(api: Api, field: str, value: object) -> None:
    token = await noted(api)

    reply = await asked(api, token, **{field: value})

    error = reply.json()["error"]
    assert (error["code"], error["details"]["fields"][0]["name"]) == ("invalid_input", field)
    assert (await asked(api, token, key=keys.new_key())).status_code == 200


async def test_the_log_holds_neither_token_nor_key(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    token, key = await noted(api), keys.new_key()
    with caplog.at_level(logging.DEBUG):
        await asked(api, token, key=key)
        await asked(api, token, key=keys.new_key())
        await asked(api, token, key=key[:-1])
    lines = [record for record in caplog.records if record.name == "api.edge"]
    text = "\n".join(record.getMessage() for record in lines)
    assert text.count(f"POST {ADDRESS}") == 3
    assert leaked(caplog.text, token) == leaked(caplog.text, key) == []
