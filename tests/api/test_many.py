"""Many at once: refusals that are clear, limits that are told, and never one server too many."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from infra.domain.models import Resources
from tests.fix_api import Api, serving
from tests.fix_region import NewRegion


async def test_a_hundred_posts_against_a_quota_of_fifty_and_sixty_addresses(
    new_region: NewRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stories.ADMISSION", 300.0)  # an order that stands unanswered is granted, and refused later
    room = Resources(1000, 1_000_000, 100_000)
    async with new_region(ipv4_prefix=26, room=room) as region, serving(region.settings) as url:
        await region.set_quota(max_servers=50)
        await region.execute("UPDATE address_pools SET last_index = 60 WHERE location_id = %s", region.location_id)
        headers = {"Authorization": f"Bearer {region.token}"}
        body = {"server_type": "px1", "image": "tiny", "location": region.location}
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=400) as http:
            replies = await asyncio.gather(*(post(http, {**body, "name": f"s{number}"}) for number in range(100)))

        assert Counter(reply.status_code for reply in replies) == {201: 50, 403: 50}
        refusals = {reply.json()["error"]["code"] for reply in replies if reply.status_code == 403}
        assert refusals == {"resource_limit_exceeded"}
        granted = [reply.json()["server"]["public_net"] for reply in replies if reply.status_code == 201]
        assert len({net["ipv4"]["ip"] for net in granted} | {net["ipv6"]["ip"] for net in granted}) == 100
        counted = await region.one("SELECT count(*) AS n FROM servers WHERE project_id = %s", region.project_id)
        assert counted == {"n": 50}


async def post(http: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Again when the service is too busy to admit it now (503, nothing made): a slow machine is no refusal."""
    while (reply := await http.post("/servers", json=body)).status_code == 503:
        pass
    return reply


async def test_too_many_requests_are_told_when_to_come_back(new_region: NewRegion) -> None:
    async with new_region() as region:
        limited = region.settings.model_copy(update={"rate_limit": 1.0})
        async with serving(limited) as url:
            headers = {"Authorization": f"Bearer {region.token}"}
            async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers) as http:
                replies = [await http.get("/locations") for _ in range(6)]

    assert [reply.status_code for reply in replies[:2]] == [200, 200]
    refused = replies[-1]
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit-limit"]


async def test_a_patient_order_does_not_hold_others_up(api: Api) -> None:
    first, second = await asyncio.gather(
        api.http.post(
            "/servers",
            json={"name": "a", "server_type": "px1", "image": "tiny", "location": api.region.location},
            headers={"Prefer": "wait=30"},
        ),
        api.create("b"),
    )

    assert first.json()["server"]["status"] == "running"
    assert second.status_code == 201
