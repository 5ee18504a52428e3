"""SSH keys, as hcloud-python has them: one of a name and one of a fingerprint in each project."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncssh
import pytest
from hcloud import APIException
from hcloud.ssh_keys import SSHKey

from tests.api.refusals import fields_of
from tests.fix_api import Api


def new_key(algorithm: str = "ssh-ed25519", **options: Any) -> str:
    return asyncssh.generate_private_key(algorithm, **options).export_public_key().decode().strip()


async def test_a_keys_life(module_api: Api) -> None:
    await asyncio.to_thread(_a_keys_life, module_api)


def _a_keys_life(api: Api) -> None:
    keys = api.hcloud.ssh_keys
    line = f"{new_key()} me@home"
    key = keys.create(name="laptop", public_key=line, labels={"a": "b"})
    assert (key.name, key.public_key, key.labels) == ("laptop", line, {"a": "b"})
    assert re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){15}", key.fingerprint)
    for found in (keys.get_by_id(key.id), keys.get_by_name("laptop"), keys.get_by_fingerprint(key.fingerprint)):
        assert found is not None
        assert found.id == key.id
    assert keys.get_by_name("Laptop") is None
    assert keys.get_by_fingerprint("00:11") is None
    assert [one.id for one in keys.get_all(label_selector="a=b")] == [key.id]

    renamed = key.update(name="desktop")
    assert (renamed.name, renamed.labels) == ("desktop", {"a": "b"})
    assert key.update(labels={}).labels == {}
    assert keys.get_by_name("laptop") is None
    assert key.delete()
    with pytest.raises(APIException) as gone:
        keys.delete(SSHKey(id=key.id))
    assert str(gone.value.code) == "not_found"


async def test_the_same_key_twice_is_told_by_the_field(module_api: Api) -> None:
    line, http = new_key(), module_api.http
    first = await http.post("/ssh_keys", json={"name": "once", "public_key": f"{line} home"})
    same_key = await http.post("/ssh_keys", json={"name": "twice", "public_key": f"{line} work"})
    same_name = await http.post("/ssh_keys", json={"name": "once", "public_key": new_key()})
    other = (await http.post("/ssh_keys", json={"name": "other", "public_key": new_key()})).json()["ssh_key"]["id"]
    renamed = await http.put(f"/ssh_keys/{other}", json={"name": "once"})

    assert first.status_code == 201
    assert (same_key.status_code, same_key.json()["error"]) == (
        409,
        {
            "code": "uniqueness_error",
            "message": "SSH key with the same fingerprint already exists",
            "details": {"fields": [{"name": "public_key"}]},
        },
    )
    for taken in (same_name, renamed):
        assert (taken.status_code, taken.json()["error"]["details"]) == (409, {"fields": [{"name": "name"}]})


async def test_of_many_that_add_one_key_one_does(module_api: Api) -> None:
    line = new_key()
    replies = await asyncio.gather(
        *(module_api.http.post("/ssh_keys", json={"name": f"race-{n}", "public_key": line}) for n in range(8))
    )

    assert sorted(reply.status_code for reply in replies) == [201] + [409] * 7


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-rsa"])
async def test_keys_of_every_kind_are_taken(module_api: Api, algorithm: str) -> None:
    line = new_key(algorithm)
    reply = await module_api.http.post("/ssh_keys", json={"name": algorithm, "public_key": line})

    assert (reply.status_code, reply.json()["ssh_key"]["public_key"]) == (201, line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 ????",
        "ssh-dss AAAAB3NzaC1kc3M=",
        'command="sh" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6',
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6\nssh-rsa AAAA",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6 a\0b",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "x" * 20_000,
        7,
        None,
        ["ssh-ed25519"],
    ],
)
async def test_what_is_no_public_key_is_told_by_the_field(module_api: Api, line: Any) -> None:
    reply = await module_api.http.post("/ssh_keys", json={"name": "wrong", "public_key": line})

    assert fields_of(reply) == ["public_key"]
    assert (await module_api.listed("/ssh_keys", name="wrong"))["ssh_keys"] == []
