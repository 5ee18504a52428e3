"""The internal endpoints as a host sees them: its seeds, its claims, its report. It shows its host key with each call.

A host has no database credentials and holds no tenant's secrets beyond what its claims entitle it to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import httpx
from pydantic import TypeAdapter

from infra.config import Settings
from infra.domain.errors import StaleClaim
from infra.domain.metadata import Guest
from infra.domain.models import HostClaims, HostReport, Image, Machine, Tombstone
from infra.domain.port_plan import PortPlan
from infra.domain.seed import Seed
from infra.internal_calls import InternalCalls, open_client

_CLAIMS = TypeAdapter(HostClaims)
_GUEST = TypeAdapter(Guest)
_IMAGES = TypeAdapter(list[Image])
_PLAN = TypeAdapter(PortPlan)
_PLANS = TypeAdapter(list[PortPlan])
_SEED = TypeAdapter(Seed)


class InternalApi:
    def __init__(self, client: httpx.AsyncClient, host_id: int) -> None:
        self._api = InternalCalls(client, "host", host_id)

    async def seed(self, machine: Machine) -> Seed:
        """StaleClaim: this host has no such claim on the server any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        reply = await self._api.call("GET", f"seeds/{machine.server_id}", absent=gone, params={"epoch": machine.epoch})
        return self._api.secret(_SEED, reply)

    async def guest(self, server_id: int) -> Guest:
        """What the server's guest may know of itself. StaleClaim: this host has no claim on it any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        return self._api.secret(_GUEST, await self._api.call("GET", f"guests/{server_id}", absent=gone))

    async def port_plan(self, machine: Machine) -> PortPlan:
        """The server's ports as the books want them now. StaleClaim: this host has no such claim on it any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        reply = await self._api.call("GET", f"ports/{machine.server_id}", absent=gone, params={"epoch": machine.epoch})
        return _PLAN.validate_json(reply.content)

    async def port_plans(self) -> list[PortPlan]:
        """Those of all servers that this host has a claim on."""
        return _PLANS.validate_json((await self._api.call("GET", "ports")).content)

    async def enforced(self, plan: PortPlan) -> bool:
        """The plan's firewalls, and no others, guard its server now. False: others are wanted by now. StaleClaim."""
        told = {"epoch": plan.epoch, "firewalls": list(plan.firewalls)}
        path, gone = f"ports/{plan.server_id}/firewalls", StaleClaim("the server is not placed on this host any more")
        return (await self._api.call("PUT", path, absent=gone, may_conflict=True, json=told)).status_code != 409

    async def claims(self) -> HostClaims:
        return _CLAIMS.validate_json((await self._api.call("GET", "claims")).content)

    async def report(self, report: HostReport) -> None:
        await self._api.call("POST", "report", json=asdict(report))

    async def wanted_images(self) -> list[Image]:
        """What is worth having in the cache, the most wanted first."""
        return _IMAGES.validate_python((await self._api.call("GET", "images")).json()["images"])

    async def doubt(self, digest: str) -> None:
        """An image is not what its name says, as often as it is read."""
        await self._api.call("POST", "doubts", json={"digest": digest})

    async def forgotten(self, tombstone: Tombstone) -> None:
        """Nothing of the server is left here."""
        await self._api.call("DELETE", f"tombstones/{tombstone.server_id}", params={"epoch": tombstone.epoch})


@asynccontextmanager
async def open_internal_api(settings: Settings) -> AsyncIterator[InternalApi]:
    async with open_client(settings, settings.host_key) as client:
        yield InternalApi(client, settings.host_id)
