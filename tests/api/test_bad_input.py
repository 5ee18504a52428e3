"""Bad input: the wire's code, a message that names the field, and never a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fix_api import Api
from tests.fix_region import serving_another_project

GOOD = {"name": "web", "server_type": "px1", "image": "tiny"}

FIELDS = {
    "an unknown image": ({"image": "windows"}, "image"),
    "an image by an id that is not": ({"image": 999999}, "image"),
    "an unknown server type": ({"server_type": "huge"}, "server_type"),
    "an unknown location": ({"location": "atlantis"}, "location"),
    "a name that is no hostname": ({"name": "under_score"}, "name"),
    "a name that begins with a dash": ({"name": "-web"}, "name"),
    "an empty name": ({"name": ""}, "name"),
    "a name that is a number": ({"name": 7}, "name"),
    "a name that is too long": ({"name": "a" * 300}, "name"),
    "an unknown SSH key": ({"ssh_keys": ["nobody"]}, "ssh_keys"),
    "labels that are a list": ({"labels": ["a"]}, "labels"),
    "a label that is no label": ({"labels": {"-a": "b"}}, "labels"),
    "a server type that is a list": ({"server_type": ["px1"]}, "server_type"),
    "a start_after_create that is no boolean": ({"start_after_create": "perhaps"}, "start_after_create"),
    "user data that is an object": ({"user_data": {}}, "user_data"),
    "user data of 33 KiB": ({"user_data": "x" * 33 * 1024}, "user_data"),
    "a volume that is not": ({"volumes": [1]}, "volumes"),
    "an image that is half a character": ({"image": "\ud800"}, "image"),
    "an SSH key that is half a character": ({"ssh_keys": ["\ud800"]}, "ssh_keys"),
    "a type with a NUL": ({"server_type": "a\0b"}, "server_type"),
}


def error_of(reply: httpx.Response) -> dict[str, Any]:
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-correlation-id"]
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    return error


@pytest.mark.parametrize("case", FIELDS)
async def test_a_wrong_field_is_named(module_api: Api, case: str) -> None:
    change, field = FIELDS[case]
    servers = "SELECT count(*) FROM servers WHERE project_id = %s"
    before = await module_api.region.one(servers, module_api.region.project_id)

    reply = await module_api.create(**change)

    error = error_of(reply)
    assert (reply.status_code, error["code"]) == (422, "invalid_input")
    assert field in {named["name"].split(".")[0] for named in error["details"]["fields"]}
    assert field in error["message"]
    assert await module_api.region.one(servers, module_api.region.project_id) == before


async def test_every_wrong_field_is_named_at_once(module_api: Api) -> None:
    error = error_of(await module_api.create(name="a b", server_type=[], labels=3))

    assert {field["name"] for field in error["details"]["fields"]} >= {"name", "server_type", "labels"}


async def test_missing_fields_are_named(module_api: Api) -> None:
    error = error_of(await module_api.http.post("/servers", json={}))

    assert {field["name"] for field in error["details"]["fields"]} == {"name", "server_type", "image"}


async def test_a_name_that_is_taken(module_api: Api) -> None:
    first = await module_api.create("taken", start_after_create=False)
    again = await module_api.create("taken")

    assert first.status_code == 201
    assert (again.status_code, error_of(again)["code"]) == (409, "uniqueness_error")
    assert error_of(again)["details"] == {"fields": [{"name": "name"}]}


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"web"', b"\xff\xfe", b"null"])
async def test_a_body_that_is_no_json_object(module_api: Api, body: bytes) -> None:
    reply = await module_api.http.post("/servers", content=body)

    assert reply.status_code in (400, 422)
    assert error_of(reply)["code"] in ("json_error", "invalid_input")


async def test_a_body_of_two_mebibytes(module_api: Api) -> None:
    reply = await module_api.http.post("/servers", content=json.dumps({**GOOD, "user_data": "x" * (2 << 20)}))

    assert 400 <= reply.status_code < 500
    assert "larger than" in error_of(reply)["message"]


@pytest.mark.parametrize("token", [None, "wrong", "x" * 64, "ü"])
async def test_no_token_or_a_wrong_one(module_api: Api, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
    async with httpx.AsyncClient(base_url=f"{module_api.url}/api/v1", timeout=60) as nobody:
        reply = await nobody.get("/servers", headers=headers)

    assert (reply.status_code, error_of(reply)["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["/servers/999999", "/actions/999999", "/ssh_keys/999999", "/servers/x", "/nothing"])
async def test_what_is_not_there(module_api: Api, path: str) -> None:
    reply = await module_api.http.get(path)

    assert reply.status_code in (404, 422)
    assert error_of(reply)["code"] in ("not_found", "invalid_input")


async def test_another_projects_server_is_not_there(module_api: Api) -> None:
    ours = (await module_api.create("ours", start_after_create=False)).json()
    async with serving_another_project(module_api.region) as token:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"{module_api.url}/api/v1", headers=headers, timeout=60) as other:
            paths = (f"/servers/{ours['server']['id']}", f"/actions/{ours['action']['id']}")
            replies = [await other.get(path) for path in paths] + [await other.delete(paths[0])]
            listed = (await other.get("/servers")).json()["servers"]

    assert [(reply.status_code, error_of(reply)["code"]) for reply in replies] == [(404, "not_found")] * 3
    assert listed == []


async def test_a_read_only_token_may_only_look(module_api: Api) -> None:
    async with serving_another_project(module_api.region, read_only=True) as token:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"{module_api.url}/api/v1", headers=headers, timeout=60) as reader:
            assert (await reader.get("/servers")).status_code == 200
            refused = await reader.post("/servers", json=GOOD)

    assert (refused.status_code, error_of(refused)["code"]) == (401, "token_readonly")


async def test_a_method_that_is_not(module_api: Api) -> None:
    reply = await module_api.http.patch("/servers")

    assert (reply.status_code, error_of(reply)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("selector", ["a in (b", "=", "a==b==c", "!", "a b"])
async def test_a_selector_that_is_none(module_api: Api, selector: str) -> None:
    reply = await module_api.http.get("/servers", params={"label_selector": selector})

    assert (reply.status_code, error_of(reply)["code"]) == (422, "invalid_input")
    assert "label_selector" in error_of(reply)["message"]


WORDS = st.text(max_size=40) | st.text(st.characters(codec=None, categories=("Cs", "Cc", "Lu")), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


async def test_no_body_is_ever_a_500(module_api: Api) -> None:
    names = ("name", "server_type", "image", "ssh_keys", "labels", "user_data", "public_net", "volumes")

    @given(changes=st.dictionaries(st.sampled_from(names), VALUES, min_size=1))
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def collect(changes: dict[str, Any]) -> None:
        bodies.append({**GOOD, **changes, "location": "nowhere"})  # never an order, and wrong only for the books

    bodies: list[dict[str, Any]] = []
    collect()
    for body in bodies:
        assert (await module_api.http.post("/servers", content=json.dumps(body))).status_code in (400, 409, 422), body
