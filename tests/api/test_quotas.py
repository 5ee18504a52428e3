"""Quotas: what is used and held, why an order is refused in words and numbers, and the way to more."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hcloud import APIException
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType

from infra.db import quota_requests
from tests.api.refusals import fields_of
from tests.fix_api import Api
from tests.fix_region import serving_another_project

NONE = {"used": 0, "held": 0}


async def quotas_of(api: Api) -> dict[str, Any]:
    return {one["scope"]: one for one in (await api.http.get("/quotas")).json()["quotas"]}


async def test_a_refusal_names_each_limit_with_its_numbers(api: Api) -> None:
    """px1 is 1 core, 0.25 GB of memory, 2 GB of disk."""
    await api.region.set_quota(max_cores=0, max_memory_mib=128)
    await api.region.execute(
        "UPDATE quotas SET max_cores = 10 WHERE scope = 'user' AND subject_id = %s", api.region.user_id
    )

    refused = await asyncio.to_thread(_refusal, api)

    assert refused.code == "resource_limit_exceeded"
    assert refused.details == {
        "limits": [
            {"name": "project_limit", "resource": "cores", "limit": 0, "used": 0, "asked": 1},
            {"name": "project_limit", "resource": "memory", "limit": 0.125, "used": 0, "asked": 0.25},
            {"name": "user_limit", "resource": "memory", "limit": 0.125, "used": 0, "asked": 0.25},
        ]
    }
    assert str(refused.message) == (
        "limit exceeded: the project uses 0 of 0 cores, 1 more asked;"
        " the project uses 0 of 0.125 GB of memory, 0.25 more asked;"
        " the user uses 0 of 0.125 GB of memory, 0.25 more asked"
    )


def _refusal(api: Api) -> APIException:
    hcloud = api.hcloud
    with pytest.raises(APIException) as refused:
        hcloud.servers.create(
            "web", ServerType(name="px1"), Image(name="tiny"), location=Location(name=api.region.location)
        )
    return refused.value


async def test_a_server_counts_for_its_project_and_its_user_until_it_is_deleted(api: Api) -> None:
    name, region = api.region.location, api.region
    before = (await api.http.get("/quotas")).json()
    created = (await api.create()).json()
    await api.succeeded(created["action"]["id"])
    there = await quotas_of(api)
    gone = (await api.http.delete(f"/servers/{created['server']['id']}")).json()
    await api.succeeded(gone["action"]["id"])

    assert before == {
        "quotas": [
            {
                "scope": scope,
                "id": id,
                "name": name,
                "servers": {"limit": 100, **NONE},
                "cores": {"limit": 400, **NONE},
                "memory": {"limit": 1600.0, **NONE},
                "disk": {"limit": 16_000, **NONE},
            }
            for scope, id in (("project", region.project_id), ("user", region.user_id))
        ]
    }
    for quota in there.values():
        assert [quota[what]["used"] for what in ("servers", "cores", "memory", "disk")] == [1, 1, 0.25, 2]
        assert [quota[what]["held"] for what in ("servers", "cores", "memory", "disk")] == [0, 0, 0, 0]
    assert (await api.http.get("/quotas")).json() == before


async def test_a_request_is_open_until_an_operator_decides(module_api: Api) -> None:
    api = module_api
    body = {"scope": "project", "servers": 500, "memory": 2000.5, "reason": "growth"}
    made = await api.http.post("/quota_requests", json=body)
    asked = made.json()["quota_request"]
    other = (await api.http.post("/quota_requests", json={"scope": "user", "disk": 20_000})).json()["quota_request"]

    assert made.status_code == 201
    assert asked == {
        "id": asked["id"],
        "scope": "project",
        "name": api.region.location,
        "servers": 500,
        "cores": None,
        "memory": 2000.5,
        "disk": None,
        "reason": "growth",
        "state": "open",
        "created": asked["created"],
        "decided": None,
    }
    assert (await quotas_of(api))["project"]["servers"]["limit"] == 100
    async with api.region.pool.connection() as connection:
        await quota_requests.approve(connection, asked["id"])
        await quota_requests.reject(connection, other["id"])

    done = (await api.http.get(f"/quota_requests/{asked['id']}")).json()["quota_request"]
    listed = (await api.http.get("/quota_requests", params={"sort": "id:desc"})).json()
    approved = (await api.http.get("/quota_requests", params={"state": "approved"})).json()["quota_requests"]
    assert done == {**asked, "state": "approved", "decided": done["decided"]}
    assert done["decided"] is not None
    assert [(one["id"], one["state"]) for one in listed["quota_requests"]] == [
        (other["id"], "rejected"),
        (asked["id"], "approved"),
    ]
    assert listed["meta"]["pagination"]["total_entries"] == 2
    assert approved == [done]
    quota = (await quotas_of(api))["project"]
    assert (quota["servers"]["limit"], quota["memory"]["limit"], quota["cores"]["limit"]) == (500, 2000.5, 400)


async def test_a_repeated_request_is_asked_once(module_api: Api) -> None:
    body, once = {"scope": "project", "cores": 4_000}, {"Idempotency-Key": "once"}
    replies = await asyncio.gather(
        *(module_api.http.post("/quota_requests", json=body, headers=once) for _ in range(5))
    )

    assert {(reply.status_code, reply.content) for reply in replies} == {(201, replies[0].content)}
    assert await module_api.region.one(
        "SELECT count(*) AS n FROM quota_requests WHERE project_id = %s AND max_cores = 4000",
        module_api.region.project_id,
    ) == {"n": 1}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["scope"]),
        ({"scope": "project"}, ["servers"]),
        ({"scope": "user", "servers": None}, ["servers"]),
        ({"scope": "user", "servers": 100, "cores": 1_000_000, "disk": 16_000}, ["servers", "disk"]),
        ({"scope": "all", "servers": "500", "memory": -1, "disk": 0, "cores": 10**10}, [
            *("scope", "servers", "cores", "memory", "disk")
        ]),
        ({"scope": "user", "servers": 500, "reason": "x" * 1001}, ["reason"]),
        ({"scope": "user", "servers": 500, "reason": "\0"}, ["reason"]),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_for_is_named(module_api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = await module_api.http.post("/quota_requests", json=body)

    assert fields_of(reply) == fields


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
async def test_numbers_that_are_none(module_api: Api, number: str) -> None:
    reply = await module_api.http.post("/quota_requests", content=f'{{"scope": "project", "memory": {number}}}')

    assert reply.status_code in (400, 422)


async def test_requests_and_quotas_are_the_projects_own(module_api: Api) -> None:
    asked = await module_api.http.post("/quota_requests", json={"scope": "project", "servers": 700})
    path = f"/quota_requests/{asked.json()['quota_request']['id']}"
    async with (
        serving_another_project(module_api.region) as other,
        serving_another_project(module_api.region, read_only=True) as looking,
        httpx.AsyncClient(base_url=f"{module_api.url}/api/v1") as http,
    ):
        stranger, looker = {"Authorization": f"Bearer {other}"}, {"Authorization": f"Bearer {looking}"}
        replies = [await http.get(path, headers=stranger), await http.get("/quota_requests", headers=stranger)]
        quotas = (await http.get("/quotas", headers=looker)).json()["quotas"]
        refused = await http.post("/quota_requests", json={"scope": "project", "servers": 700}, headers=looker)

    assert (replies[0].status_code, replies[0].json()["error"]["code"]) == (404, "not_found")
    assert replies[1].json()["quota_requests"] == []
    assert {one["name"] for one in quotas} == {f"{module_api.region.location}-other"}
    assert refused.json()["error"]["code"] == "token_readonly"
