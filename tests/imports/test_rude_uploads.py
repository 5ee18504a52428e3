"""Uploads of clients that are slow, silent, or too many: they end, and keep nobody else from sending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.receiving import TooSlow, paced
from tests.api.raw import Answer, speak
from tests.fix_region import eventually
from tests.imports.fix_imports import Owner


async def test_a_connection_that_falls_silent_is_given_up_and_what_came_is_kept(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.image_uploads.PATIENCE", 0.3)
    monkeypatch.setattr("api.gate.DRAIN_SECONDS", 0.1)
    made = await owner.begin()
    id = made["image"]["id"]

    answer = await said_by_hand(owner, id, b"x" * 1000, "Content-Length: 5000")

    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert await owner.offset(id) == 1000


async def test_who_trickles_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.receiving.LOOK", 0.2)

    with pytest.raises(TooSlow, match="64 KiB/s"):
        [part async for part in paced(dripping(asyncio.Event()), 60)]


async def test_a_project_uploads_so_many_at_a_time(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the places of the others are theirs."""
    monkeypatch.setattr("infra.receiving.EVERY_SECONDS", 0.05)
    ids = [(await owner.begin())["image"]["id"] for _ in range(5)]
    enough = asyncio.Event()
    uploading = [asyncio.create_task(owner.put(id, dripping(enough), Upload_Complete="?0")) for id in ids[:4]]
    for id in ids[:4]:
        await eventually(lambda id=id: owner.offset(id))  # type: ignore[misc]

    refused = await owner.put(ids[4], b"x")
    enough.set()
    replies = await asyncio.gather(*uploading)

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert [reply.status_code for reply in replies] == [200] * 4
    assert (await owner.put(ids[4], b"x", Upload_Complete="?0")).status_code == 200


async def dripping(enough: asyncio.Event) -> AsyncIterator[bytes]:
    while not enough.is_set():
        yield b"x"
        await asyncio.sleep(0.02)


async def test_who_asks_before_sending_is_refused_before_sending(owner: Owner) -> None:
    made = await owner.begin(size=1000)

    answer = await said_by_hand(owner, made["image"]["id"], b"", "Content-Length: 2000", "Expect: 100-continue")

    assert (answer.status, answer.error["code"]) == (422, "invalid_input")


async def said_by_hand(owner: Owner, image_id: int, body: bytes, *headers: str) -> Answer:
    url = str(owner.http.base_url)
    known = f"Authorization: Bearer {owner.region.token}"
    return await speak(url, f"PUT /api/v1/images/{image_id}/upload", (known, *headers), body)
