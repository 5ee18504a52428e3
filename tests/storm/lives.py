"""The lives of servers as careful clients lead them: order, look, delete, each asked again until there is an answer.

A life is decided by its seed alone; only what happens to it is up to the storm.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import httpx

from tests.fix_deployment import Deployment

PATIENCE = 180.0
"""Seconds for one answer, however often it is asked for: more than any part is away."""
LOOK_EVERY = 2.0

INTERNAL = re.compile(r"\b(workflow|activit(y|ies)|task queue|temporal|postgres|psycopg|traceback)", re.IGNORECASE)
"""What no text for a user says."""


class Fate(Enum):
    KEPT = "kept"
    DELETED = "deleted when it runs"
    CUT_SHORT = "deleted in mid-create"
    TOO_LARGE = "beyond the quota"
    NO_IMAGE = "its image is missing"


SHARES = {Fate.KEPT: 2, Fate.DELETED: 4, Fate.CUT_SHORT: 4, Fate.TOO_LARGE: 1, Fate.NO_IMAGE: 1}


class Wrong(Exception):
    """A client got what nobody may get, whatever else happens."""


@dataclass
class Life:
    """``outcome``: runs, deleted, or the code of the error it ended with; empty until it is known.

    From ``told`` until ``given_up``, in seconds of one clock, ``addresses`` are this server's and nobody else's.
    """

    name: str
    fate: Fate
    server_id: int | None = None
    outcome: str = ""
    addresses: tuple[str, ...] = ()
    told: float = 0.0
    given_up: float = math.inf
    wrongs: list[str] = field(default_factory=list)


@dataclass
class Client:
    """One client: life after life. ``unanswered`` counts what had to be asked again, by reason."""

    deployment: Deployment
    http: httpx.AsyncClient
    boot: float
    unanswered: Counter[str]

    async def live(self, name: str, seed: str) -> Life:
        chance = random.Random(seed)
        (fate,) = chance.choices(list(SHARES), list(SHARES.values()))
        life = Life(name, fate)
        try:
            await self._live(life, chance)
        except TimeoutError:
            life.wrongs.append("its client waited in vain for an answer")
        except Wrong as wrong:
            life.wrongs.append(str(wrong))
        return life

    async def _live(self, life: Life, chance: random.Random) -> None:
        ordered = await self._order(life, chance)
        if ordered.status_code != 201:
            life.outcome = self._code(life, ordered.json()["error"])
            return
        created: dict[str, Any] = ordered.json()
        server_id = life.server_id = int(created["server"]["id"])
        life.addresses, life.told = _addresses(created["server"]), time.monotonic()
        if life.fate is Fate.CUT_SHORT:
            await asyncio.sleep(chance.uniform(0, self.boot))
            await self._delete(life, server_id)
            return
        action = await self._ended(created["action"]["id"])
        if action["status"] == "error":
            life.outcome = self._code(life, action["error"])
        elif life.fate is Fate.DELETED:
            await self._delete(life, server_id)
        else:
            life.outcome = "runs"

    async def _order(self, life: Life, chance: random.Random) -> httpx.Response:
        body = {
            "name": life.name,
            "server_type": "huge" if life.fate is Fate.TOO_LARGE else "px1",
            "image": "absent" if life.fate is Fate.NO_IMAGE else "tiny",
            "location": self.deployment.region.location,
        }
        headers = {"Idempotency-Key": life.name}
        if life.fate is not Fate.CUT_SHORT and chance.random() < 0.5:
            headers["Prefer"] = "wait=30"
        return await self._ask("POST", "/servers", json=body, headers=headers)

    async def _delete(self, life: Life, server_id: int) -> None:
        life.given_up = time.monotonic()
        await self.delete(server_id)
        life.outcome = "deleted"

    async def delete(self, server_id: int) -> None:
        """Until it is gone. 404: it was gone already, or the answer that said so was lost. Wrong: it is not gone."""
        reply = await self._ask("DELETE", f"/servers/{server_id}")
        if reply.status_code != 404:
            action = await self._ended(reply.json()["action"]["id"])
            if action["status"] != "success":
                raise Wrong(f"the delete of server {server_id} ended with {action['error']}")
        gone = await self._ask("GET", f"/servers/{server_id}")
        if gone.status_code != 404:
            raise Wrong(f"server {server_id} was deleted and is still there: {gone.text}")

    async def _ended(self, action_id: int) -> dict[str, Any]:
        """The action's end, however long it takes: that it does end, the verdict sees to."""
        while True:
            reply = await self._ask("GET", f"/actions/{action_id}")
            if reply.status_code != 200:
                raise Wrong(f"its action is not to be had: {reply.text}")
            action: dict[str, Any] = reply.json()["action"]
            if action["status"] != "running":
                return action
            await asyncio.sleep(LOOK_EVERY)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """At one API or another, again and again. TimeoutError: nobody answers. Wrong: somebody made a mistake."""
        async with asyncio.timeout(PATIENCE):
            while True:
                url = random.choice(self.deployment.urls)
                try:
                    reply = await self.http.request(method, f"{url}/api/v1{path}", **request)
                except httpx.TransportError as error:
                    self.unanswered[type(error).__name__] += 1
                else:
                    if reply.status_code == 500:
                        raise Wrong(f"{method} {path} is answered {reply.text}")
                    if reply.status_code != 503:
                        return reply
                    self.unanswered[f"503 {reply.json()['error']['code']}"] += 1
                await asyncio.sleep(random.uniform(0.2, 0.6))

    def _code(self, life: Life, error: dict[str, Any]) -> str:
        if INTERNAL.search(error["message"]):
            life.wrongs.append(f"its owner reads: {error['message']}")
        return str(error["code"])


def _addresses(server: dict[str, Any]) -> tuple[str, ...]:
    net = server["public_net"]
    return tuple(net[kind]["ip"] for kind in ("ipv4", "ipv6") if net[kind])
