"""Rude clients: requests that no library sends are answered in the wire's words, or not read to their end."""

from __future__ import annotations

import json

import pytest

from tests.api.raw import Answer, speak
from tests.fix_api import Api

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6 me@home"


async def post(api: Api, body: bytes, *headers: str) -> Answer:
    known = (f"Authorization: Bearer {api.region.token}", f"Content-Length: {len(body)}", *headers)
    return await speak(api.url, "POST /api/v1/ssh_keys", known, body)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + b"1" + closing * depth


UNREADABLE = {
    "a hundred thousand lists in each other": nested(100_000),
    "objects in each other": nested(5_000, b'{"a":', b"}"),
    "lists in each other, in a field that nobody asked for": b'{"name": "a", "other": ' + nested(2_000) + b"}",
    "a number of 5,000 digits": b'{"name": ' + b"9" * 5_000 + b"}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "half a list": b'{"name": [',
    "a second object behind the first": b"{}{}",
    "a form": b"name=web&public_key=x",
    "something zipped": b"\x1f\x8b\x08\x00\x00\x00",
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_body_that_cannot_be_read(module_api: Api, case: str) -> None:
    answer = await post(module_api, UNREADABLE[case])

    assert (answer.status, answer.error["code"]) == (400, "json_error"), case
    assert answer.headers["x-correlation-id"]


ODD_VALUES = {
    "numbers that are none": (b'{"name": NaN, "public_key": -Infinity}', {"name", "public_key"}),
    "numbers that are too large to be one": (b'{"name": 1e999, "public_key": 1E+4000}', {"name", "public_key"}),
    "lists in each other": (b'{"name": ' + nested(500) + b', "public_key": "x"}', {"name", "public_key"}),
    "a label that is an object": (b'{"name": "a", "labels": {"a": {"b": []}}}', {"labels.a", "public_key"}),
    "a root that is a list": (b"[]", {"body"}),
    "a root that is null": (b"null", {"body"}),
    "no body": (b"", {"body"}),
}


@pytest.mark.parametrize("case", ODD_VALUES)
async def test_every_odd_value_is_named(module_api: Api, case: str) -> None:
    body, fields = ODD_VALUES[case]

    error = (await post(module_api, body)).error

    assert error["code"] == "invalid_input"
    assert {field["name"] for field in error["details"]["fields"]} == fields
    assert all(field["messages"] for field in error["details"]["fields"])


async def test_of_two_fields_with_one_name_the_last_counts(api: Api) -> None:
    body = f'{{"name": 7, "public_key": "{KEY}", "name": "last"}}'.encode()

    answer = await post(api, body)

    assert answer.status == 201
    assert json.loads(answer.body)["ssh_key"]["name"] == "last"


async def test_a_mark_of_byte_order_and_other_encodings_of_unicode_are_read(module_api: Api) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        error = (await post(module_api, '{"name": "a"}'.encode(encoding))).error
        assert [field["name"] for field in error["details"]["fields"]] == ["public_key"]


TOKENS = {
    "an empty one": ("Authorization:",),
    "a scheme alone": ("Authorization: Bearer",),
    "a scheme and a space": ("Authorization: Bearer ",),
    "another scheme": ("Authorization: Basic YTpi",),
    "a token alone": (f"Authorization: {'x' * 64}",),
    "twenty thousand characters": (f"Authorization: Bearer {'x' * 20_000}",),
    "bytes that are no text": ("Authorization: Bearer \xff\xfe",),
    "none": (),
}


@pytest.mark.parametrize("case", TOKENS)
async def test_without_a_token_nothing_is_told(module_api: Api, case: str) -> None:
    answer = await speak(module_api.url, "GET /api/v1/servers", TOKENS[case])

    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not any(name.startswith("ratelimit") for name in answer.headers)


async def test_the_scheme_is_read_whatever_its_case(module_api: Api) -> None:
    answer = await speak(
        module_api.url, "GET /api/v1/locations", [f"authorization: bEARER   {module_api.region.token} "]
    )
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/api/v1%2Fservers", "/api%2Fv1/servers", "//api/v1/servers", "/api/v1//", "/api/v1"])
async def test_no_way_of_writing_an_address_goes_round_the_gate(module_api: Api, path: str) -> None:
    assert (await speak(module_api.url, f"GET {path}")).status == 401


METHODS = {
    "PATCH /servers": "GET, POST",
    "PUT /servers": "GET, POST",
    "OPTIONS /servers": "GET, POST",
    "HEAD /servers": "GET, POST",
    "TRACE /servers": "GET, POST",
    "FROB /servers": "GET, POST",
    "POST /servers/1": "DELETE, GET, PUT",
    "PATCH /networks/1": "DELETE, GET, PUT",
    "GET /networks/1/actions/add_route": "POST",
    "DELETE /actions": "GET",
    "POST /locations": "GET",
    "PATCH /volumes/1": "DELETE, GET, PUT",
}


@pytest.mark.parametrize("asked", METHODS)
async def test_a_method_that_is_not_taken_is_told_which_are(module_api: Api, asked: str) -> None:
    method, path = asked.split()
    known = (f"Authorization: Bearer {module_api.region.token}",)

    answer = await speak(module_api.url, f"{method} /api/v1{path}", known)

    assert (answer.status, answer.headers["allow"]) == (405, METHODS[asked])
    assert answer.headers["x-correlation-id"]
    if method == "HEAD":
        assert answer.body == b""
    else:
        assert answer.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nothing", "/api/v1/servers/1/nothing", "/api/v1/../v1/servers", "/API/v1/servers", "/", "/nothing"],
)
async def test_an_address_at_which_nothing_is(module_api: Api, path: str) -> None:
    known = (f"Authorization: Bearer {module_api.region.token}",)
    for method in ("GET", "DELETE"):
        answer = await speak(module_api.url, f"{method} {path}", known)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert "location" not in answer.headers


@pytest.mark.parametrize("id", ["9" * 30, "9" * 5_000, "0", "-1", "%31%00", "1e3", "x"])
async def test_an_id_that_is_none(module_api: Api, id: str) -> None:
    known = (f"Authorization: Bearer {module_api.region.token}",)

    error = (await speak(module_api.url, f"GET /api/v1/servers/{id}", known)).error

    assert (error["code"], error["details"]["fields"][0]["name"]) == ("invalid_input", "id")


async def test_a_body_that_is_said_to_be_larger_than_the_limit_is_refused_before_it_is_sent(module_api: Api) -> None:
    """The rest is waited for a moment, since a client that is cut off would not read why."""
    known = (f"Authorization: Bearer {module_api.region.token}", f"Content-Length: {'9' * 18}")

    answer = await speak(module_api.url, "POST /api/v1/ssh_keys", known, b"{")

    assert (answer.status, answer.error["code"]) == (413, "invalid_input")


async def test_a_body_in_chunks_is_read_as_one(api: Api) -> None:
    body = json.dumps({"name": "in parts", "public_key": KEY}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[place : place + 1]) for place in range(len(body)))
    known = (f"Authorization: Bearer {api.region.token}", "Transfer-Encoding: chunked")

    answer = await speak(api.url, "POST /api/v1/ssh_keys", known, chunks + b"0\r\n\r\n")

    assert answer.status == 201, answer
