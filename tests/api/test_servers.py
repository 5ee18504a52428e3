"""Servers: what can be chosen, changed and found; what cannot is said before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_wire import KEY
from tests.fix_api import Api, serving_api
from tests.fix_region import NewRegion


async def created(api: Api, name: str = "web", **wishes: Any) -> dict[str, Any]:
    """A server that has come to rest."""
    reply = await api.create(name, **wishes)
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    for action in (told["action"], *told["next_actions"]):
        await api.succeeded(action["id"])
    server: dict[str, Any] = (await api.http.get(f"/servers/{told['server']['id']}")).json()["server"]
    return server


async def test_labels_are_replaced_and_names_are_changed(api: Api) -> None:
    server = await created(api, labels={"env": "prod"})
    path = f"/servers/{server['id']}"

    renamed = (await api.http.put(path, json={"name": "db", "labels": None})).json()["server"]
    cleared = (await api.http.put(path, json={"labels": {}})).json()["server"]

    assert (renamed["name"], renamed["labels"], renamed["locked"]) == ("db", {"env": "prod"}, False)
    assert (cleared["name"], cleared["labels"]) == ("db", {})


async def test_a_name_that_another_server_has_is_not_taken_over(api: Api) -> None:
    await created(api, "one")
    two = await created(api, "two")

    reply = await api.http.put(f"/servers/{two['id']}", json={"name": "one"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "uniqueness_error")


async def test_a_locked_server_keeps_its_name_but_takes_labels_and_a_delete(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, serving_api(region) as api:
        order = await region.order("web")
        path = f"/servers/{order.server_id}"

        renamed = await api.http.put(path, json={"name": "other"})
        labelled = await api.http.put(path, json={"name": "web", "labels": {"a": "b"}})
        deleted = await api.http.delete(path)

    assert (renamed.status_code, renamed.json()["error"]["code"]) == (423, "locked")
    assert (labelled.status_code, labelled.json()["server"]["labels"]) == (200, {"a": "b"})
    assert (deleted.status_code, deleted.json()["action"]["command"]) == (200, "delete_server")


@pytest.mark.parametrize("asked", [{}, {"ssh_keys": []}, {"ssh_keys": ["laptop"]}])
async def test_a_server_without_keys_of_its_own_gets_its_projects(api: Api, asked: dict[str, Any]) -> None:
    await api.http.post("/ssh_keys", json={"name": "laptop", "public_key": KEY})

    reply = (await api.create(**asked)).json()

    kept = await api.region.one("SELECT authorized_keys FROM servers WHERE id = %s", reply["server"]["id"])
    assert kept == {"authorized_keys": [KEY]}
    assert reply["root_password"] is None


async def test_a_server_with_user_data_gets_only_the_keys_it_names(api: Api) -> None:
    await api.http.post("/ssh_keys", json={"name": "laptop", "public_key": KEY})

    reply = (await api.create(user_data="#cloud-config\n")).json()

    kept = await api.region.one("SELECT authorized_keys FROM servers WHERE id = %s", reply["server"]["id"])
    assert kept == {"authorized_keys": []}


async def test_one_address_kind_is_enough_and_none_only_while_off(api: Api) -> None:
    six = await created(api, "six", public_net={"enable_ipv4": False})
    none = await api.create("none", public_net={"enable_ipv4": False, "enable_ipv6": False})
    off = await created(api, "off", public_net={"enable_ipv4": False, "enable_ipv6": False}, start_after_create=False)

    assert (six["public_net"]["ipv4"], six["public_net"]["ipv6"]["ip"][-3:]) == (None, "/64")
    assert none.json()["error"]["details"]["fields"][0]["name"] == "public_net"
    assert (off["status"], off["public_net"]["ipv6"]) == ("off", None)


async def test_an_image_larger_than_the_disk_is_named(api: Api) -> None:
    await api.region.execute(
        "INSERT INTO images (project_id, type, description, disk_gib, digest) VALUES (%s, 'snapshot', 'big', 3, %s)",
        api.region.project_id,
        "b" * 64,
    )
    (image,) = (await api.http.get("/images?type=snapshot")).json()["images"]

    error = (await api.create(image=image["id"])).json()["error"]

    (field,) = error["details"]["fields"]
    assert field["name"] == "image"
    assert "3 GB" in field["messages"][0]
    assert "2 GB" in field["messages"][0]


async def test_a_location_without_hosts_is_unavailable(new_region: NewRegion, api: Api) -> None:
    async with new_region(0, workers=False) as empty:
        reply = await api.create(location=empty.location)

    assert (reply.status_code, reply.json()["error"]["code"]) == (412, "resource_unavailable")
    assert empty.location in reply.json()["error"]["message"]


@pytest.mark.parametrize("field", ["location", "datacenter"])
async def test_a_place_is_named_in_old_ways_and_new(api: Api, field: str) -> None:
    place = api.region.location
    asked = {"location": place} if field == "location" else {"location": None, "datacenter": f"{place}-dc1"}

    server = (await api.create(**asked)).json()["server"]

    assert server["location"]["name"] == place
    assert server["datacenter"]["location"]["name"] == place


async def test_ids_come_as_numbers_and_as_digits(api: Api) -> None:
    server = (await api.create(server_type=str(api.region.server_type_id), image=api.region.image_id)).json()["server"]

    assert (server["server_type"]["name"], server["image"]["name"]) == ("px1", "tiny")


async def test_the_same_request_written_differently_is_the_same_request(api: Api) -> None:
    once = {"Idempotency-Key": "once"}
    body = f'{{"name": "web", "server_type": "px1", "image": "tiny", "location": "{api.region.location}"}}'
    other = (
        f'{{"image":"tiny","location":"{api.region.location}","labels":null,"name":"web","server_type":"px1","new":1,'
        '"start_after_create":true,"ssh_keys":[],"public_net":{"enable_ipv4":true}}'
    )

    first = await api.http.post("/servers", content=body, headers=once)
    again = await api.http.post("/servers", content=other, headers=once)

    assert first.status_code == 201
    assert first.content == again.content
