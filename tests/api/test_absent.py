"""Kinds that the wire knows and Puchify has none of: who looks finds nothing, and who creates is told so."""

from __future__ import annotations

import asyncio

import pytest
from hcloud import APIException
from hcloud.locations import Location

from tests.fix_api import Api

KINDS = {"floating_ips": "floating IP", "volumes": "volume"}


@pytest.mark.parametrize("kind", KINDS)
async def test_hcloud_finds_none(module_api: Api, kind: str) -> None:
    client = getattr(module_api.hcloud, kind)

    def look() -> list[object]:
        return [client.get_all(), client.get_by_name("any"), client.get_all(label_selector="a=b")]

    assert await asyncio.to_thread(look) == [[], None, []]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_id_is_absent(module_api: Api, kind: str) -> None:
    http = module_api.http
    replies = [
        await http.get(f"/{kind}/7"),
        await http.put(f"/{kind}/7", json={"name": "x"}),
        await http.delete(f"/{kind}/7"),
        await http.post(f"/{kind}/7/actions/change_protection", json={"delete": True}),
        await http.post(f"/{kind}/7/actions/detach"),
        await http.get(f"/{kind}/7/actions"),
        await http.get(f"/{kind}/7/actions/7"),
        await http.get(f"/{kind}/actions/7"),
    ]

    assert [(reply.status_code, reply.json()["error"]["code"]) for reply in replies] == [(404, "not_found")] * 8
    assert KINDS[kind] in replies[0].json()["error"]["message"]
    assert (await module_api.listed(f"/{kind}/actions"))["actions"] == []


async def test_none_can_be_made(module_api: Api) -> None:
    hcloud = module_api.hcloud
    creates = (
        lambda: hcloud.floating_ips.create(type="ipv4", home_location=Location(name="x")),
        lambda: hcloud.volumes.create(size=10, name="v", location=Location(name="x")),
    )
    for create in creates:
        with pytest.raises(APIException) as refused:
            await asyncio.to_thread(create)
        assert str(refused.value.code) == "unsupported_error"
        assert "not supported by this installation" in str(refused.value)
