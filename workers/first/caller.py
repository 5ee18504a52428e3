"""A caller of the API like any other: the few requests that `puchify up` makes, over HTTP, with its token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

Wire = dict[str, Any]


class Refused(Exception):
    """The API said no; the message is its own, with its code."""


class Caller:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def servers(self) -> list[Wire]:
        found: list[Wire] = []
        page: int | None = 1
        while page:
            reply = await self.ask("GET", "/servers", params={"page": page, "per_page": 50})
            found += reply["servers"]
            page = reply["meta"]["pagination"]["next_page"]
        return found

    async def server(self, server_id: int) -> Wire:
        return dict((await self.ask("GET", f"/servers/{server_id}"))["server"])

    async def actions_of(self, server_id: int) -> list[Wire]:
        return list((await self.ask("GET", f"/servers/{server_id}/actions"))["actions"])

    async def action(self, action_id: int) -> Wire:
        return dict((await self.ask("GET", f"/actions/{action_id}"))["action"])

    async def timeline(self, action_id: int) -> list[Wire]:
        return list((await self.ask("GET", f"/actions/{action_id}/timeline"))["timeline"])

    async def ensure_ssh_key(self, name: str, public_key: str) -> int:
        """The project's key with that content, whatever it is called; added when there is none. Its id."""
        known = (await self.ask("GET", "/ssh_keys", params={"per_page": 50}))["ssh_keys"]
        for key in known:
            if key["public_key"].split()[:2] == public_key.split()[:2]:
                return int(key["id"])
        taken = {key["name"] for key in known}
        body = {"name": free_name(name, taken), "public_key": public_key}
        return int((await self.ask("POST", "/ssh_keys", json=body))["ssh_key"]["id"])

    async def create(self, body: Mapping[str, Any]) -> Wire:
        return await self.ask("POST", "/servers", json=dict(body))

    async def ask(self, method: str, path: str, **request: Any) -> Wire:
        """Refused: the API's error, or that it does not answer."""
        try:
            reply = await self._client.request(method, path, **request)
        except httpx.TransportError as cause:
            raise Refused(f"the API does not answer: {cause or type(cause).__name__}") from cause
        if reply.is_error:
            error = reply.json().get("error", {})
            raise Refused(f"{error.get('message', reply.reason_phrase)} ({error.get('code', reply.status_code)})")
        return dict(reply.json())


def free_name(wanted: str, taken: set[str]) -> str:
    """``wanted``, or with the first number behind it that nobody has."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


@asynccontextmanager
async def open_caller(api: str, token: str, trust: ssl.SSLContext | bool) -> AsyncIterator[Caller]:
    """``api``: the address with its base path, as clients are given it. ``trust``: of infra.trust."""
    headers = {"Authorization": f"Bearer {token}"}
    # No proxy on the way to ourselves.
    async with httpx.AsyncClient(base_url=api, headers=headers, timeout=30, trust_env=False, verify=trust) as client:
        yield Caller(client)
